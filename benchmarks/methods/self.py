"""SELF: validation samples about which training changed its mind."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import SELFClassifier

GRID = {"n_rows": (20, 100, 500), "lr": (1e-3, 1e-2)}
METHODS = {
    "SELF": of_classifier(SELFClassifier, **GRID),
    "SELF, no groups": of_classifier(SELFClassifier, groups=False, **GRID),
}
