"""AFR: held-out training samples of which ERM is unsure."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import AFRClassifier

GRID = {"gamma": (4.0, 8.0, 20.0), "reg": (0.0, 0.1)}
METHODS = {
    "AFR": of_classifier(AFRClassifier, **GRID),
    "AFR, no groups": of_classifier(AFRClassifier, groups=False, **GRID),
}
