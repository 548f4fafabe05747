"""CLP: a network learns which rows to make harder; two settings, since each takes long."""

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import CLPClassifier

METHODS = {"CLP": of_classifier(CLPClassifier)}
