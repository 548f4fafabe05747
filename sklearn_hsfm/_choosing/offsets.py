"""The offset of an average of heads, and the scale of its probabilities."""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from sklearn_hsfm._choosing.cells import MIN_CELL, best_threshold, expected_accuracies
from sklearn_hsfm._linear_head import log_probabilities

# A Python float: beside a numpy one of single precision, numpy casts a float, which may overflow.
TINY = float(np.finfo(np.float32).tiny)
FAR = 50.0  # logarithm of a scale: a step on trial may be anything, and its exponential infinite


def best_offset(logits, y, cells, reduce):
    """Return what to subtract from logits (n_samples, R), so that their cells score best, (R,).

    Two classes: the best threshold. More: offsets with the least class-balanced log-loss [1]_,
    where every class has `MIN_CELL` rows or more in cells, and where offsets that are found on one
    half of these score better on the other; else none.

    References
    ----------
    .. [1] A. Alexandari, A. Kundaje, A. Shrikumar: "Maximum Likelihood with Bias-Corrected
       Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020.
    """
    if logits.shape[1] == 1:
        return np.array([best_threshold(logits[None], y, cells, reduce)[0]])
    none, used = np.zeros(logits.shape[1]), cells.any(axis=1)
    if np.bincount(y[used], minlength=len(none)).min() < MIN_CELL:
        return none
    place = np.empty(len(y), dtype=int)  # of each row among those of its class
    order = np.argsort(y[used], kind="stable")
    place[np.flatnonzero(used)[order]] = np.arange(used.sum())
    moved = np.array(logits, dtype=np.float64)
    for half in (0, 1):
        here = used & (place % 2 == half)
        moved[used & ~here] -= _balancing_offset(logits[here], y[here])
    if score_of_one(moved, y, cells, reduce) <= score_of_one(logits, y, cells, reduce):
        return none
    return _balancing_offset(logits[used], y[used])


def _balancing_offset(logits, y):
    """Return offsets (R,) that, with a scale of the logits, have the least class-balanced loss."""
    R, rows = logits.shape[1], np.arange(len(y))
    weight = 1 / np.bincount(y, minlength=R)[y] / R
    unit = max(float(np.std(logits)), TINY)
    logits = logits / unit

    def loss(parameters):
        scale, offset = np.exp(min(parameters[0], FAR)), parameters[1:]
        log_proba = log_softmax(scale * (logits - offset), axis=1)
        error = np.exp(log_proba)
        error[rows, y] -= 1
        error *= weight[:, None]
        slope = scale * error.sum(axis=0)
        of_scale = scale * (error * (logits - offset)).sum()
        return -(weight * log_proba[rows, y]).sum(), np.concatenate([[of_scale], -slope])

    found = minimize(loss, np.zeros(R + 1), jac=True, method="L-BFGS-B")
    return unit * found.x[1:]


def score_of_one(logits, y, cells, reduce):
    """Return the score of logits (n_samples, R) as they are."""
    cells = cells[:, cells.any(axis=0)]
    return reduce(expected_accuracies(logits[None], y, cells, np.zeros((1, 1)))[0, 0], axis=-1)


def calibrated_scale(logits, y):
    """Return the factor on the logits, (n_samples, R), with the least log-loss."""

    def loss(log_scale):
        return -log_probabilities(np.exp(log_scale) * logits)[np.arange(len(y)), y].mean()

    spread = float(np.std(logits))
    if spread < TINY:
        return 1.0  # constant features tell nothing
    around = np.log(2 / spread)
    return float(np.exp(minimize_scalar(loss, bounds=(around - 5, around + 5)).x))
