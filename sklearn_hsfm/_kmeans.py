"""k-means whose silhouette says how many clusters there are."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

LOOKED_AT = 2000  # points whose silhouette is taken


def by_silhouette(points, most, seed):
    """Return the k-means of 2 to ``most`` clusters of largest silhouette, and the silhouette.

    None and -inf where nothing can be cut: points that are all the same, or but for a few outliers
    that are not among those whose silhouette is taken.
    """
    drawn = np.random.RandomState(seed).permutation(len(points))[:LOOKED_AT]
    n_distinct = len(np.unique(points, axis=0))
    best, largest = None, -np.inf
    for k in range(2, min(most, n_distinct, len(points) // 2) + 1):
        found = KMeans(k, n_init=3, random_state=seed).fit(points)
        labels = found.labels_[drawn]
        if not 2 <= len(np.unique(labels)) < len(drawn):
            continue
        silhouette = silhouette_score(points[drawn], labels)
        if silhouette > largest:
            best, largest = found, silhouette
    return best, largest
