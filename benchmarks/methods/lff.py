"""LfF: one head learns the shortcut, the other what it gets wrong."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import LfFClassifier

METHODS = {"LfF": of_classifier(LfFClassifier, l2=(1e-4, 1e-2, 1.0), lr=(1e-4, 1e-3))}
