"""Cells of samples (classes, groups, shortcut slices) and the accuracy to expect in each.

Logits have R columns: two classes have R = 1, the log-odds, as scikit-learn's linear classifiers.
"""

import numpy as np
from scipy.special import ndtr

MIN_CELL = 10  # rows below which the accuracy of a cell is noise
PRIOR_ROWS = 30  # counted rows that the normal model of a cell is worth
N_THRESHOLDS = 181


def class_cells(y, n_classes):
    """Return the classes as cells, (n_samples, n_classes)."""
    return y[:, None] == np.arange(n_classes)


def margins(logits, y):
    """Return how far the logits, (..., n_samples, R), speak for the true class."""
    if logits.shape[-1] == 1:
        return np.where(y == 1, logits[..., 0], -logits[..., 0])
    own = np.take_along_axis(logits, np.broadcast_to(y[:, None], (*logits.shape[:-1], 1)), axis=-1)
    others = np.where(np.arange(logits.shape[-1]) == y[:, None], -np.inf, logits)
    return own[..., 0] - others.max(axis=-1)


def trial_thresholds(logits):
    """Return the thresholds to try on logits (n, n_samples, R), as (n, n_thresholds).

    Quantiles of the log-odds; 0 alone for more than two classes.
    """
    if logits.shape[-1] > 1:
        return np.zeros((len(logits), 1))
    return np.quantile(logits[..., 0], np.linspace(0.05, 0.95, N_THRESHOLDS), axis=1).T


def best_threshold(logits, y, cells, reduce):
    """Return the threshold at which logits (1, n_samples, R) score best, and that score.

    ``reduce`` sums up the accuracies of the cells, as `expected_accuracies` has them.
    """
    trials = trial_thresholds(logits)
    values = reduce(expected_accuracies(logits, y, cells, trials)[0], axis=-1)
    return trials[0, values.argmax()], values.max()


def expected_accuracies(logits, y, cells, thresholds):
    """Return the accuracy to expect in each cell at each threshold.

    Counted hits jump by 1 / n, and on the few rows of a small cell say little. The logits of
    linear heads are close to normal within a cell, so the rows of a cell say more by where
    they lie and how far they spread: ``Phi(mean margin / deviation)``. This model, whose
    deviation is drawn to that of all cells, is worth `PRIOR_ROWS` rows beside those counted.

    Parameters
    ----------
    logits : ndarray of shape (n_candidates, n_samples, R)
    y : ndarray of shape (n_samples,)
    cells : bool ndarray of shape (n_samples, n_cells)
        Each has a row or more; they may overlap and span classes.
    thresholds : ndarray of shape (n_candidates, n_thresholds)
        Subtracted from the log-odds.

    Returns
    -------
    ndarray of shape (n_candidates, n_thresholds, n_cells)
    """
    values = margins(logits.astype(np.float64), y)  # (n_candidates, n_samples)
    parts = [  # the rows of a cell that are of one class
        (k, c, np.flatnonzero(cell & (y == c)))
        for k, cell in enumerate(cells.T)
        for c in np.unique(y[cell])
    ]
    squares = sum(values[:, rows].var(axis=1) * len(rows) for _, _, rows in parts)
    pooled = squares / sum(len(rows) for _, _, rows in parts)
    hits = np.zeros((*thresholds.shape, cells.shape[1]))
    for k, c, rows in parts:
        n, part = len(rows), np.sort(values[:, rows], axis=1)
        # Log-odds above the threshold speak for class 1, those at or below it for class 0.
        needed, side = (thresholds, "right") if c == 1 else (-thresholds, "left")
        missed = [np.searchsorted(*pair, side=side) for pair in zip(part, needed, strict=True)]
        variance = (n * part.var(axis=1) + PRIOR_ROWS * pooled) / (n + PRIOR_ROWS)
        deviation = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
        by_model = ndtr((part.mean(axis=1)[:, None] - needed) / deviation[:, None])
        hits[..., k] += n * (n - np.array(missed) + PRIOR_ROWS * by_model) / (n + PRIOR_ROWS)
    return hits / cells.sum(axis=0)
