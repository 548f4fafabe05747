"""The loss of correct-n-contrast, and the descent of a residual map on it; torch alone."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from sklearn_hsfm._progress import bar


def contrastive_loss(Z, y, predicted, n_sides, temperature):
    """Return the mean loss of the anchors of a batch.

    Parameters
    ----------
    Z : Tensor of shape (n, n_features)
        Vectors; their directions count.
    y, predicted : Tensor of shape (n,)
        Labels, and what ERM predicts.
    n_sides : int
        The first so many samples are anchors, where they have a positive.
    temperature : float
    """
    Z = normalize(Z, dim=1)
    similar = Z[:n_sides] @ Z.T / temperature  # (n_sides, n)
    same_class = y[:n_sides, None] == y
    same_prediction = predicted[:n_sides, None] == predicted
    positive, negative = same_class & ~same_prediction, ~same_class & same_prediction
    among = torch.where(positive | negative, similar, -torch.inf)
    count = positive.sum(1)
    has = count > 0
    log_share = similar[has] - among[has].logsumexp(1, keepdim=True)
    return -((log_share * positive[has]).sum(1) / count[has]).mean()


def learnt_map(Z, y, predicted, start, steps, params, rng):
    """Return the parts of the map and the losses of each epoch.

    Parameters
    ----------
    Z : ndarray of shape (n, n_features)
        Standardised samples.
    y, predicted : ndarray of shape (n,)
        Labels and predictions as indices.
    start : tuple of ndarray
        V, b, U and c.
    steps : list of tuple
        Anchors and positives of each class that has both.
    params : dict
        Of `ContrastiveAdapter`.
    rng : RandomState
    """
    n_classes = int(y.max()) + 1
    rows, labels, guesses = map(torch.from_numpy, (Z.astype(np.float32), y, predicted))
    parts = [torch.from_numpy(part.astype(np.float32)).requires_grad_() for part in start]
    head = torch.zeros(n_classes, Z.shape[1] + 1, requires_grad=True)
    # Decoupled from the moments, the decay pulls all the same, however small the gradients.
    descent = torch.optim.AdamW([*parts, head], lr=params["lr"], weight_decay=params["l2"])
    weight, losses = params["contrastive_weight"], []
    for _ in bar(params["progress"], range(params["epochs"]), unit=" epochs", desc="CnC"):
        seen = []
        for n_sides, batch in batches(y, predicted, steps, params, rng):
            batch = torch.from_numpy(batch)
            out = mapped(rows[batch], *parts, params["activation"])
            of_batch = labels[batch]
            contrast = contrastive_loss(
                out, of_batch, guesses[batch], n_sides, params["temperature"]
            )
            plain = cross_entropy(out @ head[:, :-1].T + head[:, -1], of_batch)
            descent.zero_grad()
            (weight * contrast + (1 - weight) * plain).backward()
            descent.step()
            seen.append((contrast.item(), plain.item()))
        losses.append(np.mean(seen, axis=0))
        if not np.isfinite(losses[-1]).all():
            raise ValueError(
                f"The loss of ContrastiveAdapter is not finite in epoch {len(losses)}. Pass a "
                f"smaller lr than {params['lr']!r}, or a larger temperature."
            )
    return [part.detach().numpy().astype(np.float64) for part in parts], np.array(losses)


def mapped(X, V, b, U, c, activation):
    """Return samples behind the residual map."""
    hidden = X @ V.T + b
    return X + (hidden.relu() if activation == "relu" else hidden) @ U.T + c


def batches(y, predicted, steps, params, rng):
    """Yield how many samples of a batch are anchors, and the batch, for an epoch.

    A batch is some anchors of a class, as many positives, negatives of the anchors, and negatives
    of the positives, where there are any.
    """
    turns = []
    for anchors, positives in steps:
        shuffled = rng.permutation(anchors)
        parts = np.split(
            shuffled, np.arange(params["n_anchors"], len(shuffled), params["n_anchors"])
        )
        turns += [(part, positives) for part in parts]
    for turn in rng.permutation(len(turns)):
        anchors, positives = turns[turn]
        drawn = rng.choice(positives, size=len(anchors))
        sides = np.concatenate([anchors, drawn])
        own = y[anchors[0]]
        others = [
            _negatives(y, predicted, own, predicted[side], params["n_negatives"], rng)
            for side in (anchors, drawn)
        ]
        yield len(sides), np.concatenate([sides, *others])


def _negatives(y, predicted, own, guesses, size, rng):
    """Draw rows of other classes for which ERM predicts what it predicts for the given ones."""
    rows = np.flatnonzero((y != own) & np.isin(predicted, guesses))
    return rng.choice(rows, size=size) if len(rows) else rows
