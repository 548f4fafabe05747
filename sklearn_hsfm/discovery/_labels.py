"""Which labels are likely to be wrong."""

import numpy as np

from sklearn_hsfm._cells import margins


def doubtful_labels(logits, y, cells):
    """Return which rows are likely to have a wrong label, by logits that saw none of them.

    A row is doubtful if it speaks more for another class than half of that class's own rows do:
    what confident learning [1]_ asks of a mean probability, asked of a median margin. Where this
    is half of a cell or more, the logits are wrong rather than the labels, and no row of the
    cell is doubtful.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, R)
    y : ndarray of shape (n_samples,)
    cells : bool ndarray of shape (n_samples, n_cells)

    Returns
    -------
    bool ndarray of shape (n_samples,)

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang: "Confident Learning: Estimating Uncertainty in
       Dataset Labels", JAIR 70, 2021.
    """
    doubtful = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        for_c = margins(logits, np.full(len(y), c))
        doubtful |= (y != c) & (for_c > np.median(for_c[y == c]))
    misread = cells[doubtful].sum(axis=0) >= cells.sum(axis=0) / 2  # (n_cells,)
    return doubtful & ~cells[:, misread].any(axis=1)
