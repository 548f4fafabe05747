"""What a group is: ids of any kind, or boolean membership, as one matrix."""

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d


def groups_from_attributes(y, **attributes):
    """Return one readable group id a row: each combination of class and attributes.

    The ids are text, so they mean the same in every split, whichever combinations it has.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    **attributes : array-like of shape (n_samples,)
        Attribute columns by name; the columns of a DataFrame as
        ``groups_from_attributes(y, **frame[["place"]])``.

    Returns
    -------
    ndarray of shape (n_samples,)
        Text such as ``"y=1 place=water"``.

    Raises
    ------
    ValueError
        If lengths differ, or a value is missing.

    Examples
    --------
    >>> from sklearn_hsfm.metrics import groups_from_attributes
    >>> print(*groups_from_attributes([0, 1], place=["land", "water"]), sep="; ")
    y=0 place=land; y=1 place=water
    """
    columns = {"y": column_or_1d(y), **{k: column_or_1d(v) for k, v in attributes.items()}}
    check_consistent_length(*columns.values())
    for name, column in columns.items():
        _check_no_missing(column, name)
    rows = zip(*columns.values(), strict=True)
    return np.array([" ".join(f"{k}={v}" for k, v in zip(columns, r, strict=True)) for r in rows])


def group_membership(groups, n_samples):
    """Return names, (n_groups,), and membership, a bool array (n_samples, n_groups)."""
    if np.ndim(groups) == 2:
        names = np.asarray(getattr(groups, "columns", np.arange(np.shape(groups)[1])))
        member = np.asarray(groups)
        if member.dtype != bool:
            raise ValueError(
                f"groups has shape {member.shape} and dtype {member.dtype}; a matrix of "
                "overlapping groups must be boolean. For disjoint groups pass one id a row, "
                "for attribute columns groups_from_attributes(y, name=column)."
            )
    else:
        ids = column_or_1d(groups)
        _check_no_missing(ids, "groups")
        names, member = one_per_id(ids)
    if len(member) != n_samples:
        raise ValueError(
            f"groups has {len(member)} rows, but there are {n_samples} labels; "
            "give one group id, or one row of membership, for each row."
        )
    if not member.any():
        raise ValueError("No group has a row; groups must hold at least one row.")
    return names, member


def one_per_id(ids):
    names, index = np.unique(ids, return_inverse=True)
    return names, index[:, None] == np.arange(len(names))


def _check_no_missing(column, name):
    missing = np.array([v is None or v != v for v in column])
    if missing.any():
        raise ValueError(
            f"{name} is missing (None or NaN) in {missing.sum()} of {len(column)} rows, first "
            f"in row {missing.argmax()}; name it, for example 'unknown', or drop the rows."
        )
