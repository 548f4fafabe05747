"""Data with a shortcut: an embedded set, a generator, and files of your own features."""

from sklearn_hsfm.datasets._digit_dominoes import load_digit_dominoes
from sklearn_hsfm.datasets._features import load_features
from sklearn_hsfm.datasets._spurious import make_spurious_features

__all__ = ["load_digit_dominoes", "load_features", "make_spurious_features"]
