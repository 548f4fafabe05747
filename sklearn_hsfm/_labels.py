"""Labels as indices into the classes, whatever kind they are."""

import numpy as np

from sklearn_hsfm.metrics._columns import check_no_missing, sorted_values


def encoded_labels(y):
    """Return the classes, sorted, and labels as indices into them."""
    return sorted_values(y, "y", return_inverse=True)


def check_labels_compare(y):
    """Refuse labels that are missing, bytes or without order, before scikit-learn sees them."""
    labels = np.ravel(np.asarray(y))
    if labels.dtype.kind == "S":
        raise ValueError("y holds bytes; make them text, for example by y.astype(str).")
    if y is not None and labels.dtype == object:
        check_no_missing(labels, "y")
        sorted_values(labels, "y")


def class_indices(y, classes, name, advice=""):
    """Return labels as indices into ``classes``; unknown ones are an error that says so.

    Text is no number: numpy compares both as text, and would sort 10 before 9.
    """
    place = {label: index for index, label in enumerate(classes.tolist())}
    labels = np.asarray(y).tolist()
    index = np.array([place.get(label, -1) for label in labels], dtype=np.intp)
    if (index < 0).any():
        unknown = list(dict.fromkeys(labels[i] for i in np.flatnonzero(index < 0)))
        shown = f"{unknown[:10]}" + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        raise ValueError(
            f"{name} has labels that y does not have: {shown}; y has {classes.tolist()}.{advice}"
        )
    return index
