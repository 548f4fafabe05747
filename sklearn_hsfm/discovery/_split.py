"""What a method of discovery returns: scores, who is hurt, and how to score new samples."""

from typing import NamedTuple

import numpy as np

MIN_HURT = 8  # samples of a class, below which nothing can be learned about them
HELPED_SHARE = 0.7  # of a class, those that a shortcut clearly helps
WAY = 0.75  # from helped to surely hurt, beyond which samples are hurt
MIN_CLASS = 4 * MIN_HURT  # samples of a class, below which it is not split


class Split(NamedTuple):
    """The samples of each class that a shortcut helps and hurts.

    A sample of class c is hurt where its score is ``threshold[c]`` or more; the evidence is asked
    of those ``surely`` hurt. ``state`` is what scores new samples, arrays alone.
    """

    scores: np.ndarray  # (n_samples,) the higher, the more a shortcut hurts
    threshold: np.ndarray  # (n_classes,)
    helped: np.ndarray  # (n_samples,) bool; samples in between are neither helped nor hurt
    surely: np.ndarray  # (n_samples,) bool
    logits: np.ndarray  # (n_samples, R) of the leaning head, out of fold
    state: dict


def highest(scores, y, share):
    """Return the threshold of each class that a ``share`` of it reaches, `MIN_HURT` at least.

    A class of fewer than `MIN_CLASS` samples is not split: its threshold is infinite.
    """
    threshold = np.full(y.max() + 1, np.inf)
    for c in range(len(threshold)):
        of_class = np.sort(scores[y == c])
        if len(of_class) >= MIN_CLASS:
            threshold[c] = of_class[-max(MIN_HURT, round(share * len(of_class)))]
    return threshold


def lowest(scores, y, share=HELPED_SHARE):
    """Return the samples among the lowest ``share`` of their class, as a mask."""
    mask = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)
        order = rows[np.argsort(scores[rows], kind="stable")]
        mask[order[: round(share * len(rows)) if len(rows) >= MIN_CLASS else len(rows)]] = True
    return mask


def beyond(scores, y, share):
    """Return the threshold of each class most of the way from its lowest to its highest scores.

    From the median of the lowest part to the mean of the highest ``share``. A population of its
    own is beyond it as a whole, however large; of a tail it is a few per cent.
    """
    least, low = highest(scores, y, share), lowest(scores, y)
    threshold = np.full(len(least), np.inf)
    for c in np.flatnonzero(np.isfinite(least)):
        of_class = scores[y == c]
        from_, to = np.median(scores[low & (y == c)]), of_class[of_class >= least[c]].mean()
        threshold[c] = min(from_ + WAY * (to - from_), np.sort(of_class)[-MIN_HURT])
    return threshold


def as_cells(y, helped, hurt, n_classes):
    """Return the helped and the hurt of each class side by side, (n_samples, 2 * n_classes)."""
    cells = np.zeros((len(y), 2 * n_classes), dtype=bool)
    cells[helped, 2 * y[helped]] = True
    cells[hurt, 2 * y[hurt] + 1] = True
    return cells


def units_of(values, y):
    """Return mean and deviation of values within each class, (n_classes, 2)."""
    units = [(values[y == c].mean(), values[y == c].std()) for c in range(y.max() + 1)]
    return np.array([(m, s if s > 0 else 1.0) for m, s in units])


def in_units(values, y, units):
    """Return values in units of their class."""
    return (values - units[y, 0]) / units[y, 1]
