"""Which samples are held out, and which heads see: parts and folds, stratified."""

import warnings

import numpy as np


def stratified_part(strata, fraction, rng):
    """Return a mask of ``fraction`` of the rows, spread evenly over ``strata``.

    Each stratum gives its share, up or down to the next row, so strata of one row are
    welcome: together they give theirs.
    """
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    ticks = np.floor(rng.uniform() + fraction * np.arange(len(strata) + 1))
    mask = np.zeros(len(strata), dtype=bool)
    mask[order] = np.diff(ticks) > 0
    return mask


def mined_and_selecting(y_val, groups_val, selection_fraction, rng):
    """Return which validation rows are mined and which choose the epoch, as two masks.

    They are disjoint and stratified by class and group, except that the only row of a class
    does both. With ``selection_fraction=None`` all rows do both, as published.
    """
    if selection_fraction is None:
        every = np.ones(len(y_val), dtype=bool)
        return every, every
    selecting = stratified_part(strata(y_val, groups_val), selection_fraction, rng)
    mined = ~selecting
    for c in np.unique(y_val):
        rows = np.flatnonzero(y_val == c)
        if len(rows) == 1:
            mined[rows] = selecting[rows] = True
        else:
            keep_both_sides(selecting, rows)
            mined[rows] = ~selecting[rows]
    for rows in [] if groups_val is None else map(np.flatnonzero, groups_val.T):
        if len(rows) and not selecting[rows].any():  # every group has to judge
            selecting[rows[0]] = True
            mined[rows[0]] = len(rows) == 1
    return mined, selecting


def cross_fit_folds(y_val, groups_val, cv, n_repeats, rng):
    """Return which validation rows each split holds out, (cv * n_repeats, n_val).

    Folds are stratified by class and group. A class with fewer rows than ``cv`` lowers their
    number to its rows; with one row there is nothing to hold out, and every split holds out
    all rows, which then both mine and judge.
    """
    smallest = int(np.bincount(y_val).min())
    folds = min(cv, smallest)
    if folds < cv:
        warnings.warn(
            f"The smallest class has {smallest} validation sample(s), fewer than cv={cv}: "
            + (f"cv={folds} is used." if folds > 1 else "all samples both mine and judge.")
            + " Give it more samples for an honest choice.",
            stacklevel=3,
        )
    if folds == 1:
        return np.ones((n_repeats, len(y_val)), dtype=bool)
    of_row = strata(y_val, groups_val)
    held_out = []
    for _ in range(n_repeats):
        order = rng.permutation(len(y_val))
        order = order[np.lexsort((of_row[order], y_val[order]))]
        fold = np.empty(len(y_val), dtype=int)
        fold[order] = (np.arange(len(y_val)) + rng.randint(folds)) % folds
        held_out += [fold == k for k in range(folds)]
    return np.array(held_out)


def strata(y_val, groups_val):
    """Return one integer for each combination of class and groups."""
    if groups_val is None:
        return y_val
    columns = np.column_stack([y_val, groups_val])
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel()


def draw_folds(y, cv, n_repeats, rng):
    """Return the fold of each sample, (n_repeats, n_samples), stratified by class."""
    folds = np.empty((n_repeats, len(y)), dtype=int)
    for fold in folds:
        order = rng.permutation(len(y))
        order = order[np.argsort(y[order], kind="stable")]
        fold[order] = np.arange(len(y)) % cv
    return folds


def keep_both_sides(mask, rows):
    """Make ``mask`` take at least one of ``rows`` and leave at least one, in place."""
    if not mask[rows].any():
        mask[rows[0]] = True
    elif mask[rows].all():
        mask[rows[0]] = False
