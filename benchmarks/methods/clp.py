"""CLP: a network learns which rows to make harder."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import CLPClassifier

METHODS = {"CLP": of_classifier(CLPClassifier, lr=(1e-3, 1e-2, 1e-1), l2=(5e-4, 5e-2))}
