"""Rules that choose an epoch, with and without group labels.

A rule is a function ``rule(y, log_proba, groups) -> float``, greater is better, of the
class indices ``y`` of shape (n_samples,), the log-probabilities of shape (n_samples,
n_classes), and ``groups``, ids or boolean membership, or None where none were given.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_hsfm._choosing.cells import MIN_CELL, best_threshold, class_cells
from sklearn_hsfm._compat import Interval, validate_params
from sklearn_hsfm._linear_head import log_probabilities
from sklearn_hsfm.discovery._labels import doubtful_labels
from sklearn_hsfm.metrics import GroupScorer
from sklearn_hsfm.metrics._columns import one_column
from sklearn_hsfm.metrics._scorers import a_number
from sklearn_hsfm.metrics._scores import lowest_accuracy

__all__ = ["RULES", "accuracy", "last", "tail_loss", "worst_class", "worst_group"]


def worst_group(y: np.ndarray, log_proba: np.ndarray, groups: np.ndarray) -> float:
    """Return the accuracy of the worst group: the published rule; needs groups.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class indices.
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities.
    groups : ndarray of shape (n_samples,) or (n_samples, n_groups)
        Group ids or boolean membership.

    Returns
    -------
    float
        Greater is better.

    Raises
    ------
    ValueError
        If ``y`` holds no class indices, ``log_proba`` not a number for each, or ``groups`` do not
        fit ``y``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.selection import worst_group
    >>> log_proba = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> worst_group(np.array([0, 1, 1]), log_proba, np.array(["a", "a", "b"]))
    0.0
    """
    y, log_proba = _checked(y, log_proba)
    return lowest_accuracy(log_proba.argmax(axis=1) == y, groups)


def worst_class(y: np.ndarray, log_proba: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the accuracy of the worst class; uses no groups.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class indices.
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities.
    groups : ndarray, default=None
        Not used.

    Returns
    -------
    float
        Greater is better.

    Raises
    ------
    ValueError
        If ``y`` holds no class indices, or ``log_proba`` not a number for each.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.selection import worst_class
    >>> log_proba = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> worst_class(np.array([0, 1, 1]), log_proba)
    0.5
    """
    y, log_proba = _checked(y, log_proba)
    count = np.bincount(y)
    hits = np.bincount(y, weights=log_proba.argmax(axis=1) == y)
    return float(np.min(hits[count > 0] / count[count > 0]))


