"""Robust last layers for classifiers that rely on a shortcut, in scikit-learn's language."""

from sklearn_hsfm.__about__ import __version__
from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._paper_settings import paper_settings
from sklearn_hsfm._validation_set import ValidationSet

__all__ = ["HSFMClassifier", "HSFMClassifierCV", "ValidationSet", "__version__", "paper_settings"]
