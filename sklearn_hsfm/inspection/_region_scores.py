"""RaVL's two metrics of a cluster of regions, and what labels without meaning would give."""

from typing import NamedTuple

import numpy as np

from sklearn_hsfm.metrics._scores import _wilson

MIN_ERRORS = 10  # fewer say nothing about what misled
SURELY_BETTER = 3.0  # standard errors above chance: nobody who learned noise may pass


class ClusterScores(NamedTuple):
    """Of each cluster, and of each class in it."""

    n_with: np.ndarray  # (n_clusters, n_classes) images of the class with a region of the cluster
    n_without: np.ndarray
    accuracy_with: np.ndarray  # NaN where there is no image
    accuracy_without: np.ndarray
    gap: np.ndarray  # weighted, 0 where a side has no image
    influence: np.ndarray  # (n_clusters,)
    influence_low: np.ndarray
    influence_high: np.ndarray
    n_errors: np.ndarray  # errors that the influence is a share of


def presence(cluster, of_image, n_images, n_clusters):
    """Return which images hold a region of each cluster, bool (n_images, n_clusters)."""
    there = np.zeros((n_images, n_clusters), dtype=bool)
    there[of_image, cluster] = True
    return there


def gaps(hit, y, there, n_classes):
    """Return counts, accuracies and weighted gaps, each (n_clusters, n_classes)."""
    of_class = np.eye(n_classes)[y]  # (n_images, n_classes)
    n_with = there.T.astype(float) @ of_class
    n = of_class.sum(axis=0)
    hits_with = there.T.astype(float) @ (of_class * hit[:, None])
    hits = (of_class * hit[:, None]).sum(axis=0)
    n_without = n - n_with
    with np.errstate(invalid="ignore"):  # 0 / 0: no image on that side
        accuracy_with, accuracy_without = hits_with / n_with, (hits - hits_with) / n_without
        weight = 2 * np.minimum(n_with, n_without) / n
        gap = np.nan_to_num(weight * (accuracy_with - accuracy_without))
    return n_with.astype(int), n_without.astype(int), accuracy_with, accuracy_without, gap


def both_ways(gap):
    """Return how far the gap goes up in one class and down in another, (n_clusters,)."""
    return np.minimum(gap.max(axis=1), -gap.min(axis=1))


def p_values(hit, y, there, n_classes, n_permutations, rng):
    """Return p-values of `both_ways`, corrected for the number of clusters by the largest.

    Within each class, the images that are right and wrong are shuffled.
    """
    seen = both_ways(gaps(hit, y, there, n_classes)[-1])
    rows_of = [np.flatnonzero(y == c) for c in range(n_classes)]
    as_large = np.ones(len(seen))
    for _ in range(n_permutations):
        shuffled = hit.copy()
        for rows in rows_of:
            shuffled[rows] = rng.permutation(hit[rows])
        as_large += both_ways(gaps(shuffled, y, there, n_classes)[-1]).max() >= seen - 1e-12
    return as_large / (n_permutations + 1)


def score_clusters(cluster, of_image, y, y_pred, region_proba, n_clusters, n_classes, confidence):
    """Return the scores of every cluster.

    ``region_proba``, (n_regions, n_classes), is what the head says of each region alone.
    """
    hit = y == y_pred
    there = presence(cluster, of_image, len(y), n_clusters)
    counted = gaps(hit, y, there, n_classes)
    strongest = _strongest(of_image, region_proba[np.arange(len(of_image)), y_pred[of_image]])
    several = np.bincount(of_image, minlength=len(y)) > 1
    influence, low, high = (np.full(n_clusters, np.nan) for _ in range(3))
    n_errors = np.zeros(n_clusters, dtype=int)
    for k in range(n_clusters):
        for c in np.flatnonzero(counted[-1][k] < 0):
            wrong = np.flatnonzero(~hit & there[:, k] & (y == c) & several)
            if not len(wrong):
                continue
            share = np.mean(cluster[strongest[wrong]] == k)
            if not share <= influence[k]:  # the largest over classes, and the first one
                influence[k], n_errors[k] = share, len(wrong)
                low[k], high[k] = _wilson(share, np.array(len(wrong)), confidence)
    return ClusterScores(*counted, influence, low, high, n_errors)


def _strongest(of_image, score):
    """Return of each image its region with the highest score, -1 where it has none."""
    order = np.lexsort([score, of_image])
    strongest = np.full(of_image.max() + 1, -1)
    strongest[of_image[order]] = order  # the last one of each image stays
    return strongest


def too_little(hit, y, n_classes, trusted):
    """Return why nothing can be told, or None."""
    n = np.bincount(y, minlength=n_classes)
    if n.min() < 2:
        return f"A class has {n.min()} images; two of each are needed."
    if (~hit).sum() < MIN_ERRORS:
        return f"{(~hit).sum()} of {len(hit)} images are misread; {MIN_ERRORS} are needed."
    accuracy = np.bincount(y, weights=hit, minlength=n_classes) / n
    error = np.sqrt((accuracy * (1 - accuracy) / n).sum()) / n_classes
    if not trusted and accuracy.mean() - SURELY_BETTER * error <= 1 / n_classes:
        return (
            "The classifier is not clearly better than chance on these images (balanced accuracy "
            f"{accuracy.mean():.2f} ± {error:.2f}): who learned nothing leans on something, too. "
            "If it is known to be good on samples like those that it was fitted on, pass "
            "trusted=True."
        )
    return None
