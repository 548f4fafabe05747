"""Whether other rows look like those that are fitted, or have missed a step of a pipeline.

A Pipeline transforms ``X`` and hands other arguments on as they are. Where that is forgotten,
all numbers are finite and scores on the validation rows can be high, but predictions are
worthless. Real shift moves some features and leaves the middle one about where it is; a scaler
moves all of them.
"""

import warnings

import numpy as np

_SAMPLE = 1000  # rows that are looked at, evenly spaced
_COLUMNS = 100  # columns whose correlations are looked at
_ENOUGH_COLUMNS = 10  # for correlations
_FAR = 50.0  # ratio of two spreads that no shift explains
_FEW = 0.1  # part of the columns that may differ by as much
_ENOUGH_ROWS = 5  # for a spread
# What the middle feature may be off: more for few rows, whose mean and spread are noise, and for
# few features, which a group may move together. Real sets stay below, rows of one group as well.
_SHIFT, _SHIFT_OF_ONE = 0.5, 0.7  # standard deviations
_UPPER = 2.4  # times as many for the upper quartile
_STRETCH, _STRETCH_OF_ONE = 0.5, 1.6  # logarithm of the ratio of spreads


def warn_unlike(X, others, name):
    """Warn, with the remedy, if other rows cannot have gone through what ``X`` has.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Training rows.
    others : ndarray of shape (n_others, n_features)
        Validation rows, or others that should look alike.
    name : str
        What the caller calls them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of squares; the scaler says of which
        difference = how_unlike(_sample(X), _sample(others))
    if difference is not None:
        warnings.warn(
            f"{name} does not look like X: {difference}. Was X transformed and {name} not? Then "
            "predictions are worthless, whatever the scores say. In a Pipeline, pass "
            f'transform_input=["{name}"] and turn metadata routing on, or transform {name} '
            f"before it is passed, such as head__{name}=pipeline[:-1].transform({name}).",
            stacklevel=6,
        )


def how_unlike(X, others):
    """Return in words how rows differ from those of ``X`` beyond any honest shift, or None."""
    center, spread = X.mean(axis=0), X.std(axis=0)
    varies = (spread > 0) & np.isfinite(spread)
    if not varies.any():
        return None
    if not varies.all():
        X, others, center, spread = X[:, varies], others[:, varies], center[varies], spread[varies]
    n, d = others.shape
    off = np.abs(others.mean(axis=0) - center) / spread
    ratio = others.std(axis=0) / spread
    if n < _ENOUGH_ROWS:
        return _far_off(off, n)
    still = ratio == 0
    # Of a column that is constant in n rows, n q rows were to be expected elsewhere.
    elsewhere = np.mean(X[:, still] != others[:1, still], axis=0)
    n_lost = np.sum(n * elsewhere > 7) + np.sum(ratio > _FAR)
    if (still.all() and n_lost) or n_lost > 1 + _FEW * d:
        return f"{n_lost} of {d} features are constant, or nearly so, in one and not in the other"
    ratio = ratio[~still]
    stretch = np.median(np.log(ratio)) if len(ratio) else 0.0
    if abs(stretch) > _allowed(_STRETCH, _STRETCH_OF_ONE, n, d):
        return f"its middle feature spreads {np.exp(stretch):.2g} times as far"
    if len(ratio) >= _ENOUGH_COLUMNS:
        among_X, among_others = (_mean_square_correlation(a[:, ~still]) for a in (X, others))
        if among_X < 2 / len(X) and among_others > 3 / n:
            return "its features are correlated, and those of X are not, as after PCA"
    return _far_off(off, n)


def _far_off(off, n):
    """Return in words that means lie further off than those of a group, or None."""
    half, quarter = np.quantile(off, [0.5, 0.75])
    allowed = _allowed(_SHIFT, _SHIFT_OF_ONE, n, len(off))
    if half > allowed or quarter > _UPPER * allowed:
        return (
            f"half of its features lie {half:.2g} standard deviations of X off or more, a quarter "
            f"{quarter:.2g}"
        )
    return None


def _allowed(always, of_one_row, n, d):
    return always + 1 / d + (of_one_row + 3 / d) / np.sqrt(n)


def _sample(rows):
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)
    return np.asarray(rows[chosen], dtype=np.float64)


def _mean_square_correlation(rows):
    """Return the mean squared correlation between some of the columns; 1 / n for independent."""
    d = rows.shape[1]
    few = rows[:, np.linspace(0, d - 1, min(d, _COLUMNS)).astype(int)]
    square = np.corrcoef(few, rowvar=False) ** 2
    return (square.sum() - len(square)) / (len(square) * (len(square) - 1))
