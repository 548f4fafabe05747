"""Which labels are likely to be wrong."""

import numpy as np

from sklearn_hsfm._choosing.cells import margins


def doubtful_labels(logits, y, cells):
    """Return which samples are likely to have a wrong label, by logits that saw none of them.

    A sample is doubtful if it speaks more for another class than half of that class's own samples
    do: what confident learning [1]_ asks of a mean probability, asked of a median margin. Where
    this is half of a cell or more, the logits are wrong rather than the labels, and no row of the
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
    return label_scores(logits, y, cells) > 0


def label_scores(logits, y, cells):
    """Return how likely each label is to be wrong: above 0 where it is doubtful.

    How much more a sample speaks for another class than the median row of that class does, for the
    class where that is most. Samples of a cell of which half or more would be doubtful keep their
    order, at 0 and below.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, R)
    y : ndarray of shape (n_samples,)
    cells : bool ndarray of shape (n_samples, n_cells)

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    scores = np.full(len(y), -np.inf)
    for c in np.unique(y):
        for_c = margins(logits, np.full(len(y), c))
        beyond = np.where(y == c, -np.inf, for_c - np.median(for_c[y == c]))
        scores = np.maximum(scores, beyond)
    doubtful = scores > 0
    misread = cells[doubtful].sum(axis=0) >= cells.sum(axis=0) / 2  # (n_cells,)
    kept = cells[:, misread].any(axis=1)
    if (doubtful & kept).any():
        scores[kept] -= scores[kept].max()
    return scores
