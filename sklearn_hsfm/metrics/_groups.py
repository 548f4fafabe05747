"""What a group is: ids of any kind, or boolean membership, as one matrix."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm.metrics._columns import (
    check_no_missing,
    check_same_length,
    one_column,
    sorted_values,
)


def groups_from_attributes(y: ArrayLike, **attributes: Any) -> np.ndarray:
    """Return one readable group id a sample: each combination of class and attributes.

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
    columns = {name: one_column(values, name) for name, values in {"y": y, **attributes}.items()}
    check_same_length(**columns)
    rows = zip(*columns.values(), strict=True)
    return np.array([" ".join(f"{k}={v}" for k, v in zip(columns, r, strict=True)) for r in rows])


def group_membership(groups, n_samples, name="groups"):
    """Return names, (n_groups,), and membership, a sparse bool array (n_samples, n_groups).

    Of disjoint groups it holds one value a row, so its memory grows with rows and groups, not
    with their product. ``name`` is what the caller calls them; ``n_samples`` is None where nothing
    else has as many rows.
    """
    try:
        n_axes = np.ndim(groups)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array: {error}") from error
    if n_axes == 2:
        names = np.asarray(getattr(groups, "columns", np.arange(np.shape(groups)[1])))
        member = csr_array(_boolean(np.asarray(groups), name))
    else:
        names, member = one_per_id(groups, name)
    if n_samples is not None and member.shape[0] != n_samples:
        raise ValueError(
            f"{name} has {member.shape[0]} rows, but there are {n_samples} labels; "
            "give one group id, or one row of membership, for each sample."
        )
    if not member.nnz:
        raise ValueError(f"No group has a sample; {name} must hold at least one sample.")
    return names, member


def one_per_id(ids, name):
    """Return the ids that occur, sorted, and the samples of each, as `group_membership` does."""
    ids = one_column(ids, name)
    names, index = sorted_values(ids, name, return_inverse=True)
    rows = np.ones(len(ids), dtype=bool), index, np.arange(len(ids) + 1)
    return names, csr_array(rows, shape=(len(ids), len(names)))


def _boolean(member, name):
    """Return a membership matrix as bool; pandas' nullable one is of objects."""
    if member.dtype == object:
        check_no_missing(member.ravel(), name)
        if all(isinstance(value, bool | np.bool_) for value in member.flat):
            member = member.astype(bool)
    if member.dtype != bool:
        raise ValueError(
            f"{name} has shape {member.shape} and dtype {member.dtype}; a matrix of "
            "overlapping groups must be boolean. For disjoint groups pass one id a sample, "
            "for attribute columns groups_from_attributes(y, name=column)."
        )
    return member
