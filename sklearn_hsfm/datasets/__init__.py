"""Data with a shortcut: an embedded set, a generator, features of your own, the public sets."""

from sklearn_hsfm.datasets._digit_dominoes import load_digit_dominoes
from sklearn_hsfm.datasets._features import load_features
from sklearn_hsfm.datasets._fine_grained import load_cars, load_cub, load_flowers
from sklearn_hsfm.datasets._group_sets import (
    load_celeba,
    load_dominoes,
    load_metashift,
    load_waterbirds,
)
from sklearn_hsfm.datasets._image_folders import load_image_folder
from sklearn_hsfm.datasets._image_tables import load_image_table
from sklearn_hsfm.datasets._other_libraries import from_dataset
from sklearn_hsfm.datasets._spurious import make_spurious_features

__all__ = [
    "from_dataset",
    "load_cars",
    "load_celeba",
    "load_cub",
    "load_digit_dominoes",
    "load_dominoes",
    "load_features",
    "load_flowers",
    "load_image_folder",
    "load_image_table",
    "load_metashift",
    "load_waterbirds",
    "make_spurious_features",
]
