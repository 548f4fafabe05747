"""CVaR DRO, which descends on the largest losses of each batch."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import CVaRDROClassifier

METHODS = {"CVaR DRO": of_classifier(CVaRDROClassifier, alpha=(0.1, 0.3), l2=(1e-4, 1e-2, 1.0))}
