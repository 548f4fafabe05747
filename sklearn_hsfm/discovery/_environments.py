"""EIIL: environments in which a scale on the logits of ERM would be moved the most."""

import numpy as np
from scipy.special import expit, softmax

from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm.discovery._cross_fit import class_balanced, cross_fitted, mean_logits
from sklearn_hsfm.discovery._split import Split

N_STEPS, RATE = 10_000, 1e-3  # as published
BETAS, EPS = (0.9, 0.999), 1e-8


def environments(Z, y, rng, *, C, share, cv, n_repeats):
    """Infer two environments; the hurt are those of the one in which ERM is surer than right.

    A soft assignment is moved, by Adam, to where the squared gradients of the two losses with
    respect to a scale on the logits are largest.
    """
    folds = draw_folds(y, cv, n_repeats, rng)
    logits, heads = cross_fitted(Z, y, class_balanced(y), C, folds)
    slope = _slope_of_scale(logits, y)
    membership = expit(_ascend(slope, rng.normal(size=len(y))))
    if membership @ slope < (1 - membership) @ slope:
        membership = 1 - membership
    # A membership follows from class and margin, which is how new samples get theirs.
    known = [_by_margin(margins(logits, y)[y == c], membership[y == c]) for c in range(y.max() + 1)]
    state = {"heads": heads} | {
        f"{name}{c}": part
        for c, pair in enumerate(known)
        for name, part in zip(("margin", "membership"), pair, strict=True)
    }
    threshold = np.full(y.max() + 1, 0.5)
    helped = membership < 0.5
    return Split(membership, threshold, helped, ~helped, logits, state)


def score(Z, y, state):
    """Return the scores of new samples: the membership of those with a margin like theirs."""
    margin, scores = margins(mean_logits(Z, state["heads"]), y), np.empty(len(y))
    for c in np.unique(y):
        known = state[f"margin{c}"], state[f"membership{c}"]
        scores[y == c] = np.interp(margin[y == c], *known)
    return scores


def _slope_of_scale(logits, y):
    """Return the derivative of each sample's loss by a scale on its logits, at 1."""
    if logits.shape[1] == 1:
        return logits[:, 0] * (expit(logits[:, 0]) - y)
    return (logits * (softmax(logits, axis=1) - np.eye(logits.shape[1])[y])).sum(axis=1)


def _ascend(slope, w, n_steps=N_STEPS):
    """Return logits of the memberships that Adam moves to larger squared gradients."""
    first, second = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, n_steps + 1):
        q = expit(w)
        gap = (q @ slope - (1 - q) @ slope) / len(w)
        gradient = gap * slope * q * (1 - q) / len(w)
        first = BETAS[0] * first + (1 - BETAS[0]) * gradient
        second = BETAS[1] * second + (1 - BETAS[1]) * gradient**2
        unbiased = first / (1 - BETAS[0] ** step), second / (1 - BETAS[1] ** step)
        w = w + RATE * unbiased[0] / (np.sqrt(unbiased[1]) + EPS)
    return w


def _by_margin(margin, membership):
    order = np.argsort(margin, kind="stable")
    return margin[order], membership[order]
