"""Margin and residual in turn: what ERM says beyond what a repaired head explains."""

import numpy as np

from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm.discovery._cross_fit import (
    cell_balanced,
    class_balanced,
    cross_fitted,
    mean_logits,
)
from sklearn_hsfm.discovery._split import (
    Split,
    as_cells,
    beyond,
    highest,
    in_units,
    lowest,
    units_of,
)

N_ROUNDS = 4
LATER = 0.5  # what the margin counts for, beside the residual, after the first round


def margin_and_residual(Z, y, rng, *, C, share, cv, n_repeats, leaning_logits=None):
    """Find the hurt in rounds, from the margins of ERM to the residuals of a repaired head.

    The hurt are the ``share`` of each class with the highest scores, the helped its lowest 70 %,
    the samples between in neither. A head on which the four cells weigh the same is repaired; what
    the margin of ERM says beyond what the repaired margin explains is the shortcut, and makes the
    next score, together with the margin itself. All heads are cross-fitted. At the end the hurt
    are all that are `beyond` most of the way. Logits of a classifier that saw none of the samples
    take the place of ERM where they are given; no new samples can be scored then.
    """
    folds, n_classes = draw_folds(y, cv, n_repeats, rng), y.max() + 1
    logits, erm = leaning_logits, None
    if leaning_logits is None:
        logits, erm = cross_fitted(Z, y, class_balanced(y), C, folds)
    leaning = margins(logits, y)
    units = units_of(-leaning, y)
    start = scores = in_units(-leaning, y, units)
    for number in range(N_ROUNDS):
        hurt = scores >= highest(scores, y, share)[y]
        cells = as_cells(y, lowest(scores, y), hurt, n_classes)
        robust_logits, robust = cross_fitted(Z, y, cell_balanced(cells), C, folds)
        sober = margins(robust_logits, y)
        line = np.array([_line(leaning[y == c], sober[y == c]) for c in range(n_classes)])
        residual = _beyond(leaning, sober, y, line)
        of_residual = units_of(residual, y)
        residual = in_units(residual, y, of_residual)
        scores = residual + (start if number == 0 else LATER * start)
    scores = residual + start
    state = {
        "erm": erm,
        "robust": robust,
        "line": line,
        "of_margin": units,
        "of_residual": of_residual,
    }
    threshold, surely = beyond(scores, y, share), scores >= highest(scores, y, share)[y]
    helped = lowest(scores, y) & (scores < threshold[y])
    return Split(scores, threshold, helped, surely, logits, state)


def score(Z, y, state):
    """Return the scores of new samples."""
    leaning, sober = (margins(mean_logits(Z, state[name]), y) for name in ("erm", "robust"))
    residual = _beyond(leaning, sober, y, state["line"])
    margin = in_units(-leaning, y, state["of_margin"])
    return in_units(residual, y, state["of_residual"]) + margin


def _line(leaning, sober):
    """Return intercept and slope of the regression of one margin on the other."""
    x = sober - sober.mean()
    slope = x @ leaning / max(x @ x, np.finfo(float).tiny)
    return leaning.mean() - slope * sober.mean(), slope


def _beyond(leaning, sober, y, line):
    """Return how far ERM speaks less for the class than the repaired head explains."""
    return line[y, 0] + line[y, 1] * sober - leaning
