"""Whether there is a second population at all."""

from typing import NamedTuple

import numpy as np
from scipy.stats import skew

from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm.discovery._cross_fit import cell_balanced, cross_fitted, fitted_head, logits_of
from sklearn_hsfm.discovery._split import MIN_CLASS, as_cells

NONE_BELOW, CERTAIN_FROM = 0.5, 1.2  # transferred skewness, mean over classes
READ_FROM = 0.6  # over the number of classes: informedness below which wrong labels are likelier
N_BOOTSTRAPS = 200


class Evidence(NamedTuple):
    """How the samples of each class lie along what hurts the other classes."""

    skewness: np.ndarray  # (n_classes,) NaN where a class has too few samples
    error: np.ndarray  # (n_classes,) standard errors
    informedness: np.ndarray  # (n_classes,) of a repaired head, out of fold

    @property
    def mean(self):
        """Mean over the classes that are known, and its error."""
        known = np.isfinite(self.skewness)
        if not known.any():
            return np.nan, np.nan
        return self.skewness[known].mean(), np.sqrt((self.error[known] ** 2).sum()) / known.sum()

    @property
    def least(self):
        """The mean informedness that is needed; guesses among more classes have less."""
        return READ_FROM / len(self.informedness)

    @property
    def readable(self):
        """Whether a repaired head reads the hurt without misreading the helped."""
        known = self.informedness[np.isfinite(self.informedness)]
        return len(known) > 0 and known.mean() > self.least

    @property
    def strength(self):
        """How much of a repair is warranted, 0 to 1."""
        mean = self.mean[0]
        if np.isnan(mean) or not self.readable:
            return 0.0
        return float(np.clip((mean - NONE_BELOW) / (CERTAIN_FROM - NONE_BELOW), 0, 1))


def evidence_of(Z, y, helped, hurt, logits, C, rng):
    """Return the `Evidence` for a split into helped and hurt samples.

    A shortcut is shared: the attribute that misleads in one class sets a few samples of the others
    apart as well. A head that tells hurt from helped in the other classes orders the samples of a
    class that it never saw, and a minority with the attribute is a heavy upper tail of that order;
    samples that are hard each for a reason of its own leave the order even.

    Samples with a wrong label are such a tail, too. But they are like the helped of another class,
    so no head that balances the cells reads both: its accuracies on the hurt and on the helped,
    out of fold, add up to one, and their informedness, the sum less one, is nothing.
    """
    n_classes = y.max() + 1
    skewness, error = np.full((2, n_classes), np.nan)
    cells, said = as_cells(y, helped, hurt, n_classes), said_by_shortcut(y, hurt, logits)
    for c in range(n_classes):
        scores = transferred(Z, y, c, cells, said, C)
        if scores is not None and len(scores) >= MIN_CLASS:
            skewness[c] = skew(scores)
            draws = rng.randint(len(scores), size=(N_BOOTSTRAPS, len(scores)))
            error[c] = skew(scores[draws], axis=1).std()
    return Evidence(skewness, error, informedness(Z, y, cells, helped, hurt, C, rng))


def informedness(Z, y, cells, helped, hurt, C, rng):
    """Return, of each class, how well a head that balances the cells reads hurt and helped both."""
    found = np.full(y.max() + 1, np.nan)
    if hurt.any():
        folds = draw_folds(y, 2, 3, rng)
        right = margins(cross_fitted(Z, y, cell_balanced(cells), C, folds)[0], y) > 0
        for c in np.intersect1d(y[hurt], y[helped]):  # of equal scores all are hurt
            found[c] = right[hurt & (y == c)].mean() + right[helped & (y == c)].mean() - 1
    return found


def said_by_shortcut(y, hurt, logits):
    """Return the class that a shortcut says: the own; of the hurt the one they are taken for."""
    rivals = np.array([margins(logits, np.full(len(y), k)) for k in range(y.max() + 1)])
    rivals[y, np.arange(len(y))] = -np.inf
    return np.where(hurt, rivals.argmax(axis=0), y)


def transferred(Z, y, c, cells, said, C):
    """Return how samples of class ``c`` look in the light of what hurts the other classes.

    The samples of the others that are in ``cells`` teach what a shortcut has ``said``. None where
    it has said ``c`` of nobody.
    """
    others = (y != c) & cells.any(axis=1)
    known, index = np.unique(said[others], return_inverse=True)
    if c not in known or len(known) < 2:
        return None
    head = fitted_head(Z[others], index, cell_balanced(cells[others]), C)
    place = np.full((y == c).sum(), np.searchsorted(known, c))
    return -margins(logits_of(Z[y == c], head), place)
