"""SPARE: clusters of what a head says early in training, weighed by their size."""

from numbers import Integral
from typing import Literal

import numpy as np

from sklearn_hsfm._compat import Interval, StrOptions, one_or_several
from sklearn_hsfm._kmeans import by_silhouette
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, RandomStateLike, Selection
from sklearn_hsfm.heads._base import (
    CHOOSING,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    LastLayerClassifier,
    weighted_regression,
)
from sklearn_hsfm.heads._descent import cross_entropy, descend, one_hot, shuffled

CLEAR = 0.9  # silhouette from which clusters are apart


class SPAREClassifier(LastLayerClassifier):
    """SPARE: cluster what a head predicts early in training, and weight clusters by size.

    A shortcut is learned first, so early logits of the samples of a class fall into clusters: those
    whom it helps, and those whom it hurts. A sample has the weight ``1 / size ** power`` of its
    cluster, the power being 1 where the clusters are apart and 2 where they are not; classes weigh
    the same.

    Parameters
    ----------
    early_epochs : int or tuple of int, default=(1, 2)
        Epochs of descent before the head is asked; of several, validation samples choose.
    lr : float, default=1e-3
        Learning rate of that descent, SGD with momentum 0.9.
    batch_size : int, default=128
        Samples of a batch.
    power : {"auto"} or float, default="auto"
        Power of the sizes; "auto" is 1 for a class whose silhouette is 0.9 or more, else 2.
    max_clusters : int, default=5
        Clusters of a class at most; the largest silhouette says how many.
    C : float or tuple of float, default=(0.001, 0.01, 0.1)
        Inverse strength of the L2 penalty of the head; of several, validation samples choose.
    selection : str or callable, default="auto"
        How validation samples choose: a rule of `sklearn_hsfm.selection`; "auto" is the worst
        group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches and starts clusters.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    cells_ : ndarray of shape (n_train,)
        The cluster of each sample that trained, of the chosen setting; numbered over all classes.
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
    cv_results_ : dict of list
        Every setting and its score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    sklearn_hsfm.discovery.ShortcutFinder : Clusters of features: "clusters".

    Notes
    -----
    Fits without groups. Uses validation labels, and validation groups when given, to select.

    The published code draws samples by these weights for stochastic descent; an exact solver takes
    them as they are. A class of fewer than four samples is one cluster.

    References
    ----------
    .. [1] "Identifying Spurious Biases Early in Training through the Lens of Simplicity Bias",
       arXiv:2305.18761, 2024.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import SPAREClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = SPAREClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    cells_: np.ndarray

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("early_epochs", "C")

    _parameter_constraints: dict = {  # noqa: RUF012
        "early_epochs": one_or_several(COUNT[0]),
        "lr": [POSITIVE],
        "batch_size": COUNT,
        "power": [NOT_NEGATIVE, StrOptions({"auto"})],
        "max_clusters": [Interval(Integral, 2, None, closed="left")],
        "C": one_or_several(POSITIVE),
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        early_epochs: OneOrSeveral[int] = (1, 2),
        lr: float = 1e-3,
        batch_size: int = 128,
        power: Literal["auto"] | float = "auto",
        max_clusters: int = 5,
        C: OneOrSeveral[float] = (0.001, 0.01, 0.1),
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.early_epochs = early_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.power = power
        self.max_clusters = max_clusters
        self.C = C
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _prepare(self, rows, rng):
        """Return the cluster and the weight of each row, by the number of early epochs."""
        asked, n_classes = np.atleast_1d(self.early_epochs), len(self.classes_)
        target = one_hot(rows.y, n_classes)

        def slopes(logits, batch):
            return cross_entropy(logits, target[:, batch])[1] / len(batch)

        batches = shuffled(rows.X, self.batch_size, rng)
        shape = n_classes, rows.X.shape[1]
        heads = descend([{"lr": self.lr}], shape, batches, slopes, asked.max())
        seed, found = rng.randint(np.iinfo(np.int32).max), {}
        for epoch, (coef, intercept) in enumerate(heads, start=1):
            if epoch in asked:
                logits = rows.X @ coef[0].T + intercept[0]
                cells, powers = clusters(logits, rows.y, self.max_clusters, seed)
                if self.power != "auto":
                    powers = np.full(n_classes, float(self.power))
                found[epoch] = cells, spare_weights(cells, rows.y, powers)
        return found

    def _heads(self, rows, found, setting, rng):
        _, weight = found[setting["early_epochs"]]
        yield weighted_regression(rows, setting["C"], weight)

    def _report(self, found, chosen):
        self.cells_ = found[self.best_params_["early_epochs"]][0]


def clusters(logits, y, most, seed):
    """Return the cluster of each sample, numbered over all classes, and the power of each class."""
    cells, powers, seen = np.zeros(len(y), dtype=int), np.ones(y.max() + 1), 0
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)
        found, silhouette = by_silhouette(logits[rows], most, seed)
        if found is not None:
            cells[rows] = np.unique(found.labels_, return_inverse=True)[1]
        cells[rows] += seen
        seen = cells[rows].max() + 1
        powers[c] = 1.0 if silhouette >= CLEAR else 2.0
    return cells, powers


def spare_weights(cells, y, powers):
    """Return weights of mean 1: ``1 / size ** power`` of the cluster, all classes alike."""
    size = np.bincount(cells)[cells]
    smallest = np.full(y.max() + 1, len(y))
    np.minimum.at(smallest, y, size)
    weight = (smallest[y] / size) ** powers[y]  # 1 in the smallest: no power leaves a class nothing
    weight /= np.bincount(y, weights=weight)[y]
    return weight * len(y) / weight.sum()
