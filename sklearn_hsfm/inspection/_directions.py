"""The shortcut and the label as directions in feature space, and the edits in their terms."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._compat import validate_data
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._linear_head import fitted_scaler
from sklearn_hsfm.discovery._slices import shortcut_slices
from sklearn_hsfm.inspection._kept import check_keeps
from sklearn_hsfm.metrics._columns import check_same_length, one_column
from sklearn_hsfm.metrics._groups import group_membership


class Bank(NamedTuple):
    """Real samples that edits are described by.

    Attributes
    ----------
    scaler : StandardScaler
        Fitted on the samples: all that follows is in standard deviations of each feature.
    Z : ndarray of shape (n_samples, n_features)
        The samples, standardised.
    y : ndarray of shape (n_samples,)
        Class indices.
    names : ndarray of shape (n_cells,)
        Names of the groups, or of the shortcut slices where no groups are known.
    member : sparse bool array of shape (n_samples, n_cells)
        Which samples are in which.
    margin : ndarray of shape (n_samples,)
        How far the initial head speaks for the true class.
    """

    scaler: StandardScaler
    Z: np.ndarray
    y: np.ndarray
    names: np.ndarray
    member: csr_array
    margin: np.ndarray


class Directions(NamedTuple):
    """What a shortcut and a label look like, for each class.

    Attributes
    ----------
    shortcut : ndarray of shape (n_classes, n_features)
        Unit vectors, from the group of the class that the initial head finds hardest to the one
        it finds easiest; NaN for a class with one group.
    label : ndarray of shape (n_classes, n_features)
        Unit vectors, from the other classes to the class, groups weighing the same; what of it
        is along ``shortcut`` is taken out.
    center : ndarray of shape (n_classes, n_features)
        Mean over the groups of the class of their means.
    easy, hard : ndarray of shape (n_classes,)
        Names of those groups; None for a class with one group.
    """

    shortcut: np.ndarray
    label: np.ndarray
    center: np.ndarray
    easy: np.ndarray
    hard: np.ndarray


def make_bank(estimator, X, y, groups):
    """Return the bank of a fitted `HSFMClassifier`; anything unfit for it is an error."""
    check_keeps(estimator, "support_init_")
    X = validate_data(estimator, X, reset=False, dtype=[np.float64, np.float32])
    y = one_column(y, "y")
    check_same_length(X=X, y=y)
    y = class_indices(y, estimator.classes_, "y of the bank")
    absent = np.setdiff1d(np.arange(len(estimator.classes_)), y)
    if len(absent):
        raise ValueError(
            f"The bank has no sample of the classes {estimator.classes_[absent].tolist()}; edits "
            "of their samples cannot be described. Add some."
        )
    initial = X @ estimator.init_coef_.T + estimator.init_intercept_
    if groups is None:
        repaired = X @ estimator.coef_.T + estimator.intercept_
        member = csr_array(shortcut_slices(initial, repaired, y, len(estimator.classes_)))
        names = np.array(
            [f"{c}, shortcut {does}" for c in estimator.classes_ for does in ("hurts", "helps")]
        )
    else:
        names, member = group_membership(groups, len(y))
    scaler = fitted_scaler(X)
    return Bank(scaler, scaler.transform(X), y, names, member, margins(initial, y))


def directions(bank, n_classes):
    """Return the directions of each class."""
    d = bank.Z.shape[1]
    shortcut, center = np.full((n_classes, d), np.nan), np.empty((n_classes, d))
    easy, hard = np.full(n_classes, None), np.full(n_classes, None)
    for c in range(n_classes):
        rows = bank.y == c
        count = bank.member[rows].sum(axis=0, dtype=int)
        cells = np.flatnonzero(count)
        if not len(cells):  # the groups leave this class out
            center[c] = bank.Z[rows].mean(axis=0)
            continue
        member, count = bank.member[rows][:, cells].astype(float), count[cells]
        means = (member.T @ bank.Z[rows]) / count[:, None]  # (n_cells, n_features)
        center[c] = means.mean(axis=0)
        if len(cells) > 1:
            order = np.argsort(member.T @ bank.margin[rows] / count)
            shortcut[c] = _unit(means[order[-1]] - means[order[0]])
            easy[c], hard[c] = bank.names[cells[order[-1]]], bank.names[cells[order[0]]]
    label = np.empty_like(center)
    for c in range(n_classes):
        away = center[c] - np.delete(center, c, axis=0).mean(axis=0)
        along = np.nan_to_num(shortcut[c])
        label[c] = _unit(away - (away @ along) * along)
    return Directions(shortcut, label, center, easy, hard)


def _unit(vector):
    return vector / max(np.linalg.norm(vector), np.finfo(float).tiny)
