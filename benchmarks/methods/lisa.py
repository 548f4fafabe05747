"""LISA, which mixes training samples across the attribute."""

import numpy as np

from benchmarks.methods import of_classifier
from sklearn_hsfm.heads import LISAClassifier


def attribute_of(groups):
    """Return the attribute of groups "y=bird place=land", or numbered 2 * class + attribute."""
    groups = np.asarray(groups)
    if groups.dtype.kind in "iu":
        return groups % 2
    return np.array([str(group).partition(" ")[2] for group in groups])


METHODS = {
    "LISA": of_classifier(LISAClassifier, l2=(1e-4, 1e-2, 1.0), lr=(1e-3, 1e-2))._replace(
        trained_on=attribute_of
    )
}
