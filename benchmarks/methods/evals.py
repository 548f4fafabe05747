"""EVaLS: rows of high and of low loss, chosen by inferred environments."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import EVaLSClassifier

GRID = {"n_rows": (25, 50, 100), "C": (0.1, 0.03)}
METHODS = {"EVaLS": of_classifier(EVaLSClassifier, groups=False, **GRID)}
