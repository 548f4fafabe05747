"""The network of causal logit perturbation, and the descent of a head under it."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot
from torch.nn.utils import skip_init

from sklearn_hsfm.heads._descent import shuffled


def perturbed_heads(
    X, X_meta, y, y_meta, shifts, n_classes, *, lr, l2, perturbation_lr, epochs, batch_size, rng
):
    """Yield the head after each epoch, (coef, intercept), and note the shift of each sample.

    Parameters
    ----------
    X, X_meta : ndarray of shape (n, n_features)
        Training samples and metadata.
    y, y_meta : ndarray of shape (n,)
        Labels as indices.
    shifts : ndarray of shape (n_train,)
        Where the last shifts are written to.
    n_classes : int
    lr, l2, perturbation_lr, epochs, batch_size
        As in `CLPClassifier`.
    rng : RandomState
    """
    X, X_meta = (torch.from_numpy(np.column_stack([a, np.ones(len(a))])) for a in (X, X_meta))
    y, y_meta = torch.from_numpy(y), torch.from_numpy(y_meta)
    W = X.new_zeros(n_classes, X.shape[1], requires_grad=True)
    network = perturbation_network(rng)
    descend = torch.optim.SGD([W], lr=lr, momentum=0.9, nesterov=True)
    learn = torch.optim.Adam(network.parameters(), lr=perturbation_lr, weight_decay=1e-4)
    share = torch.bincount(y, minlength=n_classes) / len(y)
    batches = shuffled(X, batch_size, rng)
    for _ in range(epochs):
        means = class_means(W.detach(), X, y, n_classes)
        for X_batch, batch in batches():
            if len(batch) < 2:
                continue  # batch normalisation needs two rows
            y_batch = y[batch]
            traits = characteristics(W.detach(), X_batch, y_batch, share, means)
            Y = one_hot(y_batch, n_classes).to(X.dtype)
            n_drawn = min(batch_size, len(y))
            drawn = torch.from_numpy(rng.randint(len(y_meta), size=n_drawn))

            # A virtual step of the head, differentiable in the network ...
            logits = (X_batch @ W.T).detach() + network(traits) * Y
            error = (torch.softmax(logits, dim=1) - Y) / len(batch)
            virtual = W.detach() - lr * (error.T @ X_batch)
            # ... whose worth on metadata teaches the network.
            learn.zero_grad()
            cross_entropy(X_meta[drawn] @ virtual.T, y_meta[drawn]).backward()
            learn.step()

            shift = network(traits).detach()
            descend.zero_grad()
            loss = cross_entropy(X_batch @ W.T + shift * Y, y_batch)
            (loss + l2 / 2 * W[:, :-1].square().sum()).backward()
            descend.step()
            shifts[batch] = shift[:, 0].numpy()
        head = W.detach().numpy()
        yield head[:, :-1].copy(), head[:, -1].copy()


def perturbation_network(rng):
    """Return the network: ten characteristics in, one shift in (-1, 1) out, near 0 at first."""

    def linear(*shape):  # with no weights yet: those would come from torch's global generator
        return skip_init(nn.Linear, *shape)

    network = nn.Sequential(
        nn.BatchNorm1d(10),
        linear(10, 100),
        nn.ReLU(),
        linear(100, 100),
        nn.ReLU(),
        linear(100, 1),
        nn.Tanh(),
    ).double()
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                width = 1 / np.sqrt(layer.in_features)
                for part in (layer.weight, layer.bias):
                    part.copy_(torch.from_numpy(rng.uniform(-width, width, size=part.shape)))
    return network


def margins(P, y):
    """Return p_y minus the largest other probability."""
    own = P.gather(1, y[:, None])[:, 0]
    others = P.scatter(1, y[:, None], -1.0).max(dim=1).values
    return own - others


def class_means(W, X, y, n_classes):
    """Return the mean loss and the mean margin of each class, (2, n_classes)."""
    logits = X @ W.T
    losses = cross_entropy(logits, y, reduction="none")
    both = torch.stack([losses, margins(torch.softmax(logits, dim=1), y)])  # (2, rows)
    member = one_hot(y, n_classes).to(X.dtype)
    return both @ member / member.sum(0)


def characteristics(W, X, y, share, means):
    """Return the ten training characteristics of rows, (rows, 10), in the paper's order.

    ``share`` are the proportions of the classes, ``means`` their mean losses and margins.
    """
    logits = X @ W.T
    P = torch.softmax(logits, dim=1)
    losses = cross_entropy(logits, y, reduction="none")
    margin = margins(P, y)
    weights = W[y, :-1]
    return torch.stack(
        [
            losses,
            margin,
            (P - one_hot(y, len(W)).to(P.dtype)).norm(dim=1),  # gradient in the logits
            cosine_similarity(X[:, :-1], weights, dim=1),
            -(P * torch.log(P.clamp_min(1e-12))).sum(1),  # entropy
            share.to(P.dtype)[y],
            means[0, y],
            weights.norm(dim=1),
            losses - means[0, y],
            margin - means[1, y],
        ],
        dim=1,
    )
