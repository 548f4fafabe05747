"""MST and FG-CCDB: what a biased head says, distributed alike in every class."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import FGCCDBClassifier

METHODS = {"FG-CCDB": of_classifier(FGCCDBClassifier, groups=False)}
