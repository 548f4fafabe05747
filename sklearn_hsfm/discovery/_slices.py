"""The halves of each class that a shortcut helps and hurts."""

import numpy as np

from sklearn_hsfm._choosing.cells import margins


def shortcut_slices(reference, robust, y, n_classes, used=None):
    """Return the halves of each class that a shortcut helps and hurts, without group labels.

    ``reference`` and ``robust`` are the logits of the ERM head and of a repaired one. What ERM
    says beyond what the repaired head explains is the shortcut: within each class, the
    residual of its margin, regressed on the other's, is split at the median. Samples that are not
    ``used``, where given, are in no half.

    Returns
    -------
    bool ndarray of shape (n_samples, 2 * n_classes)
    """
    cells = np.zeros((len(y), 2 * n_classes), dtype=bool)
    leaning, sober = margins(reference, y), margins(robust, y)
    for c in range(n_classes):
        rows = np.flatnonzero((y == c) if used is None else (y == c) & used)
        x, z = sober[rows] - sober[rows].mean(), leaning[rows] - leaning[rows].mean()
        residual = z - x * (x @ z) / max(x @ x, np.finfo(float).tiny)
        order = rows[np.argsort(residual, kind="stable")]
        cells[order[: len(rows) // 2], 2 * c] = True
        cells[order[len(rows) // 2 :], 2 * c + 1] = True
    return cells
