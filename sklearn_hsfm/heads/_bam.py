"""Bias amplification: a head with help for every row shows whom the shortcut hurts."""

import itertools
import warnings

import numpy as np

from sklearn_hsfm import selection as rules
from sklearn_hsfm._compat import StrOptions, one_or_several
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, Progress, RandomStateLike, Rule
from sklearn_hsfm.heads._base import COUNT, FRACTION, NOT_NEGATIVE, LastLayerClassifier
from sklearn_hsfm.heads._descent import (
    DESCENT,
    Momentum,
    cross_entropy,
    descend,
    logits_of_stack,
    one_hot,
    shuffled,
)


class BAMClassifier(LastLayerClassifier):
    """Bias amplification (BAM): help each sample by an offset, give weight to mistakes.

    First the head descends with a free offset on the logits of every training sample: samples that
    are hard to fit are fitted by their offset, and the head learns what is easy, the shortcut. Then
    the samples that it misclassifies without offsets get more weight, and the same head goes on.

    Parameters
    ----------
    upweight : float or tuple of float, default=(4.0, 20.0, 50.0)
        Weight of a misclassified sample; of the others 1. Of several, validation samples choose.
    help : float, default=50.0
        Factor of the offsets, lambda of the paper.
    first_epochs : int, default=20
        Epochs with offsets, T of the paper.
    l2 : float or tuple of float, default=1e-2
        Weight decay of head and offsets.
    lr : float or tuple of float, default=(1e-4, 1e-3)
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=50
        Epochs of the second stage, each a candidate.
    batch_size : int, default=128
        Samples of a batch.
    selection : str or callable, default="class_difference"
        How validation samples choose epoch and setting: a rule of `sklearn_hsfm.selection`, or
        "class_difference", the paper's: the smallest mean difference between accuracies of two
        classes, which needs no groups. "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches.
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
    error_set_ : ndarray of shape (n_train,)
        Mask of the samples that the first stage of the chosen setting misclassifies.
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
    JTTClassifier : Trains a second head, in which the mistakes of the first have more weight.

    Notes
    -----
    Uses validation labels to select; their groups only where ``selection`` is a rule that does.

    The published code draws a misclassified sample ``upweight`` times as often; weights are their
    expectation. Equal differences between classes are also those of a head that is equally bad
    at all of them.

    References
    ----------
    .. [1] "Bias Amplification Enhances Minority Group Performance", arXiv:2309.06717, 2024.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import BAMClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = BAMClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    error_set_: np.ndarray

    uses = LabelUse(validation_labels=True)
    _tuned = ("upweight", "l2", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        **DESCENT,
        "upweight": one_or_several(NOT_NEGATIVE),
        "help": [NOT_NEGATIVE],
        "first_epochs": COUNT,
        "selection": [StrOptions({"auto", "class_difference", *rules.RULES}), callable],
        "validation_fraction": FRACTION,
    }

    def __init__(
        self,
        *,
        upweight: OneOrSeveral[float] = (4.0, 20.0, 50.0),
        help: float = 50.0,
        first_epochs: int = 20,
        l2: OneOrSeveral[float] = 1e-2,
        lr: OneOrSeveral[float] = (1e-4, 1e-3),
        epochs: int = 50,
        batch_size: int = 128,
        selection: Rule | str = "class_difference",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.upweight = upweight
        self.help = help
        self.first_epochs = first_epochs
        self.l2 = l2
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _stacks(self, rows, shared, settings, seed):
        rng, n_classes = np.random.RandomState(seed), len(self.classes_)
        shape, target = (n_classes, rows.X.shape[1]), one_hot(rows.y, n_classes)
        batches = shuffled(rows.X, self.batch_size, rng)
        offsets = Offsets(settings, n_classes, len(rows.y), self.help)

        def helped(logits, batch):
            moved = logits + offsets.of(batch)
            slope = cross_entropy(moved, target[:, batch])[1] / len(batch)
            offsets.step(slope, batch)
            return slope

        for coef, intercept in descend(settings, shape, batches, helped, self.first_epochs):
            start = coef, intercept
        self.error_set_ = wrong = logits_of_stack(*start, rows.X).argmax(axis=1) != rows.y
        if not wrong.any():
            warnings.warn(
                "The first stage of BAM reads every sample, so there is nothing to weigh up. Fewer "
                "first_epochs, or more help, may leave some.",
                stacklevel=6,
            )
        factor = np.array([s["upweight"] for s in settings])[:, None]
        weight = np.where(wrong, factor, 1.0)
        weight /= weight.mean(axis=1, keepdims=True)

        def weighed(logits, batch):
            slope = cross_entropy(logits, target[:, batch])[1] / len(batch)
            return weight[:, batch][:, None] * slope

        yield from descend(settings, shape, batches, weighed, self.epochs, start=start)

    def _rule(self, rows, setting):
        if self.selection != "class_difference":
            return super()._rule(rows, setting)
        return "class_difference", class_difference

    def _report(self, shared, chosen):
        self.error_set_ = self.error_set_[chosen].copy()


class Offsets:
    """A variable for each logit of each sample, which descends with the head.

    As a parameter of the network it has momentum and weight decay in every step, whether its sample
    is in the batch or not.
    """

    def __init__(self, settings, n_classes, n_rows, factor):
        self.values = np.zeros((len(settings), n_classes, n_rows))
        self.factor, self.momentum = factor, Momentum()
        self.lr, self.l2 = (np.array([s[k] for s in settings])[:, None, None] for k in ("lr", "l2"))

    def of(self, batch):
        """Return what is added to the logits of a batch."""
        return self.factor * self.values[:, :, batch]

    def step(self, slope, batch):
        """Move, given the gradient in the logits of a batch."""
        gradient = self.l2 * self.values
        gradient[:, :, batch] += self.factor * slope
        self.values -= self.lr * self.momentum(gradient)


def class_difference(y, log_proba, groups=None):
    """Return minus the mean difference between the accuracies of two classes."""
    right = log_proba.argmax(axis=1) == y
    accuracy = [right[y == c].mean() for c in np.unique(y)]
    return -float(np.mean([abs(a - b) for a, b in itertools.combinations(accuracy, 2)]))
