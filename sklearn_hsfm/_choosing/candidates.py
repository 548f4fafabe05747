"""Choose among candidate heads by what they do on rows that they did not mine, and average.

A candidate is a setting at an epoch: one head a split, each with the validation rows that its
split held out. Its *out-of-fold* logits give every validation row the mean over the heads that
did not mine it, so they judge the average of heads, not single ones.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from sklearn_hsfm._choosing.cells import (
    MIN_CELL,
    class_cells,
    expected_accuracies,
    trial_thresholds,
)
from sklearn_hsfm._choosing.offsets import best_offset, score_of_one
from sklearn_hsfm._linear_head import log_probabilities
from sklearn_hsfm.discovery._labels import doubtful_labels
from sklearn_hsfm.discovery._slices import shortcut_slices

MIN_CANDIDATES = 8  # to average, as far as they are within one standard error
N_ROUNDS = 3  # times that slices are found anew
LOGITS_AT_ONCE = 2**23  # to be sorted: they are copied for it, in double
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
    offset: np.ndarray  # (R,) subtracted from the logits of the average
    average_score: float  # of the average, so moved
    cells: np.ndarray  # (n_samples, n_cells) bool, that the scores are about
    error: float | None  # standard error of the best score, where the judge has one
    doubtful: np.ndarray | None = None  # (n_samples,) bool, rows that were left out of cells


def normalized(heads):
    """Return heads, (..., R, d + 1), centred over their rows, of norm one without intercept.

    Two classes have R = 1 row, the log-odds. Of heads of different lengths the longest would
    rule their average; only directions and relative intercepts are to count.
    """
    if heads.shape[-2] > 1:
        heads = heads - heads.mean(axis=-2, keepdims=True)
    with np.errstate(over="ignore"):
        norm = np.linalg.norm(heads[..., :-1], axis=(-2, -1), keepdims=True)
    if np.isinf(norm).any():  # the squares of large weights are beyond what the type holds
        largest = np.abs(heads).max(axis=(-2, -1), keepdims=True)
        return normalized(heads / np.where(largest > 0, largest, 1))
    return heads / np.where(norm > np.finfo(heads.dtype).tiny, norm, 1)  # of constant features: 0


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
    n, _, R, width = heads.shape
    logits = np.zeros((len(X_val), n, R), dtype=heads.dtype)
    for split, rows in enumerate(held_out):
        W = heads[:, split].reshape(-1, width)  # one product for all candidates
        logits[rows] += (X_val[rows] @ W[:, :-1].T + W[:, -1]).reshape(-1, n, R)
    return logits.swapaxes(0, 1) / held_out.sum(axis=0)[:, None]


def default_judge(y_val, groups_val):
    """Return the worst group or slice, or what the validation rows suffice for."""
    if groups_val is not None:
        return "worst_group"
    smallest, enough = np.bincount(y_val).min(), 2 * MIN_CELL
    if smallest >= enough:
        return "worst_slice"
    judge = "worst_class" if smallest >= MIN_CELL else "balanced"
    warnings.warn(
        f"The smallest class has {smallest} validation samples, too few to split into slices: "
        f"candidates are judged by scoring={judge!r}. {enough} samples or more of every class "
        "would do.",
        stacklevel=5,
    )
    return judge


def choose(logits, reference, y, n_classes, unedited, *, rule, cells=None):
    """Return which candidates to average, and the threshold of the average.

    Parameters
    ----------
    logits : ndarray of shape (n_candidates, n_samples, R)
        Out-of-fold logits.
    reference : ndarray of shape (n_samples, R)
        Logits of the ERM head, which saw no validation row.
    y : ndarray of shape (n_samples,)
    n_classes : int
    unedited : bool ndarray of shape (n_candidates,)
        The candidates of epoch 0.
    rule : {"worst_group", "worst_slice", "worst_class", "balanced"} or callable
        What a candidate is scored by: the lowest accuracy over ``cells``, over shortcut
        slices, over classes; the mean over classes; or ``rule(y, log_proba, groups)``.
    cells : bool ndarray of shape (n_samples, n_cells), default=None
        The groups, for "worst_group" and callables.

    Returns
    -------
    Choice
    """
    if callable(rule):
        return _choose_by_rule(logits, y, rule, cells)
    of, doubtful = _cells_and_doubts(logits, y, n_classes, rule, cells)
    of = of & ~doubtful[:, None]
    thresholds = np.concatenate([trial_thresholds(logits[few]) for few in _few_at_once(logits)])
    if rule == "worst_slice":
        choice = _choose_by_slices(logits, thresholds, reference, y, of, unedited)
    else:
        choice = _within_errors(logits, thresholds, y, of, OF_CELLS[rule], unedited)
        choice = _placed(choice, logits, y, of, OF_CELLS[rule])
    return choice._replace(doubtful=doubtful)


def doubts(logits, y, n_classes, *, rule, cells=None):
    """Return the rows whose label is doubtful, as `choose` does, without choosing."""
    if callable(rule):
        return np.zeros(len(y), dtype=bool)
    return _cells_and_doubts(logits, y, n_classes, rule, cells)[1]


def _cells_and_doubts(logits, y, n_classes, rule, cells):
    of = cells[:, cells.any(axis=0)] if rule == "worst_group" else class_cells(y, n_classes)
    return of, doubtful_labels(logits.mean(axis=0), y, of)


def _few_at_once(logits):
    return gen_batches(len(logits), max(1, LOGITS_AT_ONCE // logits[0].size))


def _choose_by_slices(logits, thresholds, reference, y, by_class, unedited):
    """Find slices from the average, and the average from slices, in turn.

    Slices choose the heads; the classes, which have twice the rows, place the threshold. Beside an
    unedited head ERM leans on nothing, so the first average is of edited heads.
    """
    n_classes, used = by_class.shape[1], by_class.any(axis=1)
    edited = None if unedited.all() else ~unedited
    choice = _within_errors(logits, thresholds, y, by_class, np.min, allowed=edited)
    for _ in range(N_ROUNDS):
        robust = logits[choice.chosen].mean(axis=0)
        slices = shortcut_slices(reference, robust, y, n_classes, used)
        choice = _within_errors(logits, thresholds, y, slices, np.min, unedited)
        if unedited[choice.chosen].all():
            # Nothing was repaired, so nothing sets slices apart: the classes judge.
            choice = _within_errors(logits, thresholds, y, by_class, np.min, allowed=unedited)
            break
    return _placed(choice, logits, y, by_class, np.min)


def _placed(choice, logits, y, cells, reduce):
    """Return a choice with the offset at which its average does best in ``cells``."""
    average = logits[choice.chosen].mean(axis=0)
    offset = best_offset(average, y, cells, reduce)
    score = score_of_one(average - offset, y, choice.cells, reduce)
    return choice._replace(offset=offset, average_score=score)


def _within_errors(logits, thresholds, y, cells, reduce, unedited=None, allowed=None):
    """Choose all candidates within half a standard error of the best.

    How many that is follows from how well the validation rows tell them apart. If they are
    few, others within one error join them, for an average of few heads is noisy. If one of the
    ``unedited`` is within one error of the best, the edits have shown no worth: then unedited
    heads alone are chosen. The average is not placed yet.
    """
    filled = cells[:, cells.any(axis=0)]
    accuracies = np.concatenate(
        [
            expected_accuracies(logits[few], y, filled, thresholds[few])
            for few in _few_at_once(logits)
        ]
    )
    scores = reduce(accuracies, axis=-1)  # (n_candidates, n_thresholds)
    at = scores.argmax(axis=1)
    every = np.arange(len(at))
    score, threshold = scores[every, at], thresholds[every, at]
    allowed = np.full(len(score), True) if allowed is None else allowed
    best = np.where(allowed, score, -np.inf).argmax()
    error = _standard_error(accuracies[best, at[best]], filled.sum(axis=0), reduce)
    if unedited is not None and (score[unedited] >= score[best] - error).any():
        allowed = unedited
    order = np.argsort(np.where(allowed, -score, np.inf), kind="stable")[: allowed.sum()]
    n_near, n_half = (np.sum(score[order] >= score[order[0]] - e) for e in (error, error / 2))
    chosen = order[: max(n_half, min(n_near, MIN_CANDIDATES))]
    return Choice(chosen, score, threshold, None, None, cells, error)


def _standard_error(accuracies, n, reduce):
    """Return the error of the lowest, or of the mean, of accuracies over ``n`` rows each."""
    # Two hits and two misses are added, so that a perfect score has an error as well.
    p = (accuracies * n + 2) / (n + 4)
    variance = p * (1 - p) / (n + 4)  # (n_cells,)
    if reduce is np.min:
        return np.sqrt(variance[accuracies.argmin()])
    return np.sqrt(variance.sum()) / len(n)


def _choose_by_rule(logits, y, rule, cells):
    score = np.array([rule(y, log_probabilities(z), cells) for z in logits], dtype=float)
    order = np.argsort(-score, kind="stable")
    chosen = order[: max(1, len(order) // 10)]  # no error is known: the best tenth
    value = rule(y, log_probabilities(logits[chosen].mean(axis=0)), cells)
    none = np.zeros(len(y), dtype=bool)
    still = np.zeros(len(score)), np.zeros(logits.shape[2])
    return Choice(chosen, score, *still, float(value), cells, None, none)


def scores_at(logits, y, cells, thresholds, rule):
    """Return the scores of candidates, (n_candidates, n_samples, R), each at its threshold."""
    if callable(rule):
        return np.array([rule(y, log_probabilities(z), cells) for z in logits], dtype=float)
    cells = cells[:, cells.any(axis=0)]
    if not cells.shape[1]:
        return np.full(len(logits), np.nan)  # nobody is in a cell
    accuracies = expected_accuracies(logits, y, cells, thresholds[:, None])
    return OF_CELLS[rule](accuracies[:, 0], axis=-1)


def results_by_setting(settings, standings, y_val, held_out, judge):
    """Return ``cv_results_``: each setting at the epoch that scores best.

    ``standings`` are those of the heat and of the final; a setting that was not in the final is
    taken from the heat, and has NaN for the splits that it did not run.
    """
    (heat, heat_choice), (final, choice) = standings
    by_split = np.full((len(held_out), len(settings)), np.nan)
    best, last = (np.zeros(len(settings), dtype=int) for _ in range(2))
    for s in range(len(settings)):
        candidates, chosen = (final, choice) if s in final.setting else (heat, heat_choice)
        mine = np.flatnonzero(candidates.setting == s)
        top = mine[chosen.score[mine].argmax()]
        best[s] = max(0, candidates.epoch[top])
        last[s] = heat.epoch[heat.setting == s].max(initial=0)
        for split, held in enumerate(held_out[: candidates.heads.shape[1]]):
            cells = None if chosen.cells is None else chosen.cells[held]
            logits, at = candidates.logits[[top]][:, held], chosen.threshold[[top]]
            by_split[split, s] = scores_at(logits, y_val[held], cells, at, judge)[0]
    ran = np.isfinite(by_split).any(axis=0)
    mean, spread = np.full((2, len(settings)), np.nan)
    mean[ran], spread[ran] = (f(by_split[:, ran], axis=0) for f in (np.nanmean, np.nanstd))
    return {
        **{f"param_{n}": np.array([s[n] for s in settings], dtype=object) for n in settings[0]},
        "params": np.array(settings, dtype=object),
        **{f"split{i}_test_score": scores for i, scores in enumerate(by_split)},
        "mean_test_score": mean,
        "std_test_score": spread,
        "rank_test_score": (mean[:, None] < mean).sum(axis=1) + 1,
        "epoch": best,
        "n_epochs": last,
        "n_selected": np.bincount(final.setting[choice.chosen], minlength=len(settings)),
    }
