"""Sixty data sets out of six: each in two roles, at five strengths of its shortcut.

Role "class" is the set as it is; role "attribute" predicts the attribute and has the class as its
shortcut. The strength is the share of each class's training samples that follow the shortcut, 0.5
is none. Training samples are drawn from the training and validation splits of the file, 1,500 a
class at most. Test samples are cut in half within each group: choose on "dev", report on "test".
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch

from benchmarks.columns import Column

STRENGTHS = (0.5, 0.8, 0.9, 0.95, 0.98)
ROLES = ("class", "attribute")
AT_MOST = 1500  # training samples of a class


class Member(NamedTuple):
    """A set of the family; what runs want of a `benchmarks.columns.Column`."""

    column: Column
    role: str
    strength: float
    half: str  # of the test samples, "dev" or "test"

    absent = False

    @property
    def key(self):
        """Return what records call it."""
        return f"{self.column.key}, {self.role}, {self.strength}, {self.half}"

    def load(self, seed):
        """Return the data, its training samples drawn by the seed; none are for validation."""
        rng = np.random.RandomState(seed)
        given = self.column.load(seed)
        (X, y, a), test = _with_roles(given, self.role)
        follows = a == _partner(y, a, len(given.y_train))[y]
        of_class = [
            [rng.permutation(np.flatnonzero((y == c) & (follows == f))) for f in (True, False)]
            for c in (0, 1)
        ]
        shares = self.strength, 1 - self.strength
        most = (
            len(rows) / share for pair in of_class for rows, share in zip(pair, shares, strict=True)
        )
        n = min(AT_MOST, int(min(most)))
        rows = np.concatenate(
            [
                rows[: max(2, round(n * share))]
                for pair in of_class
                for rows, share in zip(pair, shares, strict=True)
            ]
        )
        X_test, y_test, a_test = (part[_half(given.groups_test, self.half)] for part in test)
        return Bunch(
            X_train=X[rows], y_train=y[rows], groups_train=2 * y[rows] + a[rows],
            X_val=None, y_val=None, groups_val=None,
            X_test=X_test, y_test=y_test, groups_test=2 * y_test + a_test, head=None,
        )  # fmt: skip


def members(columns, half, strengths=STRENGTHS):
    """Return the sets of the family that columns of two classes and four groups give."""
    return [
        Member(column, role, strength, half)
        for column in columns
        if not column.absent
        for role in ROLES
        for strength in strengths
    ]


def _with_roles(given, role):
    """Return features, labels and attributes of training and of test samples."""
    ids = np.unique(given.groups_train)

    def of(X, y, groups):
        attribute = np.searchsorted(ids, groups) % 2
        return (X, y, attribute) if role == "class" else (X, attribute, y)

    rest = [
        np.concatenate([given[f"{part}_train"], given[f"{part}_val"]])
        for part in ("X", "y", "groups")
    ]
    return of(*rest), of(given.X_test, given.y_test, given.groups_test)


def _partner(y, a, n_train):
    """Return the attribute that each class goes with among the training samples of the file."""
    partner = [np.bincount(a[:n_train][y[:n_train] == c], minlength=2).argmax() for c in (0, 1)]
    return np.array(partner if partner[0] != partner[1] else [0, 1])


def _half(groups, half):
    """Return one half of the samples of each group, always the same."""
    dev = np.zeros(len(groups), dtype=bool)
    for group in np.unique(groups):
        rows = np.random.RandomState(0).permutation(np.flatnonzero(groups == group))
        dev[rows[: len(rows) // 2]] = True
    return dev if half == "dev" else ~dev
