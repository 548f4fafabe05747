"""Learning from failure: one head learns the shortcut, the other what it gets wrong."""

from numbers import Real

import numpy as np

from sklearn_hsfm._compat import Interval
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import LastLayerClassifier
from sklearn_hsfm.heads._descent import DESCENT, cross_entropy, descend, one_hot, shuffled


class LfFClassifier(LastLayerClassifier):
    """Learning from failure (LfF) on the last layer: two heads side by side.

    A biased head minimises generalised cross-entropy, which follows the easy samples. The other
    head weighs each sample by how much larger the biased head's loss is than its own.

    Parameters
    ----------
    q : float, default=0.7
        Exponent of the generalised cross-entropy: a sample counts ``q * p ** q``.
    smoothing : float, default=0.7
        Part of the running mean of a sample's losses that an epoch keeps.
    l2 : float or tuple of float, default=(1e-4, 1e-2)
        Weight decay; of several, validation samples choose.
    lr : float or tuple of float, default=(1e-3, 1e-2, 1e-1)
        Learning rate of Adam; of several, validation samples choose. Sets of a few hundred samples
        have few steps an epoch, and want the larger ones.
    epochs : int, default=50
        Epochs, each a candidate.
    batch_size : int, default=256
        Samples of a batch.
    selection : str or callable, default="auto"
        How validation samples choose epoch and setting: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches and where the heads start.
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
    row_weights_ : ndarray of shape (n_samples,)
        Weights of the training samples when they were last seen.
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
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
    Fits without groups. Uses validation labels, and validation groups when given, to select;
    the paper gives no rule.

    On frozen features both heads see the same inputs, so only q and where they start set them
    apart: the paper's biased network can also learn other features.

    References
    ----------
    .. [1] "Learning from Failure: Training Debiased Classifier from Biased Classifier",
       arXiv:2007.02561, 2020.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import LfFClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = LfFClassifier(epochs=10, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    row_weights_: np.ndarray

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("l2", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        "q": [Interval(Real, 0, 1, closed="right")],
        "smoothing": [Interval(Real, 0, 1, closed="left")],
        **DESCENT,
    }

    def __init__(
        self,
        *,
        q: float = 0.7,
        smoothing: float = 0.7,
        l2: OneOrSeveral[float] = (1e-4, 1e-2),
        lr: OneOrSeveral[float] = (1e-3, 1e-2, 1e-1),
        epochs: int = 50,
        batch_size: int = 256,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.q = q
        self.smoothing = smoothing
        self.l2 = l2
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _stacks(self, rows, shared, settings, seed):
        rng, n_classes, n = np.random.RandomState(seed), len(self.classes_), len(settings)
        shape = n_classes, rows.X.shape[1]
        width = 1 / np.sqrt(shape[1])  # torch's own start of a linear layer
        # The biased heads of all settings, then their other heads.
        start = np.repeat(rng.uniform(-width, width, size=(2, *shape)), n, axis=0)
        means = LossMeans(rows.y, n_classes, self.smoothing, n_heads=2 * n)
        weights = np.ones((n, len(rows.y)))

        def slopes(logits, batch):
            losses, slope = cross_entropy(logits, one_hot(rows.y[batch], n_classes))
            means.update(batch, losses)
            weights[:, batch] = relative_difficulty(*np.split(means.scaled(batch), 2))
            eased = self.q * np.exp(-self.q * losses[:n])  # q p ** q
            return np.concatenate([eased, weights[:, batch]])[:, None] * slope / len(batch)

        batches = shuffled(rows.X, self.batch_size, rng)
        heads = descend(
            settings * 2, shape, batches, slopes, self.epochs, start=(start, 0.0), adam=True
        )
        for coef, intercept in heads:
            yield coef[n:], intercept[n:]
        self.row_weights_ = weights

    def _report(self, shared, chosen):
        self.row_weights_ = self.row_weights_[chosen].copy()


class LossMeans:
    """Running means of each sample's losses under several heads."""

    def __init__(self, y, n_classes, smoothing, n_heads=2):
        self.y, self.smoothing = y, smoothing
        order = np.argsort(y, kind="stable")  # class after class: their maxima need no copies
        self.place = np.argsort(order)
        self.start = np.searchsorted(y[order], np.arange(n_classes))
        self.means = np.zeros((n_heads, len(y)))
        self.seen = np.zeros(len(y), dtype=bool)

    def update(self, index, losses):
        """Take up the losses, (n_heads, rows), of a batch; the first of a row is copied."""
        at = self.place[index]
        new = self.smoothing * self.means[:, at] + (1 - self.smoothing) * losses
        self.means[:, at] = np.where(self.seen[at], new, losses)
        self.seen[at] = True

    def scaled(self, index):
        """Return the means of a batch, divided by the largest mean of the class so far."""
        largest = np.maximum.reduceat(self.means, self.start, axis=1)[:, self.y[index]]
        return self.means[:, self.place[index]] / np.maximum(largest, np.finfo(float).tiny)


def relative_difficulty(biased, other):
    """Return the weight of samples with these losses: near 1 where only the biased head fails."""
    return biased / (biased + other + 1e-8)
