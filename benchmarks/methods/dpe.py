"""DPE: an ensemble of prototypes on balanced validation samples."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import DPEClassifier

METHODS = {
    "DPE": of_classifier(DPEClassifier),
    "DPE, no groups": of_classifier(DPEClassifier, groups=False),
}
