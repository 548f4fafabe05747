"""Rows for a repair: images whose misleading regions are swapped or masked, or regions alone."""

import numpy as np
from sklearn.preprocessing import normalize

from sklearn_hsfm.inspection._image_edits import (
    as_given,
    fill_colour,
    filled,
    pixels,
    resized,
    within,
)
from sklearn_hsfm.inspection._regions import RegionImages


def rows_of(found, extractor, images, y, boxes, of_image, how, rng):
    """Return features, labels and weights; see `RegionClusters.extra_rows`."""
    features = np.asarray(extractor.transform(RegionImages(images, boxes, of_image, found.view)))
    inside = found.pointed[(normalize(features) @ found.centres.T).argmax(axis=1)]
    if how == "regions":
        return _regions_alone(features, inside, y, of_image, found.classes)
    rows = np.unique(of_image[inside])
    if not len(rows):
        raise ValueError("None of these images has a region of the clusters that are pointed to.")
    colour = fill_colour("mean", images)
    edited = []
    for row in rows:
        own = boxes[inside & (of_image == row)]
        image = pixels(images, row)
        if how == "masked":
            edited.append(filled(image, within(image, own), colour))
        else:
            other = rng.choice(np.flatnonzero(inside & (of_image != row)), size=len(own))
            edited.append(_swapped(image, own, images, boxes[other], of_image[other]))
    X = np.asarray(extractor.transform(as_given(edited, images)))
    return X, y[rows], np.ones(len(rows))


def _regions_alone(features, inside, y, of_image, classes):
    n_classes = len(classes)
    one = 1 / np.bincount(of_image)[of_image]
    X = np.concatenate([features[~inside], np.repeat(features[inside], n_classes, axis=0)])
    labels = np.concatenate([y[of_image[~inside]], np.tile(classes, inside.sum())])
    weight = np.concatenate([one[~inside], np.repeat(one[inside] / n_classes, n_classes)])
    return X, labels, weight


def _swapped(image, boxes, images, others, of_other):
    """Return a copy of an image whose boxes hold those of other images, made as large."""
    image = image.copy()
    for (left, top, right, bottom), (a, b, c, d), i in zip(boxes, others, of_other, strict=True):
        part = pixels(images, i)[b:d, a:c]
        if part.shape[:2] != (bottom - top, right - left):
            part = resized(part, right - left, bottom - top)
        image[top:bottom, left:right] = part
    return image
