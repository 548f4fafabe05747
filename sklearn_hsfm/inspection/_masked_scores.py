"""Areas under ROC curves and drops of accuracy, with bootstrap intervals."""

import numpy as np
from scipy.stats import rankdata


def auc(proba, index):
    """Return the area under the ROC curve, each class that occurs against the rest, averaged."""
    areas = []
    for c in np.unique(index):
        positive = index == c
        n = positive.sum()
        if n < len(index):
            ranks = rankdata(proba[:, c])[positive].sum()
            areas.append((ranks - n * (n + 1) / 2) / (n * (len(index) - n)))
    return np.mean(areas) if areas else np.nan


def auc_interval(proba, index, ends, n_draws, rng):
    """Return the AUC and its interval over resamples of each class."""
    if len(np.unique(index)) < 2:
        return np.nan, np.nan, np.nan
    of_class = [np.flatnonzero(index == c) for c in np.unique(index)]
    draws = []
    for _ in range(n_draws):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in of_class])
        draws.append(auc(proba[rows], index[rows]))
    return auc(proba, index), *np.percentile(draws, ends)


def drop_interval(before, after, ends, n_draws, rng):
    """Return the drop of accuracy and its interval over resamples of images."""
    lost = before.astype(float) - after
    values = [np.mean(lost == v) for v in (-1, 0, 1)]
    draws = rng.multinomial(len(lost), values, size=n_draws) @ [-1, 0, 1] / len(lost)
    return lost.mean(), *np.percentile(draws, ends)
