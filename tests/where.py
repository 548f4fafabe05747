"""Images whose lower half is a shortcut, and features that are quick."""

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin

from sklearn_hsfm.extraction._images import Images

PALETTE = np.array([[220, 30, 30], [30, 30, 220], [30, 200, 30], [230, 230, 230]])


class Shares(TransformerMixin, BaseEstimator):
    """Features: the share of pixels of each of four colours; others do not count."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        images = Images(X)
        return np.array([self._of(images.load(i)) for i in range(len(images))])

    def _of(self, image):
        if not isinstance(image, Image.Image):
            image = np.round(image.numpy().transpose(1, 2, 0) * 255)
        distance = ((np.asarray(image, dtype=float)[..., None, :] - PALETTE) ** 2).sum(axis=-1)
        nearest = np.where(distance.min(axis=-1) < 60**2, distance.argmin(axis=-1), 4)
        return np.bincount(nearest.ravel(), minlength=5)[:4] / nearest.size


def halves(n, agrees, seed):
    """Return images of 16 x 8 pixels, classes, and whether the lower half goes with the class.

    The upper half is red or blue, as the class, but for a third of its pixels or more; the lower
    half green or white.
    """
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 2
    held = rng.uniform(size=n) < agrees
    lower = np.where(held, y, 1 - y)
    images = np.empty((n, 16, 8, 3), dtype=np.uint8)
    for i in range(n):
        other = rng.uniform(size=(8, 8)) < rng.uniform(0.2, 0.55)
        images[i, :8] = PALETTE[np.where(other, 1 - y[i], y[i])]
        images[i, 8:] = PALETTE[2 + lower[i]]
    return images, y, held
