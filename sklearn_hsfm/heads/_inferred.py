"""Cells that a method infers as a part of itself, by a finder that is given or the paper's own.

The one place of `heads` that knows of `sklearn_hsfm.discovery`.
"""

import numpy as np
from sklearn.base import clone

from sklearn_hsfm._compat import HasMethods

# What `finder` may be: None is the method's own inference.
A_FINDER = [HasMethods(["fit", "predict"]), None]


def fitted_finder(finder, method, rows, rng):
    """Return a finder fitted on the training samples: a clone of the one given, else our own.

    Our own is `ShortcutFinder` with the method of this name. Samples are standardised, labels class
    indices, of which ``predict(X, y)`` returns a cell each.
    """
    seed = rng.randint(np.iinfo(np.int32).max)
    if finder is None:
        from sklearn_hsfm.discovery import ShortcutFinder

        finder = ShortcutFinder(method=method)
    finder = clone(finder)
    if "random_state" in finder.get_params(deep=False) and finder.random_state is None:
        finder.set_params(random_state=seed)
    return finder.fit(rows.X, rows.y)


def cells_of(finder, X, y):
    """Return the cell of each sample, an integer, after checking what the finder returned."""
    cells = np.asarray(finder.predict(X, y))
    if cells.shape != (len(y),):
        raise ValueError(
            f"finder={finder!r} returned cells of shape {cells.shape} for {len(y)} samples; its "
            "predict(X, y) must return one id a sample, as that of ShortcutFinder."
        )
    return np.unique(cells, return_inverse=True)[1]


def membership(cells):
    """Return cells as boolean columns, (n_rows, n_cells)."""
    return cells[:, None] == np.unique(cells)
