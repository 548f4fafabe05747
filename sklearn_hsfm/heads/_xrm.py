"""XRM: two heads teach each other their mistakes; group DRO on the cells that they leave."""

import warnings
from collections import deque

import numpy as np
from scipy.special import softmax

from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._progress import bar
from sklearn_hsfm._typing import Estimator, OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import COUNT, NOT_NEGATIVE
from sklearn_hsfm.heads._descent import (
    DESCENT,
    cross_entropy,
    descend,
    logits_of_stack,
    one_hot,
    shuffled,
)
from sklearn_hsfm.heads._group_dro import GroupDROClassifier
from sklearn_hsfm.heads._inferred import A_FINDER, cells_of, fitted_finder, membership

RATES = 1e-4, 1e-2  # ends of the rates that are drawn
DECAYS = 1e-4, 1.0


class XRMClassifier(GroupDROClassifier):
    """XRM and group DRO: infer cells from two heads' mistakes, minimise the worst one's loss.

    Each of two heads trains on a random half of the samples, and where the other half's head is
    sure of another class than the label says, the label that is worked with becomes that class. So
    the heads are drawn to the shortcut, and the samples that one of them misclassifies in the end
    are those that it hurts. Class and being hurt are the groups of group DRO, on training samples
    to fit and on validation samples to choose. No group label is used anywhere.

    Parameters
    ----------
    n_draws : int, default=10
        Draws of rate and weight decay of the two heads; the one that changes most labels is
        taken, of those in which every class has samples of both kinds.
    twin_epochs : int, default=20
        Epochs of the two heads.
    finder : None or estimator, default=None
        What infers the cells in their place: an estimator with ``fit(X, y)`` and
        ``predict(X, y)``, the cell of each sample, as `~sklearn_hsfm.discovery.ShortcutFinder`.
    eta : float, default=0.01
        How fast the weights of groups move.
    size_adjustment : float, default=0.0
        C of the adjustment ``C / sqrt(n_g)`` that is added to the loss of a group of n_g samples.
    l2 : float or tuple of float, default=(1e-4, 1e-2, 1.0)
        Weight decay of group DRO; of several, validation samples choose.
    lr : float or tuple of float, default=1e-3
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=50
        Epochs, each a candidate.
    batch_size : int, default=128
        Samples of a batch.
    balanced_sampling : bool, default=True
        Draw samples such that all groups are as likely.
    selection : str or callable, default="auto"
        How validation samples choose epoch and setting: a rule of `sklearn_hsfm.selection`, to
        which the inferred cells are the groups. "auto" is the worst cell.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws settings, halves and batches.
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
    labels_ : ndarray of shape (n_train,)
        The cell of each sample that trained: ``2 * c``, or ``2 * c + 1`` where a sample of class
        number ``c`` is hurt.
    flip_rate_ : float
        Share of labels that the chosen pair of heads has changed; NaN with a ``finder``.
    group_weights_ : ndarray of shape (n_groups,)
        Weights of the cells after the last epoch of the chosen setting.
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

    See Also
    --------
    GroupDROClassifier : Knows the groups.
    sklearn_hsfm.discovery.ShortcutFinder : XRM in rounds of regressions: "iterated_mistakes".

    Notes
    -----
    Uses validation labels. Groups are ignored.

    A step takes the sum over classes, by the label that is worked with, of their mean losses in the
    batch under the head that owns the sample. The other head's probability p of its class then
    changes that label with probability ``(p - 1 / K) K / (K - 1)`` of K classes. Rates and decays
    are drawn evenly on a logarithmic scale, from 1e-4 to 1e-2 and from 1e-4 to 1; the published
    ranges are those of whole networks. A shortcut that is not what heads learn first is not found.

    References
    ----------
    .. [1] "Discovering Environments with XRM", arXiv:2309.16748, 2024.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import XRMClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = XRMClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.6
    True
    """

    labels_: np.ndarray
    flip_rate_: float
    group_weights_: np.ndarray

    uses = LabelUse(validation_labels=True)

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_draws": COUNT,
        "twin_epochs": COUNT,
        "finder": A_FINDER,
        "eta": [NOT_NEGATIVE],
        "size_adjustment": [NOT_NEGATIVE],
        "balanced_sampling": ["boolean"],
        **DESCENT,
    }

    def __init__(
        self,
        *,
        n_draws: int = 10,
        twin_epochs: int = 20,
        finder: Estimator | None = None,
        eta: float = 0.01,
        size_adjustment: float = 0.0,
        l2: OneOrSeveral[float] = (1e-4, 1e-2, 1.0),
        lr: OneOrSeveral[float] = 1e-3,
        epochs: int = 50,
        batch_size: int = 128,
        balanced_sampling: bool = True,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        super().__init__(
            eta=eta,
            size_adjustment=size_adjustment,
            l2=l2,
            lr=lr,
            epochs=epochs,
            batch_size=batch_size,
            balanced_sampling=balanced_sampling,
            selection=selection,
            validation_fraction=validation_fraction,
            random_state=random_state,
            progress=progress,
        )
        self.n_draws = n_draws
        self.twin_epochs = twin_epochs
        self.finder = finder

    def _fit_head(self, rows, rng):
        if self.finder is None:
            train, val = self._twins(rows, rng)
        else:
            finder = fitted_finder(self.finder, None, rows, rng)
            train = cells_of(finder, rows.X, rows.y)
            val = cells_of(finder, rows.X_val, rows.y_val)
            self.flip_rate_ = np.nan
        self.labels_ = train
        return super()._fit_head(rows._replace(groups=train, groups_val=membership(val)), rng)

    def _twins(self, rows, rng):
        """Return the cells of training and validation rows, by the mistakes of two heads."""
        low, high = np.log([RATES, DECAYS]).T
        drawn = np.exp(rng.uniform(low, high, size=(self.n_draws, 2)))
        settings = [{"lr": lr, "l2": l2} for lr, l2 in drawn]
        twins = Twins(rows.y, len(self.classes_), settings, rng)
        batches = shuffled(rows.X, self.batch_size, rng)
        heads = twins.descended(rows.X.shape[1], batches, self.twin_epochs)
        shown = bar(self.progress, heads, unit=" epochs", desc="XRMClassifier: twins")
        coef, intercept = deque(shown, maxlen=1).pop()
        hurt = misread(coef, intercept, rows.X, rows.y)  # (n_draws, n_train)
        flips = (twins.working != rows.y).mean(axis=1)
        both = [len(np.unique(2 * rows.y + e)) == 2 * len(self.classes_) for e in hurt]
        if not any(both):
            self.flip_rate_ = float(flips.max())
            warnings.warn(
                f"In none of {self.n_draws} draws did the two heads of XRM misread some samples of "
                "every class and read others: the classes stand in for cells. More draws, or a "
                "finder, may find some.",
                stacklevel=6,
            )
            return 2 * rows.y, rows.y_val
        best = int(np.argmax(np.where(both, flips, -1)))
        self.flip_rate_ = float(flips[best])
        of_val = misread(coef, intercept, rows.X_val, rows.y_val)[best]
        return 2 * rows.y + hurt[best], 2 * rows.y_val + of_val


class Twins:
    """Pairs of heads, one for each setting, that change each other's labels.

    ``working`` (n_settings, n_rows) are the labels that are worked with.
    """

    def __init__(self, y, n_classes, settings, rng):
        self.n_classes, self.settings, self.rng = n_classes, settings, rng
        self.working = np.repeat(y[None], len(settings), axis=0)
        self.owner = rng.randint(2, size=len(y))

    def descended(self, n_features, batches, n_epochs):
        """Yield the heads after each epoch: the first of all pairs, then the second."""
        shape = self.n_classes, n_features
        yield from descend(self.settings * 2, shape, batches, self.slopes, n_epochs)

    def slopes(self, logits, batch):
        """Return the gradient in the logits (2 * n_settings, n_classes, n_rows); change labels."""
        n = len(self.settings)
        pairs = logits.reshape(2, n, self.n_classes, -1)
        owner, rows = self.owner[batch], np.arange(len(batch))
        own = np.moveaxis(pairs[owner, :, :, rows], 0, -1)
        others = np.moveaxis(pairs[1 - owner, :, :, rows], 0, -1)
        target = np.stack([one_hot(y, self.n_classes) for y in self.working[:, batch]])
        count = target.sum(axis=2, keepdims=True)  # of each class in the batch
        weight = (target / np.maximum(count, 1)).sum(axis=1, keepdims=True)
        slope = np.zeros_like(pairs)
        slope[owner, :, :, rows] = np.moveaxis(weight * cross_entropy(own, target)[1], -1, 0)
        self._flip(others, batch)
        return slope.reshape(logits.shape)

    def _flip(self, others, batch):
        proba = softmax(others, axis=1)
        chance = flip_probability(proba.max(axis=1), self.n_classes)
        flips = self.rng.uniform(size=chance.shape) < chance
        self.working[:, batch] = np.where(flips, proba.argmax(axis=1), self.working[:, batch])


def flip_probability(p, n_classes):
    """Return how likely a label changes for a head that gives p to its class: 0 at chance."""
    return (p - 1 / n_classes) * n_classes / (n_classes - 1)


def misread(coef, intercept, X, y):
    """Return which rows one head of each pair misreads, (n_pairs, n_rows)."""
    wrong = logits_of_stack(coef, intercept, X).argmax(axis=1) != y
    first, second = np.split(wrong, 2)
    return first | second