def accuracy(y: np.ndarray, log_proba: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the plain accuracy; uses no groups.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class indices.
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities.
    groups : ndarray, default=None
        Not used.

    Returns
    -------
    float
        Greater is better.

    Raises
    ------
    ValueError
        If ``y`` holds no class indices, or ``log_proba`` not a number for each.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.selection import accuracy
    >>> log_proba = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> round(accuracy(np.array([0, 1, 1]), log_proba), 3)
    0.667
    """
    y, log_proba = _checked(y, log_proba)
    return float(np.mean(log_proba.argmax(axis=1) == y))


@validate_params(
    {"fraction": [Interval(Real, 0, 1, closed="right")]}, prefer_skip_nested_validation=True
)
def tail_loss(
    y: np.ndarray, log_proba: np.ndarray, groups: np.ndarray | None = None, fraction: float = 0.2
) -> float:
    """Return minus the mean of the largest losses of each class; uses no groups.

    The largest ``fraction`` of the losses of a class, at least one, stands in for a group
    that nobody named; classes count the same.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class indices.
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities.
    groups : ndarray, default=None
        Not used.
    fraction : float, default=0.2
        Part of the losses of a class that counts.

    Returns
    -------
    float
        Greater is better.

    Raises
    ------
    ValueError
        If ``y`` holds no class indices, ``log_proba`` not a number for each, or ``fraction`` is
        not in (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.selection import tail_loss
    >>> log_proba = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> round(tail_loss(np.array([0, 1, 1]), log_proba), 3)
    -0.511
    """
    y, log_proba = _checked(y, log_proba)
    losses = -log_proba[np.arange(len(y)), y]
    tails = []
    for c in np.unique(y):
        ordered = np.sort(losses[y == c])
        tails.append(ordered[-max(1, round(fraction * len(ordered))) :].mean())
    return -float(np.mean(tails))


def last(y: np.ndarray, log_proba: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return 0: every epoch ties, and of equals the last one is kept.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class indices.
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities.
    groups : ndarray, default=None
        Not used.

    Returns
    -------
    float
        Greater is better.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.selection import last
    >>> log_proba = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> last(np.array([0, 1, 1]), log_proba)
    0.0
    """
    return 0.0


#: The rules by the names that ``selection`` takes.
RULES = {rule.__name__: rule for rule in (worst_group, worst_class, accuracy, tail_loss, last)}


def _checked(y, log_proba):
    """Return the arguments of a rule as arrays that fit together."""
    y, log_proba = one_column(y, "y"), np.asarray(log_proba)
    if log_proba.ndim != 2 or len(log_proba) != len(y) or log_proba.size == 0:
        raise ValueError(
            f"log_proba has shape {log_proba.shape}; {len(y)} labels y want ({len(y)}, "
            "n_classes), one row or more."
        )
    if y.dtype.kind not in "iub" or y.min() < 0 or y.max() >= log_proba.shape[1]:
        raise ValueError(
            f"y has values such as {y[:5].tolist()}; it must hold indices of the "
            f"{log_proba.shape[1]} classes of log_proba, integers from 0."
        )
    if log_proba.dtype.kind not in "fiu" or np.isnan(log_proba).any():
        raise ValueError(
            f"log_proba, of dtype {log_proba.dtype}, contains NaN or what is no real number."
        )
    return y.astype(np.intp, copy=False), log_proba


def resolve_rule(selection, groups):
    """Return the name and the function of the rule that ``selection`` stands for.

    Raises
    ------
    ValueError
        If the rule needs groups and there are none; later, if a callable returns no number.
    """
    if callable(selection):
        name = getattr(selection, "__name__", repr(selection))

        def rule(y, log_proba, groups=None):
            value = selection(y, log_proba, groups)
            return a_number(value, f"The rule {name}, passed as selection or scoring,")

        return name, rule
    name = selection
    if selection == "auto":
        name = "worst_class" if groups is None else "worst_group"
    if name == "worst_group" and groups is None:
        raise ValueError(
            "selection='worst_group' chooses the epoch by the groups of the validation rows, "
            "and fit got no groups_val. Pass groups_val, or choose a rule that needs no "
            "groups: selection='worst_class' or 'tail_loss'."
        )
    return name, RULES[name]


def rule_of_scorer(scorer, classes):
    """Return the rule that scores predictions by one of scikit-learn's scorers.

    Parameters
    ----------
    scorer : callable
        Called as ``scorer(estimator, X, y)``, and with ``groups`` if it is a `GroupScorer`.
    classes : ndarray of shape (n_classes,)
        Labels.
    """

    def rule(y, log_proba, groups=None):
        known = {"groups": groups} if isinstance(scorer, GroupScorer) else {}
        model = _Predicted(log_proba, classes)
        value = scorer(model, np.zeros((len(y), 1)), classes[y], **known)
        return a_number(value, f"scoring={scorer!r}")

    return rule


class _Predicted(ClassifierMixin, BaseEstimator):
    """A classifier that has predicted its rows already, for scorers that want to ask it."""

    def __init__(self, log_proba, classes):
        self.log_proba = log_proba
        self.classes = classes

    @property
    def classes_(self):
        return self.classes

    def predict_proba(self, X):
        return np.exp(self.log_proba)

    def decision_function(self, X):
        binary = len(self.classes) == 2
        return self.log_proba[:, 1] - self.log_proba[:, 0] if binary else self.log_proba

    def predict(self, X):
        return self.classes[self.log_proba.argmax(axis=1)]


class EpochRecord:
    """Score every epoch on the samples that choose, and remember the scores.

    With ``place_threshold``, scores are those of heads whose threshold these samples place.

    Attributes
    ----------
    name : str
        The rule that scores.
    values : dict of list
        "score", by that rule, and the accuracies that one looks at beside it, an entry an
        epoch.
    thresholds : list of float
        What is to be subtracted from the logits of each epoch.
    """

    def __init__(self, selection, y_val, groups_val, rows, verbose, place_threshold):
        self.name, self._rule = resolve_rule(selection, groups_val)
        self._rows, self._y = rows, y_val[rows]
        self._groups = None if groups_val is None else groups_val[rows]
        self._verbose = verbose
        self._watched = {"accuracy": accuracy, "worst_class": worst_class}
        if groups_val is not None:
            self._watched["worst_group"] = worst_group
        self.values = {name: [] for name in ("score", *self._watched)}
        self.thresholds = []
        counts = np.bincount(self._y)
        self._place = place_threshold and len(counts) == 2 and counts.min() >= MIN_CELL
        if self._place:
            cells = class_cells(self._y, 2) if groups_val is None else self._groups
            self._cells = cells[:, cells.any(axis=0)]

    def __call__(self, epoch, logits):
        """Return the score of one problem's validation logits, (1, n_val, 1 or n_classes)."""
        logits = logits[0, self._rows].astype(np.float64)
        finite = np.isfinite(logits).all()  # else no rule can say anything of the head
        self.thresholds.append(self._threshold(logits) if self._place and finite else 0.0)
        log_proba = log_probabilities(logits - self.thresholds[-1]) if finite else None
        for name, rule in {"score": self._rule, **self._watched}.items():
            value = rule(self._y, log_proba, self._groups) if finite else np.nan
            self.values[name].append(float(value))
        score = self.values["score"][-1]
        if self._verbose and epoch % self._verbose == 0:
            print(f"epoch {epoch}: {self.name} {score:.4f}")
        return [score]

    def _threshold(self, logits):
        """Return where the worst group, or class, of rows with credible labels is best."""
        cells = self._cells & ~doubtful_labels(logits, self._y, self._cells)[:, None]
        return float(best_threshold(logits[None], self._y, cells, np.min)[0])
