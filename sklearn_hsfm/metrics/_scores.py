"""Accuracy by group and its summaries, with intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from sklearn_hsfm.metrics._groups import group_membership, one_per_id


@dataclass(frozen=True)
class GroupScores:
    """Accuracy of every group, and its summaries; see `group_scores`.

    Attributes
    ----------
    group : ndarray of shape (n_groups,)
        Ids, sorted, or the names of the membership columns.
    count : ndarray of shape (n_groups,)
        Rows of each group.
    accuracy, low, high : ndarray of shape (n_groups,)
        Accuracy and the ends of its interval; NaN for a group without rows.
    worst_group : object
        Id of the group with the lowest accuracy, the first of equals.
    worst : float
        Its accuracy.
    worst_low, worst_high : float
        Interval of the lowest accuracy over groups; the ends of the worst group's own
        interval when ``interval="wilson"``.
    average : float
        Plain accuracy: every row counts the same.
    train_weighted_average : float
        Group accuracies weighted by the groups' shares of the *training* rows, as most
        papers on Waterbirds report it. NaN without ``train_groups``, or when a training
        group has no rows here.
    group_mean : float
        Unweighted mean over groups, called adjusted accuracy elsewhere.
    """

    group: np.ndarray
    count: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    worst_group: object
    worst: float
    worst_low: float
    worst_high: float
    average: float
    train_weighted_average: float
    group_mean: float

    def __str__(self):
        """Return the table as text."""
        width = max(5, *(len(str(g)) for g in self.group))
        lines = [f"{'group':<{width}}   rows  accuracy  interval"]
        for row in zip(self.group, self.count, self.accuracy, self.low, self.high, strict=True):
            name, count, *values = row
            accuracy, low, high = (f"{v:.3f}" for v in values)
            mark = "  <- worst" if name == self.worst_group else ""
            lines.append(f"{name!s:<{width}}  {count:>5}  {accuracy:>8}  [{low}, {high}]{mark}")
        lines += [
            f"average, plain              {self.average:.3f}",
            f"average, training-weighted  {self.train_weighted_average:.3f}",
            f"average, group mean         {self.group_mean:.3f}",
        ]
        return "\n".join(lines)


def group_scores(
    y_true,
    y_pred,
    groups,
    *,
    train_groups=None,
    interval="wilson",
    confidence=0.95,
    n_bootstrap=2000,
    random_state=None,
):
    """Return the accuracy of every group, with intervals and the three averages.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups)
        Group ids of any kind, or boolean membership of groups that may overlap.
    train_groups : array-like, default=None
        Groups of the training rows, in the same form; they give the weights of
        ``train_weighted_average``.
    interval : {"wilson", "bootstrap"}, default="wilson"
        Wilson's score interval, which stays inside [0, 1] and honest at one row, or
        percentiles of the bootstrap that resamples rows within groups, which also covers
        the minimum over groups.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap : int, default=2000
        Resamples, for ``interval="bootstrap"``.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    GroupScores
        A record that prints as a table.

    Raises
    ------
    ValueError
        If lengths differ, an id is missing (None or NaN), a membership matrix is not
        boolean, or no group has a row.

    Examples
    --------
    >>> from sklearn_hsfm.metrics import group_scores
    >>> scores = group_scores([0, 0, 1, 1], [0, 1, 1, 1], groups=["a", "b", "a", "b"])
    >>> float(scores.worst), str(scores.worst_group)
    (0.5, 'b')
    """
    if interval not in ("wilson", "bootstrap"):
        raise ValueError(f"interval={interval!r}; it must be 'wilson' or 'bootstrap'.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r}; it must lie between 0 and 1.")
    hit = _hits(y_true, y_pred)
    names, member = group_membership(groups, len(hit))
    count, accuracy = _accuracies(hit, member)
    worst = int(np.nanargmin(accuracy))
    if interval == "wilson":
        low, high = _wilson(accuracy, count, confidence)
        worst_low, worst_high = low[worst], high[worst]
    else:
        draws = _bootstrap(accuracy, count, n_bootstrap, random_state)  # (draws, n_groups)
        ends = 50 * (1 - confidence), 50 * (1 + confidence)
        low, high = np.percentile(draws, ends, axis=0)
        worst_low, worst_high = np.percentile(np.nanmin(draws, axis=1), ends)
    return GroupScores(
        group=names,
        count=count,
        accuracy=accuracy,
        low=low,
        high=high,
        worst_group=names[worst],
        worst=float(accuracy[worst]),
        worst_low=float(worst_low),
        worst_high=float(worst_high),
        average=float(hit.mean()),
        train_weighted_average=_train_weighted(names, accuracy, train_groups),
        group_mean=float(np.nanmean(accuracy)),
    )


def worst_group_accuracy_score(y_true, y_pred, groups):
    """Return the lowest accuracy over groups (WGA, Eq. 1 of the HSFM paper).

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups)
        Group ids of any kind, or boolean membership; groups without rows are passed over.

    Returns
    -------
    float
        Between 0 and 1, greater is better.

    Raises
    ------
    ValueError
        As `group_scores`.

    Examples
    --------
    >>> from sklearn_hsfm.metrics import worst_group_accuracy_score
    >>> worst_group_accuracy_score([0, 0, 1, 1], [0, 1, 1, 1], groups=[7, 9, 7, 9])
    0.5
    """
    hit = _hits(y_true, y_pred)
    _, member = group_membership(groups, len(hit))
    return float(np.nanmin(_accuracies(hit, member)[1]))


def worst_class_accuracy_score(y_true, y_pred):
    """Return the lowest recall over classes: the worst group when classes are the groups.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.

    Returns
    -------
    float
        Between 0 and 1, greater is better.

    Raises
    ------
    ValueError
        As `group_scores`.

    Examples
    --------
    >>> from sklearn_hsfm.metrics import worst_class_accuracy_score
    >>> worst_class_accuracy_score(["cat", "cat", "dog"], ["cat", "dog", "dog"])
    0.5
    """
    return worst_group_accuracy_score(y_true, y_pred, y_true)


def macro_std_score(y_true, y_pred, groups, *, weights="size", ddof=0):
    """Return the spread of accuracy between the groups of a class, averaged over classes.

    With n_cg rows of class c in group g, accuracies a_cg and weights w_cg that sum to one
    in each class, it is the mean over classes of
    ``sqrt(sum_g w_cg * (a_cg - sum_g w_cg a_cg)**2)`` [1]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups)
        Group ids of any kind, or boolean membership.
    weights : {"size", "uniform"}, default="size"
        Weigh the groups of a class by their rows, or equally.
    ddof : {0, 1}, default=0
        With 1, the variance over the M groups of a class is multiplied by M / (M - 1); the
        paper's abstract does not say which it uses.

    Returns
    -------
    float
        0 when every group of every class is equally accurate; lower is better.

    Raises
    ------
    ValueError
        As `group_scores`, or for unknown ``weights`` or ``ddof``.

    References
    ----------
    .. [1] "Better May Not Be Fairer: A Study on Subgroup Discrepancy in Image
       Classification", arXiv:2212.08649.

    Examples
    --------
    >>> from sklearn_hsfm.metrics import macro_std_score
    >>> macro_std_score([0, 0, 1, 1], [0, 1, 1, 1], groups=["a", "b", "a", "b"])
    0.25
    """
    if weights not in ("size", "uniform"):
        raise ValueError(f"weights={weights!r}; it must be 'size' or 'uniform'.")
    if ddof not in (0, 1):
        raise ValueError(f"ddof={ddof!r}; it must be 0 or 1.")
    hit = _hits(y_true, y_pred)
    _, member = group_membership(groups, len(hit))
    spreads = []
    for rows in one_per_id(column_or_1d(y_true))[1].T:
        count, accuracy = _accuracies(hit[rows], member[rows])
        accuracy, count = accuracy[count > 0], count[count > 0]
        w = count / count.sum() if weights == "size" else np.full(len(count), 1 / len(count))
        variance = w @ (accuracy - w @ accuracy) ** 2
        if ddof == 1 and len(count) > 1:
            variance *= len(count) / (len(count) - 1)
        spreads.append(np.sqrt(variance))
    return float(np.mean(spreads))


def _hits(y_true, y_pred):
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    if len(y_true) == 0:
        raise ValueError("There are 0 rows to score; give at least one.")
    return y_true == y_pred


def _accuracies(hit, member):
    count = member.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty group is its NaN
        return count, (hit @ member.astype(float)) / count


def _wilson(accuracy, count, confidence):
    z2 = norm.ppf(0.5 + confidence / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (accuracy + z2 / (2 * count)) / (1 + z2 / count)
        spread = accuracy * (1 - accuracy) / count + z2 / (4 * count**2)
        half = np.sqrt(z2 * spread) / (1 + z2 / count)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def _bootstrap(accuracy, count, n_draws, random_state):
    # The hits of a group among its resampled rows are binomial: no row need be drawn.
    rng = check_random_state(random_state)
    hits = rng.binomial(count, np.nan_to_num(accuracy), size=(n_draws, len(count)))
    with np.errstate(invalid="ignore"):
        return hits / count


def _train_weighted(names, accuracy, train_groups):
    if train_groups is None:
        return float("nan")
    train_names, member = group_membership(train_groups, len(train_groups))
    share = member.sum(axis=0) / member.sum()
    seen = dict(zip(names.tolist(), accuracy, strict=True))
    shares = zip(train_names.tolist(), share, strict=True)
    return float(sum(w * seen.get(g, np.nan) for g, w in shares if w > 0))
