"""Choose among candidate heads by what they do on rows that they did not mine, and average.

A candidate is a setting at an epoch: one head a split, each with the validation rows that its
split held out. Its *out-of-fold* logits give every validation row the mean over the heads that
did not mine it, so they judge the average of heads, not single ones.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

MIN_CELL = 10  # rows below which the accuracy of a cell is noise
N_THRESHOLDS = 181
OF_CELLS = {  # how a judge sums up the accuracies of its cells
    "worst_group": np.min,
    "worst_slice": np.min,
    "worst_class": np.min,
    "balanced": np.mean,
}


class Choice(NamedTuple):
    """What `choose` found."""

    chosen: np.ndarray  # (n_chosen,) candidates to average, best first
    score: np.ndarray  # (n_candidates,) each at its own best threshold
    threshold: np.ndarray  # (n_candidates,) subtracted from the logits; 0 for many classes
    offset: float  # threshold of the average
    average_score: float  # of the average, at its threshold
    cells: np.ndarray  # (n_samples, n_cells) bool, that the scores are about


def normalized(heads):
    """Return heads, (..., R, d + 1), centred over their rows, of norm one without intercept.

    Two classes have R = 1 row, the log-odds. Of heads of different lengths the longest would
    rule their average; only directions and relative intercepts are to count.
    """
    if heads.shape[-2] > 1:
        heads = heads - heads.mean(axis=-2, keepdims=True)
    norm = np.linalg.norm(heads[..., :-1], axis=(-2, -1), keepdims=True)
    return heads / np.maximum(norm, np.finfo(heads.dtype).tiny)


def out_of_fold(heads, X_val, held_out):
    """Return the mean logits over the heads that did not mine a row.

    Parameters
    ----------
    heads : ndarray of shape (n_candidates, n_splits, R, d + 1)
    X_val : ndarray of shape (n_samples, d)
    held_out : bool ndarray of shape (n_splits, n_samples)
        Every row is held out by one split or more.

    Returns
    -------
    ndarray of shape (n_candidates, n_samples, R)
    """
    logits = np.zeros((len(heads), len(X_val), heads.shape[2]), dtype=heads.dtype)
    for split, rows in enumerate(held_out):
        W = heads[:, split]  # (n_candidates, R, d + 1)
        logits[:, rows] += X_val[rows] @ W[..., :-1].mT + W[:, None, :, -1]
    return logits / held_out.sum(axis=0)[:, None]


def margins(logits, y):
    """Return how far the logits, (..., n_samples, R), speak for the true class."""
    if logits.shape[-1] == 1:
        return np.where(y == 1, logits[..., 0], -logits[..., 0])
    own = np.take_along_axis(logits, y[:, None], axis=-1)[..., 0]
    others = np.where(np.arange(logits.shape[-1]) == y[:, None], -np.inf, logits)
    return own - others.max(axis=-1)


def class_cells(y, n_classes):
    """Return the classes as cells, (n_samples, n_classes)."""
    return y[:, None] == np.arange(n_classes)


def shortcut_slices(reference, robust, y, n_classes):
    """Return the halves of each class that a shortcut helps and hurts, without group labels.

    ``reference`` and ``robust`` are the logits of the ERM head and of a repaired one. What ERM
    says beyond what the repaired head explains is the shortcut: within each class, the
    residual of its margin, regressed on the other's, is split at the median.

    Returns
    -------
    bool ndarray of shape (n_samples, 2 * n_classes)
    """
    cells = np.zeros((len(y), 2 * n_classes), dtype=bool)
    leaning, sober = margins(reference, y), margins(robust, y)
    for c in range(n_classes):
        rows = np.flatnonzero(y == c)
        x, z = sober[rows] - sober[rows].mean(), leaning[rows] - leaning[rows].mean()
        residual = z - x * (x @ z) / max(x @ x, np.finfo(float).tiny)
        order = rows[np.argsort(residual, kind="stable")]
        cells[order[: len(rows) // 2], 2 * c] = True
        cells[order[len(rows) // 2 :], 2 * c + 1] = True
    return cells


def cell_accuracies(logits, y, cells):
    """Return the accuracy in each cell at each threshold on trial, and these thresholds.

    Parameters
    ----------
    logits : ndarray of shape (n_candidates, n_samples, R)

    Returns
    -------
    accuracies : ndarray of shape (n_candidates, n_thresholds, n_cells)
    thresholds : ndarray of shape (n_candidates, n_thresholds)
        Quantiles of the log-odds; 0 alone for more than two classes.
    """
    if logits.shape[-1] > 1:
        hit = logits.argmax(axis=-1) == y
        accuracies = hit @ cells.astype(float) / cells.sum(axis=0)
        return accuracies[:, None], np.zeros((len(logits), 1))
    odds = logits[..., 0]
    thresholds = np.quantile(odds, np.linspace(0.05, 0.95, N_THRESHOLDS), axis=1).T
    hits = np.zeros((*thresholds.shape, cells.shape[1]))
    for k, cell in enumerate(cells.T):
        below, above = (np.sort(odds[:, cell & (y == c)], axis=1) for c in (0, 1))
        for i, t in enumerate(thresholds):
            right = above.shape[1] - np.searchsorted(above[i], t, side="right")
            hits[i, :, k] = right + np.searchsorted(below[i], t, side="right")
    return hits / cells.sum(axis=0), thresholds


def default_judge(y_val, groups_val):
    """Return the worst group or slice, or what the validation rows suffice for."""
    if groups_val is not None:
        return "worst_group"
    smallest, enough = np.bincount(y_val).min(), 2 * MIN_CELL
    if smallest >= enough:
        return "worst_slice"
    judge = "worst_class" if smallest >= MIN_CELL else "balanced"
    warnings.warn(
        f"The smallest class has {smallest} validation rows, too few to split into slices: "
        f"candidates are judged by scoring={judge!r}. {enough} rows or more of every class "
        "would do.",
        stacklevel=5,
    )
    return judge


def choose(logits, reference, y, n_classes, *, rule, cells=None, n_rounds=3):
    """Return which candidates to average, and the threshold of the average.

    The average takes every candidate within one standard error of the best, so that how many
    it takes follows from how well the validation rows can tell them apart.

    Parameters
    ----------
    logits : ndarray of shape (n_candidates, n_samples, R)
        Out-of-fold logits.
    reference : ndarray of shape (n_samples, R)
        Logits of the ERM head, which saw no validation row.
    y : ndarray of shape (n_samples,)
    n_classes : int
    rule : {"worst_group", "worst_slice", "worst_class", "balanced"} or callable
        What a candidate is scored by: the lowest accuracy over ``cells``, over shortcut
        slices, over classes; the mean over classes; or ``rule(y, log_proba, groups)``.
    cells : bool ndarray of shape (n_samples, n_cells), default=None
        The groups, for "worst_group" and callables.
    n_rounds : int, default=3
        Times that slices are found anew, each time from the average of the last.

    Returns
    -------
    Choice
    """
    if callable(rule):
        return _choose_by_rule(logits, y, rule, cells)
    of = class_cells(y, n_classes) if rule != "worst_group" else cells[:, cells.any(axis=0)]
    choice = _within_one_error(logits, y, of, OF_CELLS[rule])
    for _ in range(n_rounds if rule == "worst_slice" else 0):
        robust = logits[choice.chosen].mean(axis=0)
        of = shortcut_slices(reference, robust, y, n_classes)
        choice = _within_one_error(logits, y, of, np.min)
    return choice


def _within_one_error(logits, y, cells, reduce):
    accuracies, thresholds = cell_accuracies(logits, y, cells)
    scores = reduce(accuracies, axis=-1)  # (n_candidates, n_thresholds)
    at = scores.argmax(axis=1)
    every = np.arange(len(at))
    score, threshold = scores[every, at], thresholds[every, at]
    best = score.argmax()
    n = cells.sum(axis=0)
    # Two hits and two misses are added, so that a perfect score has an error as well.
    p = (accuracies[best, at[best]] * n + 2) / (n + 4)
    variance = p * (1 - p) / (n + 4)  # (n_cells,)
    if reduce is np.min:
        error = np.sqrt(variance[accuracies[best, at[best]].argmin()])
    else:
        error = np.sqrt(variance.sum()) / len(n)
    order = np.argsort(-score, kind="stable")
    chosen = order[score[order] >= score[best] - error]
    average, trials = cell_accuracies(logits[chosen].mean(axis=0)[None], y, cells)
    values = reduce(average[0], axis=-1)
    ties = np.flatnonzero(values == values.max())
    middle = ties[len(ties) // 2]  # of equal thresholds the one farthest from a change
    return Choice(chosen, score, threshold, trials[0, middle], values[middle], cells)


def _choose_by_rule(logits, y, rule, cells):
    score = np.array([score_of(z, y, cells, rule) for z in logits], dtype=float)
    order = np.argsort(-score, kind="stable")
    chosen = order[: max(1, len(order) // 10)]  # no error is known: the best tenth
    value = score_of(logits[chosen].mean(axis=0), y, cells, rule)
    return Choice(chosen, score, np.zeros(len(score)), 0.0, float(value), cells)


def score_of(logits, y, cells, rule):
    """Return the score of one candidate's logits, (n_samples, R), at threshold 0."""
    log_proba = log_probabilities(logits)
    if callable(rule):
        return rule(y, log_proba, cells)
    cells = cells[:, cells.any(axis=0)].astype(float)
    hit = log_proba.argmax(axis=1) == y
    return OF_CELLS[rule](hit @ cells / cells.sum(axis=0))


