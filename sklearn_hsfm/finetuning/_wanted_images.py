"""Which images are to be made: of which cells, how many, from which images, with which prompts."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from sklearn_hsfm.metrics._columns import check_same_length, one_column


class Wanted(NamedTuple):
    """Images that are to be made, a row each.

    Attributes
    ----------
    sources : ndarray of shape (n_wanted,)
        The training images they start from, as indices.
    y : ndarray of shape (n_wanted,)
        Their labels.
    prompts : list of str
        What they show.
    """

    sources: np.ndarray
    y: np.ndarray
    prompts: list


def wanted_images(n_samples, y, cells, *, prompts, n_images, source, rng):
    """Return what is to be made; parameters as in `DiffusionGenerator`, all of them checked."""
    y = one_column(y, "y")
    columns = {"images": range(n_samples), "y": y}
    if cells is not None:
        cells = columns["cells"] = one_column(cells, "cells")
    check_same_length(**columns)
    rows = _rows_of_cells(y, cells)
    _check_keys("prompts", prompts, y, cells)
    bad = {key: text for key, text in prompts.items() if not isinstance(text, str)}
    if bad:
        raise ValueError(f"prompts holds {bad}; each must be a text.")
    if isinstance(n_images, dict):
        _check_keys("n_images", n_images, y, cells)
    counts = _counts(rows, n_images)
    without = [_shown(cell) for cell in counts if _of(prompts, cell) is None]
    if without:
        raise ValueError(
            f"prompts has none for {without}; give one for the class label, or for the pair of "
            "label and cell."
        )
    if not any(counts.values()):
        sizes = {_shown(cell): len(members) for cell, members in rows.items()}
        raise ValueError(
            f"n_images={n_images!r} asks for no image: the cells have {sizes} images. Pass a "
            "number, or pass cells that differ in size."
        )
    pools = {cell: _pool(rows, cell, source) for cell, count in counts.items() if count}
    drawn = [_drawn(pool, counts[cell], rng) for cell, pool in pools.items()]
    made_of = [cell for cell in pools for _ in range(counts[cell])]
    return Wanted(
        np.concatenate(drawn),
        np.array([label for label, _ in made_of], dtype=y.dtype),
        [_of(prompts, cell) for cell in made_of],
    )


def _rows_of_cells(y, cells):
    """Return the images of each pair of label and cell; without cells, this is None."""
    rows = {}
    named = [None] * len(y) if cells is None else cells.tolist()
    for row, cell in enumerate(zip(y.tolist(), named, strict=True)):
        rows.setdefault(cell, []).append(row)
    return rows


def _check_keys(name, given, y, cells):
    labels, known = set(y.tolist()), set() if cells is None else set(cells.tolist())

    def is_known(key):
        if isinstance(key, tuple):
            return len(key) == 2 and key[0] in labels and key[1] in known
        return key in labels

    wrong = [key for key in given if not is_known(key)]
    if wrong:
        pairs = (
            "no cells were passed" if cells is None else f"cells has {sorted(known, key=str)[:10]}"
        )
        raise ValueError(
            f"{name} has the keys {wrong}, which are neither a class label nor a pair of label and "
            f"cell: y has {sorted(labels, key=str)[:10]}, and {pairs}."
        )


def _counts(rows, n_images):
    """Return how many images are to be made of each cell that is asked for."""
    if isinstance(n_images, str):  # "balance"
        largest = max(map(len, rows.values()))
        return {cell: largest - len(members) for cell, members in rows.items()}
    if not isinstance(n_images, dict):
        return {cell: _count(n_images, members) for cell, members in rows.items()}
    wrong = {key: n for key, n in n_images.items() if not _is_amount(n)}
    if wrong:
        raise ValueError(
            f"n_images holds {wrong}; each must be an int, the number of images, or a float, their "
            "ratio to the images of the cell, and neither is negative."
        )
    empty = (key for key in n_images if isinstance(key, tuple))  # cells that have no image yet
    cells = dict.fromkeys([*rows, *empty])
    return {
        cell: _count(_of(n_images, cell), rows.get(cell, ()))
        for cell in cells
        if _of(n_images, cell) is not None
    }


def _is_amount(n):
    is_number = isinstance(n, Real) and not isinstance(n, bool | np.bool_)
    return is_number and bool(np.isfinite(n)) and n >= 0


def _count(n, members):
    return int(n) if isinstance(n, Integral) else round(float(n) * len(members))


def _of(given, cell):
    """Return what is given for a cell, or else for its label, or None."""
    return given.get(cell, given.get(cell[0]))


def _shown(cell):
    label, name = cell
    return label if name is None else cell


def _pool(rows, cell, source):
    """Return the images from which those of a cell are made."""
    label, name = cell
    if source == "cell":
        if cell not in rows:
            raise ValueError(
                f"n_images asks for images of {cell}, and no training image is in this cell to "
                "start from; with source='other_classes' they are made of those of other classes."
            )
        return rows[cell]
    pool = [row for (y, c), members in rows.items() if y != label and c == name for row in members]
    if not pool:
        raise ValueError(
            f"source='other_classes' has no image to make {_shown(cell)} of: none of another class "
            "is in the same cell. Pass as cells what classes share, such as the background, and "
            "not groups; or n_images for other cells."
        )
    return pool


def _drawn(pool, n, rng):
    """Return ``n`` rows of a pool, each as often as the others, up to one."""
    rounds = [rng.permutation(pool) for _ in range(-(-n // len(pool)))]
    return np.concatenate(rounds)[:n]
