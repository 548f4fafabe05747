"""Differences between two methods on the same samples, with intervals."""

import numpy as np

from sklearn_hsfm._choosing.cells import margins

_Z = 1.959964  # of 95 %


def paired_differences(before, after, member):
    """Return by how much accuracies differ in each cell, with 95 % intervals (3, n_cells).

    Samples count in pairs, as in McNemar's test; half a sample is added to each kind of pair, as
    A. Agresti and Y. Min do, so that the interval of no difference has a length.

    Parameters
    ----------
    before, after : bool ndarray of shape (n_samples,)
        What is right.
    member : bool ndarray of shape (n_samples, n_cells)
    """
    count = member.sum(axis=0)
    n = count + 2
    pairs = (after & ~before), (before & ~after)
    won, lost = (pair @ member.astype(float) + 0.5 for pair in pairs)
    middle = (won - lost) / n
    error = np.sqrt(np.maximum(won + lost - (won - lost) ** 2 / n, 0)) / n
    with np.errstate(invalid="ignore"):  # of a group without samples it is NaN
        difference = (won - lost) / count
    return np.array([difference, *np.clip([middle - _Z * error, middle + _Z * error], -1, 1)])


def balanced_gain(y, before, after):
    """Return how much better logits read the classes, each weighing the same, and the error."""
    difference = (margins(after, y) > 0).astype(float) - (margins(before, y) > 0)
    parts = [difference[y == c] for c in np.unique(y)]
    error = np.sqrt(sum(part.var() / len(part) for part in parts)) / len(parts)
    return float(np.mean([part.mean() for part in parts])), float(error)
