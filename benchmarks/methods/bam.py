"""BAM: rows that a head with help for every row misreads, weighed up."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import BAMClassifier

METHODS = {"BAM": of_classifier(BAMClassifier, groups=False)}
