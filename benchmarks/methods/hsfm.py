"""HSFM: as published, at its defaults, tuned, and cross-fitted."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import ParameterGrid

from benchmarks.methods import Method, of_classifier
from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, paper_settings

GRID = {"inner_lr": (3e-5, 3e-4, 3e-3), "outer_lr": (0.1, 1.0)}


def as_published(column, **changes):
    """Return the published procedure, with the hyper-parameters that the paper has for the set."""
    network = (column.network or "").removesuffix("_base")
    table = network if network in ("vit_b_16", "convnext") else "resnet50"
    settings = paper_settings(column.dataset.settings, table)
    return HSFMClassifier(**{**settings, "standardize": False, **changes})


class TunedHSFM(ClassifierMixin, BaseEstimator):
    """The setting of a grid whose chosen epoch scores best on the rows that choose it."""

    def __init__(self, grid=GRID, init_head=None, device="auto", random_state=None):
        self.grid = grid
        self.init_head = init_head
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, X_val=None, y_val=None, *, groups_val=None):
        """Fit every setting with the same seed, so that the same rows choose."""
        shared = {k: v for k, v in self.get_params(deep=False).items() if k != "grid"}
        scores = []
        settings = list(ParameterGrid(self.grid))
        for setting in settings:
            clf = HSFMClassifier(**shared, **setting)
            clf.fit(X, y, X_val, y_val, groups_val=groups_val)
            scores.append(clf.history_["score"][clf.best_epoch_])
            if scores[-1] == max(scores):
                self.best_estimator_ = clf
        self.cv_results_ = {"params": settings, "mean_test_score": np.array(scores)}
        return self

    def predict(self, X):
        """Return classes."""
        return self.best_estimator_.predict(X)


USES = {True: str(HSFMClassifier.uses), False: "validation labels"}
METHODS = {
    "HSFM, as published": Method(as_published, USES[True]),
    "HSFMClassifier": of_classifier(HSFMClassifier, groups=False),
    "HSFMClassifier, tuned": Method(lambda column: TunedHSFM(), USES[False], groups=False),
    "HSFMClassifierCV": of_classifier(HSFMClassifierCV, groups=False),
    "HSFMClassifierCV, groups": of_classifier(HSFMClassifierCV, groups="validation"),
}
# Where there are no validation samples.
ON_TRAINING_ROWS = {
    "HSFMClassifierCV": of_classifier(HSFMClassifierCV, groups=False, uses="nothing"),
    "HSFMClassifierCV, training groups": of_classifier(HSFMClassifierCV, uses="training groups"),
}
