"""Images with their labels, checked."""

from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sklearn_hsfm._labels import encoded_labels
from sklearn_hsfm.extraction._images import Images


def labelled_images(X, y, name="y"):
    """Return images and their labels, one each; ``name`` is what the labels came as."""
    images, labels = Images(X), column_or_1d(y)
    check_classification_targets(labels)
    if len(labels) != len(images):
        raise ValueError(f"There are {len(images)} images, but {name} has {len(labels)} labels.")
    return images, labels


def encoded(labels):
    """Return the classes, two or more, and labels as indices into them."""
    classes, index = encoded_labels(labels)
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()}; it must have two or more.")
    return classes, index
