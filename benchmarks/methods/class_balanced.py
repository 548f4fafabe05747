"""Class-balanced retraining: one regression on the validation samples."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import ClassBalancedClassifier

METHODS = {
    "class-balanced retraining": of_classifier(
        ClassBalancedClassifier, groups=False, Cs=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    )
}
