"""XRM and group DRO: cells from two heads' mistakes."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import XRMClassifier

GRID = {"l2": (1e-4, 1e-2, 1.0), "lr": (1e-3, 1e-2)}
METHODS = {"XRM + group DRO": of_classifier(XRMClassifier, groups=False, **GRID)}
