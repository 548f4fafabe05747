"""Methods that train on groups, given the cells that `ShortcutFinder` infers from class labels."""

from sklearn.base import BaseEstimator, ClassifierMixin

from benchmarks.methods import Method
from benchmarks.methods.group_dro import METHODS as GROUP_DRO
from benchmarks.methods.lisa import METHODS as LISA
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.heads import DFRClassifier


class OnInferredCells(ClassifierMixin, BaseEstimator):
    """Fit a method on the cells that are found, of the training samples alone.

    ``attribute`` says that the method wants what the shortcut says in place of the cell: of two
    classes the row's own, and of the hurt the other.
    """

    def __init__(self, method, attribute=False, random_state=None):
        self.method = method
        self.attribute = attribute
        self.random_state = random_state

    def fit(self, X, y):
        """Find, then fit."""
        groups = ShortcutFinder(random_state=self.random_state).fit(X, y).labels_
        if self.attribute:
            groups = (groups // 2 + groups) % 2
        self.method_ = self.method.set_params(random_state=self.random_state)
        self.method_.fit(X, y, groups=groups)
        self.classes_ = self.method_.classes_
        return self

    def predict(self, X):
        """Return classes."""
        return self.method_.predict(X)


def _row(make, attribute=False):
    return Method(lambda column: OnInferredCells(make(column), attribute), "nothing", groups=False)


METHODS = {
    "DFR, inferred cells": _row(lambda column: DFRClassifier(variant="train", n_retrains=10)),
    "group DRO, inferred cells": _row(GROUP_DRO["group DRO"].make),
    "LISA, inferred cells": _row(LISA["LISA"].make, attribute=True),
}
