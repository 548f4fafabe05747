"""Images that were changed, handed to a classifier in the form in which they came."""

from numbers import Integral

import numpy as np
from PIL import Image
from scipy.special import softmax

from sklearn_hsfm._progress import bar
from sklearn_hsfm.inspection._pictures import check_images

_SAMPLE = 200  # images whose pixels say what the mean colour is
_AT_ONCE = 256  # images that are changed and judged at a time


def pixels(images, index):
    """Return an image as (height, width, 3): uint8, or float32 where floats were given."""
    image = images.in_colour(int(index))
    return np.asarray(image) if isinstance(image, Image.Image) else image.numpy().transpose(1, 2, 0)


def as_given(edited, images):
    """Return arrays (height, width, 3) in the form of ``images``; files become PIL images."""
    if images.kind != "array":
        return [_as_item(image) for image in edited]
    if edited[0].dtype.kind == "f":
        edited = [image.transpose(2, 0, 1) for image in edited]
    same = len({image.shape for image in edited}) == 1
    return np.stack(edited) if same else list(edited)


def _as_item(image):
    return image.transpose(2, 0, 1) if image.dtype.kind == "f" else Image.fromarray(image)


def mean_colour(images):
    """Return the mean colour, (3,), of evenly spaced images, in units of their pixels."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(len(images), _SAMPLE)).astype(int))
    return np.mean([pixels(images, i).mean(axis=(0, 1)) for i in rows], axis=0)


def fill_colour(fill, images):
    """Return the colour that ``fill`` means: "mean", a grey value or three."""
    if isinstance(fill, str):
        if fill != "mean":
            raise ValueError(f'fill={fill!r}; it must be "mean", a number or three numbers.')
        return mean_colour(images)
    colour = np.asarray(fill, dtype=float)
    if colour.shape not in ((), (3,)) or not np.isfinite(colour).all():
        raise ValueError(f'fill={fill!r}; it must be "mean", a number or three numbers.')
    return np.broadcast_to(colour, (3,))


def filled(image, mask, colour):
    """Return a copy of an image whose masked pixels have one colour."""
    image = image.copy()
    image[mask] = np.round(colour) if image.dtype.kind == "u" else colour
    return image


def within(image, boxes):
    """Return the pixels of an image that lie in one of some boxes, bool (height, width)."""
    mask = np.zeros(image.shape[:2], dtype=bool)
    for left, top, right, bottom in boxes:
        mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


def resized(image, width, height):
    """Return an image, (height, width, 3), made as large as that."""
    bands = [
        Image.fromarray(band).resize((width, height), Image.Resampling.BILINEAR)
        for band in np.ascontiguousarray(image.transpose(2, 0, 1))
    ]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def grid_boxes(height, width, n_rows, n_columns):
    """Return windows that part an image, (n_rows * n_columns, 4): left, top, right, bottom."""
    if height < n_rows or width < n_columns:
        raise ValueError(
            f"An image of {height} x {width} pixels has no grid of {n_rows} x {n_columns} windows."
        )
    top = np.linspace(0, height, n_rows + 1).round().astype(int)
    left = np.linspace(0, width, n_columns + 1).round().astype(int)
    return np.array(
        [
            (left[c], top[r], left[c + 1], top[r + 1])
            for r in range(n_rows)
            for c in range(n_columns)
        ]
    )


def check_grid(grid):
    """Return rows and columns of a grid."""
    ok = isinstance(grid, tuple | list) and len(grid) == 2
    if not ok or not all(isinstance(n, Integral) and n >= 1 for n in grid):
        raise ValueError(f"grid={grid!r}; it must be two numbers, rows and columns, 1 or more.")
    return tuple(map(int, grid))


def images_and_classes(estimator, images, n_samples=None):
    """Return images as a sequence and the classes of a fitted classifier."""
    if not hasattr(estimator, "predict"):
        raise TypeError(f"{type(estimator).__name__} has no predict; pass a fitted classifier.")
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise ValueError(
            f"{type(estimator).__name__} has no classes_; fit it, or set classes_ to its labels in "
            "the order of the columns of predict_proba."
        )
    n_samples = len(images) if n_samples is None else n_samples
    return check_images(images, n_samples), np.asarray(classes)


def probabilities(estimator, X, classes):
    """Return the probability of each class, (n_samples, n_classes), as well as can be told.

    From ``predict_proba``, else by softmax of ``decision_function``, else 0 and 1 of ``predict``.
    """
    if hasattr(estimator, "predict_proba"):
        proba = np.asarray(estimator.predict_proba(X), dtype=float)
    elif hasattr(estimator, "decision_function"):
        logits = np.asarray(estimator.decision_function(X), dtype=float)
        if logits.ndim == 1:
            logits = np.column_stack([-logits / 2, logits / 2])
        proba = softmax(logits, axis=1)
    else:
        proba = (np.asarray(estimator.predict(X))[:, None] == classes).astype(float)
    if proba.shape != (len(X), len(classes)) or not np.isfinite(proba).all():
        raise ValueError(
            f"{type(estimator).__name__} says {proba.shape} numbers for {len(X)} images of "
            f"{len(classes)} classes; finite ones of shape ({len(X)}, {len(classes)}) are needed."
        )
    return proba


def judged(estimator, images, classes, rows, edit, progress, label):
    """Return the probabilities of ``edit(pixels, row)`` of each sample, (n_rows, n_classes)."""
    proba = np.empty((len(rows), len(classes)))
    for start in bar(progress, range(0, len(rows), _AT_ONCE), desc=label):
        part = rows[start : start + _AT_ONCE]
        edited = [edit(pixels(images, i), i) for i in part]
        said = probabilities(estimator, as_given(edited, images), classes)
        proba[start : start + len(part)] = said
    return proba
