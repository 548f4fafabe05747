"""Digit dominoes: real handwriting with a real shortcut, and nothing to download."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import Bunch, check_random_state

from sklearn_hsfm._choosing.folds import stratified_part
from sklearn_hsfm._typing import RandomStateLike
from sklearn_hsfm.metrics import groups_from_attributes


def load_digit_dominoes(
    *, correlation: float = 0.97, random_state: RandomStateLike = None
) -> Bunch:
    """Return two-digit images whose lower digit gives the class away, until it does not.

    Each image stacks two of scikit-learn's 8 x 8 handwritten digits [1]_. The upper one, a 2 to
    9, gives the class: even or odd. The lower one, a 0 or a 1, is the shortcut: in training
    it agrees with the class in ``correlation`` of the samples, in validation and test in half.
    It is the digits' counterpart of Dominoes (car or truck above 0 or 1).

    Parameters
    ----------
    correlation : float, default=0.97
        Share of the training samples of each class whose lower digit agrees with it.
    random_state : int, RandomState instance or None, default=None
        Splits the digits, draws the lower ones and places the exceptions.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : ndarray of shape (n, 128), pixels in [0, 1],
        the upper digit first; ``y_*`` : 0 even, 1 odd; ``groups_*`` : text such as
        ``"y=0 lower=1"``; ``head``: None; ``DESCR``. Half of the images train, a sixth
        validates and a third tests. No digit, upper or lower, is in two splits.

    Raises
    ------
    ValueError
        If ``correlation`` is not between 0 and 1.

    References
    ----------
    .. [1] "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998;
       the copy in `sklearn.datasets.load_digits`.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> data = load_digit_dominoes(random_state=0)
    >>> data.X_train.shape, data.X_val.shape, data.X_test.shape
    ((719, 128), (239, 128), (479, 128))
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation={correlation!r}; it must lie between 0 and 1.")
    rng = check_random_state(random_state)
    pixels, digit = load_digits(return_X_y=True)
    pixels = pixels / 16
    tested = stratified_part(digit, 1 / 3, rng)
    validated = np.zeros_like(tested)
    validated[~tested] = stratified_part(digit[~tested], 1 / 4, rng)
    masks = {"train": ~(tested | validated), "val": validated, "test": tested}

    bunch = Bunch(head=None, DESCR=load_digit_dominoes.__doc__)
    for split, mask in masks.items():
        upper = rng.permutation(np.flatnonzero(mask & (digit >= 2)))
        y = digit[upper] % 2
        agrees = _exact_share(y, correlation if split == "train" else 0.5, rng)
        lower_digit = np.where(agrees, y, 1 - y)
        lower = np.empty_like(upper)
        for value in (0, 1):
            rows = lower_digit == value
            lower[rows] = rng.choice(np.flatnonzero(mask & (digit == value)), rows.sum())
        bunch[f"X_{split}"] = np.hstack([pixels[upper], pixels[lower]])
        bunch[f"y_{split}"] = y
        bunch[f"groups_{split}"] = groups_from_attributes(y, lower=lower_digit)
    return bunch


def _exact_share(y, share, rng):
    """Return a mask that holds for ``share`` of the rows of each class, to the row."""
    mask = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == c))
        mask[rows[: round(share * len(rows))]] = True
    return mask
