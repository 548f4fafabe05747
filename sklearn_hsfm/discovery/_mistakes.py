"""The hurt are what held-out heads get wrong, once or in rounds."""

import numpy as np

from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm.discovery._cross_fit import class_balanced, cross_fitted, mean_logits
from sklearn_hsfm.discovery._split import Split

N_ROUNDS = 4


def held_out_mistakes(Z, y, rng, *, C, share, cv, n_repeats):
    """Take what cross-fitted, class-balanced ERM gets wrong, as JTT does and SELF."""
    folds = draw_folds(y, cv, n_repeats, rng)
    logits, heads = cross_fitted(Z, y, class_balanced(y), C, folds)
    return _misread(logits, y, {"heads": heads, "offset": np.zeros(logits.shape[1])}, logits)


def iterated_mistakes(Z, y, rng, *, C, share, cv, n_repeats):
    """Let heads teach each other their mistakes: XRM in rounds of logistic regressions.

    Working labels become what heads say that did not see the sample; two classes keep their
    proportions. Who is misread at the end is hurt.
    """
    folds = draw_folds(y, cv, n_repeats, rng)
    working, first = y, None
    for _ in range(N_ROUNDS):
        logits, heads = cross_fitted(Z, working, class_balanced(working), C, folds)
        first = logits if first is None else first
        offset = np.zeros(logits.shape[1])
        if logits.shape[1] == 1:
            offset[:] = np.quantile(logits, np.mean(y == 0))
        said = _said(logits - offset)
        if np.bincount(said, minlength=y.max() + 1).min() < cv * n_repeats:
            break  # a class would have no one left to learn from
        working = said
    return _misread(logits - offset, y, {"heads": heads, "offset": offset}, first)


def score(Z, y, state):
    """Return the scores of new samples."""
    return -margins(mean_logits(Z, state["heads"]) - state["offset"], y)


def _said(logits):
    return (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)


def _misread(logits, y, state, leaning):
    scores = -margins(logits, y)
    threshold = np.full(y.max() + 1, np.finfo(float).tiny)  # a margin below 0
    helped = scores < threshold[y]
    return Split(scores, threshold, helped, ~helped, leaning, state)
