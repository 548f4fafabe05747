"""Robust last layers for classifiers that rely on a shortcut, in scikit-learn's language."""

import importlib
from typing import TYPE_CHECKING

from sklearn_hsfm.__about__ import __version__
from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._paper_settings import paper_settings
from sklearn_hsfm._validation_set import ValidationSet

_LAZY = {  # the room of each name that is loaded when it is asked for
    "FeatureExtractor": "extraction",
    "ShortcutFinder": "discovery",
    "repaired": "deployment",
}

# Without those: a star should load no torch either.
__all__ = ["HSFMClassifier", "HSFMClassifierCV", "ValidationSet", "__version__", "paper_settings"]


if TYPE_CHECKING:
    from sklearn_hsfm.deployment import repaired as repaired
    from sklearn_hsfm.discovery import ShortcutFinder as ShortcutFinder
    from sklearn_hsfm.extraction import FeatureExtractor as FeatureExtractor
else:  # hidden from type checkers, which would take any name for one of the package

    def __getattr__(name):
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__():
    return sorted({*globals(), *_LAZY})