def log_probabilities(logits):
    """Return log-probabilities of shape (n_samples, n_classes) for logits (n_samples, R)."""
    if logits.shape[-1] == 1:
        logits = np.concatenate([-logits, logits], axis=-1) / 2
    return log_softmax(logits, axis=-1)


def results_by_setting(settings, epochs, logits, choice, y_val, held_out, judge):
    """Return ``cv_results_``: each setting at the epoch that scores best."""
    score = choice.score.reshape(len(settings), -1)
    best = score.argmax(axis=1)
    rows = np.arange(len(settings)) * len(epochs) + best  # the best candidate of each
    by_split = np.array(
        [
            [
                score_of(
                    logits[row, held] - choice.threshold[row],
                    y_val[held],
                    None if choice.cells is None else choice.cells[held],
                    judge,
                )
                for row in rows
            ]
            for held in held_out
        ]
    )  # (n_splits, n_settings)
    mean = by_split.mean(axis=0)
    return {
        **{f"param_{n}": np.array([s[n] for s in settings], dtype=object) for n in settings[0]},
        "params": np.array(settings, dtype=object),
        **{f"split{i}_test_score": scores for i, scores in enumerate(by_split)},
        "mean_test_score": mean,
        "std_test_score": by_split.std(axis=0),
        "rank_test_score": (mean[:, None] < mean).sum(axis=1) + 1,
        "epoch": epochs[best],
        "n_selected": np.bincount(choice.chosen // len(epochs), minlength=len(settings)),
    }


def calibrated_scale(logits, y):
    """Return the factor on the logits, (n_samples, R), with the least log-loss."""

    def loss(log_scale):
        return -log_probabilities(np.exp(log_scale) * logits)[np.arange(len(y)), y].mean()

    spread = max(float(np.std(logits)), np.finfo(np.float32).tiny)
    around = np.log(2 / spread)
    return float(np.exp(minimize_scalar(loss, bounds=(around - 5, around + 5)).x))
