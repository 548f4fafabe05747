"""Causal logit perturbation on features: a network learns which rows to make harder."""

from numbers import Integral

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot
from torch.nn.utils import skip_init

from sklearn_hsfm._compat import Interval, StrOptions, one_or_several
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._validation_set import strata
from sklearn_hsfm.heads._base import (
    CHOOSING,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    LastLayerClassifier,
    balanced_rows,
)
from sklearn_hsfm.heads._descent import shuffled


class CLPClassifier(LastLayerClassifier):
    """Causal logit perturbation (CLP) on frozen features, without its pixels.

    A perturbation network looks at ten characteristics of a training row and shifts the logit
    of its class. It learns, batch by batch, to make shifts after which a step of the head does
    better on balanced validation rows.

    What of the paper needs pixels is absent: metadata with replaced foregrounds and
    backgrounds, their factual and counterfactual losses, and the saliency term. What is left is
    a learned logit adjustment, with plain cross-entropy on the metadata.

    Parameters
    ----------
    meta_balance : {"class", "group"}, default="class"
        What metadata, drawn from the validation rows, are balanced over.
    meta_rows : int, default=1000
        Rows of metadata at most.
    lr : float or tuple of float, default=(1e-3, 1e-2)
        Learning rate of the head, SGD with Nesterov momentum 0.9; of several, validation rows
        choose.
    l2 : float or tuple of float, default=5e-4
        Weight decay of the head.
    perturbation_lr : float, default=1e-3
        Learning rate of the perturbation network, Adam with weight decay 1e-4.
    epochs : int, default=20
        Epochs, each a candidate.
    batch_size : int, default=128
        Rows of a batch, of training rows and of metadata.
    selection : str or callable, default="auto"
        How validation rows choose epoch and setting: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches, metadata, and where the network starts.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    perturbations_ : ndarray of shape (n_samples,)
        Shifts of the training rows' own logits, when last seen in the chosen setting.
    best_params_, best_epoch_, best_score_
        What the validation rows chose, and its score.
    cv_results_ : dict of list
        Every setting, its best epoch and score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    Notes
    -----
    Uses validation labels, as metadata and to select; validation groups when given to select,
    and with ``meta_balance="group"`` to fit. Metadata also choose, which flatters them.

    The shift goes to the logit of the row's class: added to all of them, softmax would not see
    it. The network persists through training, and class means are those of the last epoch.

    References
    ----------
    .. [1] "Mitigating Spurious Correlations with Causal Logit Perturbation",
       arXiv:2505.15246, 2025.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import CLPClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = CLPClassifier(epochs=5, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("lr", "l2")

    _parameter_constraints: dict = {  # noqa: RUF012
        "meta_balance": [StrOptions({"class", "group"})],
        "meta_rows": COUNT,
        "lr": one_or_several(POSITIVE),
        "l2": one_or_several(NOT_NEGATIVE),
        "perturbation_lr": [POSITIVE],
        "epochs": COUNT,
        "progress": PROGRESS,
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        meta_balance="class",
        meta_rows=1000,
        lr=(1e-3, 1e-2),
        l2=5e-4,
        perturbation_lr=1e-3,
        epochs=20,
        batch_size=128,
        selection="auto",
        validation_fraction=0.2,
        random_state=None,
        progress="auto",
    ):
        self.meta_balance = meta_balance
        self.meta_rows = meta_rows
        self.lr = lr
        self.l2 = l2
        self.perturbation_lr = perturbation_lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _prepare(self, rows, rng):
        """Return rows and metadata with a column of ones, and the shifts of every setting."""
        cells = rows.y_val
        if self.meta_balance == "group":
            if rows.groups_val is None:
                raise ValueError(
                    "CLPClassifier(meta_balance='group') balances its metadata over the groups "
                    "of the validation rows, and fit got none. Pass groups_val, or take "
                    "meta_balance='class'."
                )
            cells = strata(rows.y_val, rows.groups_val)
        meta = balanced_rows(cells, rng, at_most=self.meta_rows)
        X, X_meta = (
            torch.from_numpy(np.column_stack([part, np.ones(len(part))]))
            for part in (rows.X, rows.X_val[meta])
        )
        return X, X_meta, torch.from_numpy(rows.y), torch.from_numpy(rows.y_val[meta]), []

    def _heads(self, rows, shared, setting, rng):
        X, X_meta, y, y_meta, shifts_of = shared
        n_classes = len(self.classes_)
        W = X.new_zeros(n_classes, X.shape[1], requires_grad=True)
        network = perturbation_network(rng)
        descend = torch.optim.SGD([W], lr=setting["lr"], momentum=0.9, nesterov=True)
        learn = torch.optim.Adam(network.parameters(), lr=self.perturbation_lr, weight_decay=1e-4)
        shifts = np.zeros(len(y))
        shifts_of.append(shifts)
        share = torch.bincount(y, minlength=n_classes) / len(y)
        batches = shuffled(X, self.batch_size, rng)
        for _ in range(self.epochs):
            means = class_means(W.detach(), X, y, n_classes)
            for X_batch, batch in batches():
                if len(batch) < 2:
                    continue  # batch normalisation needs two rows
                y_batch = y[batch]
                traits = characteristics(W.detach(), X_batch, y_batch, share, means)
                Y = one_hot(y_batch, n_classes).to(X.dtype)
                n_drawn = min(self.batch_size, len(y))
                drawn = torch.from_numpy(rng.randint(len(y_meta), size=n_drawn))

                # A virtual step of the head, differentiable in the network ...
                logits = (X_batch @ W.T).detach() + network(traits) * Y
                error = (torch.softmax(logits, dim=1) - Y) / len(batch)
                virtual = W.detach() - setting["lr"] * (error.T @ X_batch)
                # ... whose worth on metadata teaches the network.
                learn.zero_grad()
                cross_entropy(X_meta[drawn] @ virtual.T, y_meta[drawn]).backward()
                learn.step()

                shift = network(traits).detach()
                descend.zero_grad()
                loss = cross_entropy(X_batch @ W.T + shift * Y, y_batch)
                (loss + setting["l2"] / 2 * W[:, :-1].square().sum()).backward()
                descend.step()
                shifts[batch] = shift[:, 0].numpy()
            head = W.detach().numpy()
            yield head[:, :-1].copy(), head[:, -1].copy()

    def _report(self, shared, chosen):
        self.perturbations_ = shared[-1][chosen]


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
