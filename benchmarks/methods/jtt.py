"""JTT: training samples that ERM gets wrong, weighed up."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import JTTClassifier

GRID = {"upweight": (4.0, 20.0, 100.0), "C": (0.001, 0.01)}
METHODS = {
    "JTT": of_classifier(JTTClassifier, **GRID),
    "JTT, no groups": of_classifier(JTTClassifier, groups=False, **GRID),
}
