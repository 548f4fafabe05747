"""DFR, on validation or on training samples; its grid is the published one."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import DFRClassifier

METHODS = {
    "DFR": of_classifier(DFRClassifier),
    "DFR, training samples": of_classifier(
        DFRClassifier,
        uses="training groups; validation labels; validation groups to select",
        variant="train",
        n_retrains=10,
    ),
}
