"""Clusters within each class, as GEORGE and SPARE look for them."""

import numpy as np
from sklearn.decomposition import PCA

from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm._kmeans import by_silhouette
from sklearn_hsfm.discovery._cross_fit import class_balanced, cross_fitted
from sklearn_hsfm.discovery._split import MIN_CLASS, MIN_HURT, Split

N_COMPONENTS = 50
MOST_CLUSTERS = 5


def clusters(Z, y, rng, *, C, share, cv, n_repeats):
    """Cut each class into clusters; the hurt are the one that held-out ERM reads worst.

    K-means on the principal components of the class; of 2 to 5 clusters the number with the
    largest silhouette.
    """
    folds = draw_folds(y, cv, n_repeats, rng)
    logits, _ = cross_fitted(Z, y, class_balanced(y), C, folds)
    margin, n_classes = margins(logits, y), y.max() + 1
    scores, threshold = np.empty(len(y)), np.full(n_classes, np.inf)
    state = {}
    for c in range(n_classes):
        rows = np.flatnonzero(y == c)
        axes, centers, cluster = _cut(Z[rows], rng) if len(rows) >= MIN_CLASS else _whole(Z[rows])
        hardness = np.array([-margin[rows][cluster == k].mean() for k in range(len(centers))])
        enough = np.bincount(cluster, minlength=len(centers)) >= MIN_HURT
        if len(centers) > 1 and enough.sum() > 1:
            threshold[c] = hardness[enough].max()
            hardness[~enough] = np.minimum(hardness[~enough], hardness[enough].min())
        scores[rows] = hardness[cluster]
        state |= {f"axes{c}": axes, f"centers{c}": centers, f"hardness{c}": hardness}
    helped = scores < threshold[y]
    return Split(scores, threshold, helped, ~helped, logits, state)


def score(Z, y, state):
    """Return the scores of new samples: those of the cluster that they are nearest to."""
    scores = np.empty(len(y))
    for c in np.unique(y):
        rows, centers = np.flatnonzero(y == c), state[f"centers{c}"]
        seen = Z[rows] @ state[f"axes{c}"].T
        distance = (centers**2).sum(axis=1) - 2 * seen @ centers.T
        scores[rows] = state[f"hardness{c}"][distance.argmin(axis=1)]
    return scores


def _cut(Z, rng):
    seed = rng.randint(np.iinfo(np.int32).max)
    n = min(N_COMPONENTS, *Z.shape)
    axes = PCA(n, random_state=seed).fit(Z).components_
    found, _ = by_silhouette(Z @ axes.T, MOST_CLUSTERS, seed)
    if found is None:
        return _whole(Z)
    return axes, found.cluster_centers_, found.labels_


def _whole(Z):
    return np.zeros((1, Z.shape[1])), np.zeros((1, 1)), np.zeros(len(Z), dtype=int)
