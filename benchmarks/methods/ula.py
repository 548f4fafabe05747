"""uLA: logits adjusted by what a biased head says."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import ULAClassifier

GRID = {"tau": (0.0, 0.5, 1.0), "lr": (1e-3, 1e-2)}
METHODS = {"uLA": of_classifier(ULAClassifier, groups=False, **GRID)}
