"""Columns of labels and of group ids, checked with the names of the arguments they came as."""

import numpy as np
from sklearn.metrics import accuracy_score


def one_column(values, name):
    """Return one value a row, as an array that misses none."""
    try:
        column = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array: {error}") from error
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise ValueError(
            f"{name} has shape {column.shape}; it must have one value a sample, (n_samples,)."
        )
    check_no_missing(column, name)
    return column


def check_no_missing(column, name):
    """Refuse what pandas calls missing: None, NaN, NaT and its own NA."""
    missing = _missing(column)
    if missing.any():
        raise ValueError(
            f"{name} is missing (None, NaN or NA) in {missing.sum()} of {len(column)} samples, "
            f"first in sample {missing.argmax()}; name it, for example 'unknown', or drop the "
            "samples."
        )


def sorted_values(column, name, **also):
    """Return what `numpy.unique` does; values that have no order are an error with a name."""
    try:
        return np.unique(column, **also)
    except (TypeError, ValueError) as error:
        kinds = sorted({type(value).__name__ for value in column.tolist()})
        raise ValueError(
            f"{name} mixes values of the kinds {', '.join(kinds)}, which have no order; make them "
            "one kind, such as text."
        ) from error


def check_same_length(**columns):
    """Refuse columns of different lengths."""
    lengths = [len(column) for column in columns.values()]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{', '.join(columns)} have inconsistent numbers of samples: {lengths}; give one value "
            "for each sample."
        )


def check_labels(y_true, y_pred):
    """Return labels and predictions as arrays; what `accuracy_score` refuses is an error."""
    columns = {"y_true": one_column(y_true, "y_true"), "y_pred": one_column(y_pred, "y_pred")}
    check_same_length(**columns)
    if len(columns["y_true"]) == 0:
        raise ValueError("There are 0 samples to score in y_true; give at least one.")
    for name, column in columns.items():
        if column.dtype == object:
            sorted_values(column, name)
    if len({_is_text(c) for c in columns.values()}) == 2:  # which scikit-learn 1.6 lets pass
        raise ValueError(
            "In y_true, y_pred: Mix of label input types (string and number); make both one kind."
        )
    try:
        with np.errstate(invalid="ignore"):  # of the casts by which it looks for infinity
            accuracy_score(y_true, y_pred)
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"In y_true, y_pred: {error}") from error
    return columns["y_true"], columns["y_pred"]


def _is_text(column):
    return column.dtype.kind == "U" or isinstance(column[0], str)


def _missing(column):
    if column.dtype.kind in "biuSU":
        return np.zeros(len(column), dtype=bool)
    if column.dtype.kind in "fcmM":
        return column != column
    return np.array([not _is_itself(value) for value in column], dtype=bool)


def _is_itself(value):
    """Return whether a value is there: one that is missing does not say that it equals itself."""
    same = value is not None and value == value
    # The comparison of pandas' NA is NA, which is neither.
    return isinstance(same, bool | np.bool_) and bool(same)
