"""SPARE: clusters of early logits, weighed by their size."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import SPAREClassifier

GRID = {"early_epochs": (1, 2), "C": (0.001, 0.01, 0.1)}
METHODS = {
    "SPARE": of_classifier(SPAREClassifier, **GRID),
    "SPARE, no groups": of_classifier(SPAREClassifier, groups=False, **GRID),
}
