"""The validation rows: paired with labels and groups, encoded, or held out when absent."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples

from sklearn_hsfm._choosing.folds import keep_both_sides, stratified_part
from sklearn_hsfm._compat import validate_data
from sklearn_hsfm._labels import check_labels_compare, class_indices, encoded_labels
from sklearn_hsfm._looks_alike import warn_unlike
from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm.metrics._groups import group_membership


@dataclass(frozen=True)
class ValidationSet:
    """A validation set that scikit-learn's searches pass on whole.

    A search slices every array argument of ``fit`` that is as long as ``X`` with its
    training folds, without a word: validation samples among them. This container has no
    length, so no search can slice it. Pass it as ``X_val``, without ``y_val``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,)
        Labels.
    groups : array-like, default=None
        Group ids of the samples, or boolean membership.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier, ValidationSet
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> data = make_spurious_features(n_train=200, n_val=200, random_state=0)
    >>> held = ValidationSet(data.X_val, data.y_val, data.groups_val)
    >>> HSFMClassifier(epochs=2).fit(data.X_train, data.y_train, held).n_iter_
    2
    """

    X: ArrayLike
    y: ArrayLike
    groups: ArrayLike | None = None


class Split(NamedTuple):
    """Training and validation samples, and where in the caller's arrays they stand."""

    X: np.ndarray  # (n_train, n_features)
    y: np.ndarray  # (n_train,) class indices
    index: np.ndarray  # (n_train,) rows of the caller's X
    X_val: np.ndarray  # (n_val, n_features)
    y_val: np.ndarray  # (n_val,) class indices
    groups_val: np.ndarray | None  # (n_val, n_groups) bool
    index_val: np.ndarray  # (n_val,) rows of the caller's X_val, or of X when held out
    names_val: np.ndarray | None = None  # (n_groups,)


def check_training_rows(estimator, X, y):
    """Return validated ``X``, and ``y`` as indices into ``estimator.classes_``, which it sets."""
    check_labels_compare(y)
    X, y = validate_data(estimator, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
    check_classification_targets(y)
    estimator.classes_, y = encoded_labels(y)
    if len(estimator.classes_) < 2:
        raise ValueError(
            f"y has one class, {estimator.classes_.tolist()}; a classifier needs two or more."
        )
    return X, y


def split_validation(estimator, X, y, X_val, y_val, groups_val, fraction, rng):
    """Return the `Split` that ``fit`` works on, after checking every part of it.

    Without ``X_val`` a ``fraction`` of ``X`` is held out, or, where it is None, None is returned.

    ``X`` and ``y`` are validated and encoded already; ``estimator`` has ``classes_`` and
    checks the widths and names of ``X_val`` as scikit-learn does.
    """
    if isinstance(X_val, ValidationSet):
        if y_val is not None or groups_val is not None:
            raise ValueError(
                "X_val is a ValidationSet, which holds its own labels and groups, but y_val "
                "or groups_val was passed as well. Put them into the ValidationSet."
            )
        X_val, y_val, groups_val = X_val.X, X_val.y, X_val.groups
    elif X_val is not None and _num_samples(X_val) == len(X):
        raise ValueError(
            f"X_val has {len(X)} samples, exactly as many as X. Searches such as GridSearchCV "
            "silently slice an argument of that length with every training fold, so fit "
            "cannot tell whether these are the samples that you meant and refuses them. Pass "
            "X_val=ValidationSet(X_val, y_val, groups_val), which no search can slice; in a "
            "Pipeline that transforms X_val, leave out one of its samples instead."
        )
    if (X_val is None) != (y_val is None):
        given, absent = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise ValueError(f"{given} was passed without {absent}. Pass both, or neither.")
    if X_val is None:
        if groups_val is not None:
            raise ValueError("groups_val was passed without X_val and y_val. Pass all three.")
        if fraction is None:
            return None
        return _hold_out(estimator.classes_, X, y, fraction, rng)

    try:
        # Whichever float they are: a memory map is not to be copied.
        options = {"reset": False, "dtype": [np.float64, np.float32]}
        X_val, y_val = validate_data(estimator, X_val, y_val, **options)
    except ValueError as error:  # scikit-learn calls every array X
        raise ValueError(f"In X_val, y_val: {error}") from error
    y_val = _encode(y_val, estimator.classes_)
    names_val = None
    if groups_val is not None:
        names_val, groups_val = group_membership(groups_val, len(y_val), "groups_val")
        groups_val = groups_val.toarray()
    warn_unlike(X, X_val, "X_val")
    every, every_val = np.arange(len(y)), np.arange(len(y_val))
    return Split(X, y, every, X_val, y_val, groups_val, every_val, names_val)


def _hold_out(classes, X, y, fraction, rng):
    held = stratified_part(y, fraction, rng)
    for c, label in enumerate(classes.tolist()):
        rows = np.flatnonzero(y == c)
        if len(rows) < 2:
            raise ValueError(
                f"class {label!r} has {len(rows)} sample in X, too few to train on and to hold "
                "out. Pass X_val and y_val, or give every class two samples or more."
            )
        keep_both_sides(held, rows)
    train, val = np.flatnonzero(~held), np.flatnonzero(held)
    return Split(X[train], y[train], train, X[val], y[val], None, val)


def _encode(y_val, classes):
    y_val = column_or_1d(y_val)
    index = class_indices(
        y_val,
        classes,
        "y_val",
        " Drop those samples, or add their classes to X and y. (Bagging, Voting and Stacking "
        "turn y into integers but not y_val: pass integer labels.)",
    )
    absent = np.delete(classes, index)
    if len(absent):
        raise ValueError(
            f"y_val misses classes that y has: {absent.tolist()}. The hard set takes samples of "
            "every class: add validation samples of these, or leave X_val out to hold out a "
            "stratified part of X."
        )
    return index
