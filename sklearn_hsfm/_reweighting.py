"""Repair by regressions on which cells weigh the same: inferred ones as far as warranted.

Where a shortcut holds in all samples alike, nobody tells one edit of a support set from another.
What is left is who is hurt: by the groups where they are known, else as far as can be inferred.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu

from sklearn_hsfm._choosing.candidates import choose, normalized
from sklearn_hsfm._choosing.cells import margins
from sklearn_hsfm._choosing.folds import draw_folds, strata, stratified_part
from sklearn_hsfm.discovery._cross_fit import (
    class_balanced,
    cross_fitted,
    fitted_head,
    heads_of_folds,
    logits_of,
    out_of_fold,
)
from sklearn_hsfm.heads._base import balanced_rows

SAFE = 1e-2  # C of the class-balanced regression, which is kept where nothing is repaired
LEANING = 1e-3  # C of ERM that is to lean on a shortcut
MAY_BE_CHANCE = 0.01  # p-value below which validation samples are drawn otherwise
AT_MOST = 2**14  # samples to compare, or of a balanced subset
AT_MOST_BYTES = 2**29  # of samples to repair by
SUBSETS = 5  # a split
BALANCED = (1e-2, 1e-1)  # of the regressions on balanced subsets


class Repair(NamedTuple):
    """Heads to average, and what they say of samples that they did not see."""

    strengths: tuple  # C of each candidate
    heads: np.ndarray  # (n_candidates, R, n_features + 1) on standardised features
    logits: np.ndarray  # (n_candidates, n_samples, R) out of fold, of heads of norm one
    before: np.ndarray  # (n_samples, R) of class-balanced ERM, out of fold
    chosen: np.ndarray  # candidates to average
    offset: np.ndarray  # (R,) subtracted from the average
    unrepaired: np.ndarray  # (R, n_features + 1) mean of the heads that ``before`` is of

    @property
    def after(self):
        """Logits of the average, out of fold."""
        return self.logits[self.chosen].mean(axis=0) - self.offset


def validation_differs(split, scaler, rng):
    """Return whether ERM reads validation samples otherwise than training samples it did not see.

    Where a shortcut holds as often in both, it does not, and validation samples show no more of
    what hurts than training samples do. Margins are compared by their ranks within each class.
    """
    (Z, y), (Z_val, y_val) = (
        _some(X, y, scaler, rng) for X, y in ((split.X, split.y), (split.X_val, split.y_val))
    )
    if np.bincount(y).min() < 4:
        return True  # too few to compare
    folds = draw_folds(y, 2, 1, rng)
    logits, heads = cross_fitted(Z, y, class_balanced(y), LEANING, folds)
    # Of each validation sample one head alone, as of each training sample.
    logits_val = out_of_fold(Z_val, heads, rng.randint(2, size=(1, len(y_val))))
    seen, new = margins(logits, y), margins(logits_val, y_val)
    of_class = [mannwhitneyu(new[y_val == c], seen[y == c]).pvalue for c in np.unique(y_val)]
    return min(of_class) < MAY_BE_CHANCE / len(of_class)


def pooled(X, y, split, rng):
    """Return training and validation samples as one, a part of each class where they are many."""
    parts = [(X, y)] if split is None else [(X, y), (split.X_val, split.y_val)]
    share = AT_MOST_BYTES / sum(X.nbytes for X, _ in parts)
    if share < 1:
        masks = [stratified_part(y, share, rng) for _, y in parts]
        parts = [(X[m], y[m]) for (X, y), m in zip(parts, masks, strict=True)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def repair_by_finding(Z, y, finder, cv, rng):
    """Return the `Repair` that a fitted `ShortcutFinder` warrants."""
    strength = finder.strength_ if finder.found_ else 0.0
    weight = repair_weights(y, finder.cells_, strength)
    # Fewer samples weigh more as the strength grows, and want a stronger penalty.
    strengths = (SAFE, SAFE * 0.1**strength) if strength else (SAFE,)
    heads, logits, before, unrepaired = _candidates_of(Z, y, weight, strengths, cv, rng)
    none = np.zeros(heads.shape[1])
    return Repair(strengths, heads, logits, before, np.arange(len(heads)), none, unrepaired)


def repair_by_groups(X, y, member, scaler, cv, rng):
    """Return the `Repair` that balances known groups, (n_samples, n_groups) bool.

    The penalty is chosen by the worst group out of fold. The intercept is that of balanced groups:
    features of a network that was trained on these samples look as if nothing had to be placed.
    """
    if (smallest := np.bincount(y).min()) < cv:
        raise ValueError(
            f"A class of y has {smallest} sample(s), fewer than cv={cv}: groups cannot be balanced "
            "with some left out. Give it more, lower cv, or leave groups out."
        )
    folds = draw_folds(strata(y, member), cv, 1, rng)
    parts = np.concatenate([folds[0] != np.arange(cv)[:, None], np.ones((2, len(y)), dtype=bool)])
    heads = normalized(balanced_regressions(X, y, member, parts, scaler, rng))
    crossed, whole = heads[:, :cv], heads[:, cv:].mean(axis=1)
    Z = scaler.transform(X)
    logits = np.array([out_of_fold(Z, of_folds[None], folds) for of_folds in crossed])
    before, crossed = cross_fitted(Z, y, class_balanced(y), SAFE, folds)
    nobody = np.zeros(len(whole), dtype=bool)
    choice = choose(logits, before, y, y.max() + 1, nobody, rule="worst_group", cells=member)
    none = np.zeros(whole.shape[1])
    return Repair(BALANCED, whole, logits, before, choice.chosen, none, crossed.mean(axis=(0, 1)))


def balanced_regressions(X, y, member, mined, scaler, rng):
    """Return regressions on subsets with as many samples of each group, as DFR has them.

    Of each split the mean over subsets of its mined samples, (n_strengths, n_splits, R,
    n_features + 1), on standardised features.
    """
    of_cell = strata(y, member)
    heads = []
    for rows in mined:
        rows = np.flatnonzero(rows)
        drawn = [rows[balanced_rows(of_cell[rows], rng, AT_MOST)] for _ in range(SUBSETS)]
        parts = [(scaler.transform(X[some]), y[some], np.ones(len(some))) for some in drawn]
        heads.append([np.mean([fitted_head(*p, C) for p in parts], axis=0) for C in BALANCED])
    return np.array(heads).swapaxes(0, 1)


def repair_weights(y, cells, strength):
    """Return weights between those that balance classes, strength 0, and cells, strength 1.

    Every class weighs the same, and so do its cells at full strength, where samples in no cell
    weigh nothing.
    """
    weight = (1 - strength) * class_balanced(y)
    for c in np.unique(y):
        of_class = cells & (y == c)[:, None]
        used = of_class.any(axis=0)
        share = of_class[:, used] @ (1 / of_class[:, used].sum(axis=0))
        weight = weight + strength * share / used.sum()
    return weight


def _some(X, y, scaler, rng):
    """Return up to `AT_MOST` samples, standardised, the same share of each class."""
    rows = np.arange(len(y))
    if len(y) > AT_MOST:
        rows = np.flatnonzero(stratified_part(y, AT_MOST / len(y), rng))
    return scaler.transform(X[rows]), y[rows]


def _candidates_of(Z, y, weight, strengths, cv, rng):
    """Return heads of norm one, their logits out of fold, those of class-balanced ERM, and it."""
    heads = np.array([fitted_head(Z, y, weight, C, tol=1e-4) for C in strengths])
    smallest = np.bincount(y).min()
    if smallest < 2:  # nothing can be left out: the heads tell of what they saw
        erm = fitted_head(Z, y, class_balanced(y), SAFE)
        unit = normalized(heads)
        return unit, np.array([logits_of(Z, head) for head in unit]), logits_of(Z, erm), erm
    folds = draw_folds(y, min(cv, smallest), 1, rng)
    crossed = (heads_of_folds(Z, y, weight, C, folds) for C in strengths)
    logits = np.array([out_of_fold(Z, normalized(W), folds) for W in crossed])
    before, erm = cross_fitted(Z, y, class_balanced(y), SAFE, folds)
    return normalized(heads), logits, before, erm.mean(axis=(0, 1))
