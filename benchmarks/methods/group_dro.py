"""Group DRO, which descends on the worst training group."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import GroupDROClassifier

METHODS = {"group DRO": of_classifier(GroupDROClassifier, l2=(1e-4, 1e-2, 1.0), lr=(1e-3, 1e-2))}
