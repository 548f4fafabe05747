"""Accuracy by group and its summaries, with intervals."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_random_state

from sklearn_hsfm._compat import Interval, StrOptions, validate_params
from sklearn_hsfm._typing import ArrayLike, RandomStateLike
from sklearn_hsfm.metrics._columns import check_labels
from sklearn_hsfm.metrics._groups import group_membership

_DRAWS_AT_ONCE = 2**22  # of the bootstrap


@dataclass(frozen=True)
class GroupScores:
    """Accuracy of every group, and its summaries; see `group_scores`.

    Attributes
    ----------
    group : ndarray of shape (n_groups,)
        Ids, sorted, or the names of the membership columns.
    count : ndarray of shape (n_groups,)
        Samples of each group.
    accuracy, low, high : ndarray of shape (n_groups,)
        Accuracy and the ends of its interval; NaN for a group without samples.
    worst_group : object
        Id of the group with the lowest accuracy, the first of equals.
    worst : float
        Its accuracy.
    worst_low, worst_high : float
        Interval of the lowest accuracy over groups; the ends of the worst group's own
        interval when ``interval="wilson"``.
    average : float
        Plain accuracy: every sample counts the same.
    train_weighted_average : float
        Group accuracies weighted by the groups' shares of the *training* samples, as most
        papers on Waterbirds report it. NaN without ``train_groups``, or when a training
        group has no samples here.
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
        lines = [f"{'group':<{width}}  samples  accuracy  interval"]
        for row in zip(self.group, self.count, self.accuracy, self.low, self.high, strict=True):
            name, count, *values = row
            accuracy, low, high = (f"{v:.3f}" for v in values)
            mark = "  <- worst" if name == self.worst_group else ""
            lines.append(f"{name!s:<{width}}  {count:>7}  {accuracy:>8}  [{low}, {high}]{mark}")
        weighted = f"{self.train_weighted_average:.3f}"
        if np.isnan(self.train_weighted_average):
            weighted = "unknown: needs train_groups, all of which have samples here"
        lines += [
            f"average, plain              {self.average:.3f}",
            f"average, training-weighted  {weighted}",
            f"average, group mean         {self.group_mean:.3f}",
        ]
        return "\n".join(lines)


@validate_params(
    {
        "interval": [StrOptions({"wilson", "bootstrap"})],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_bootstrap": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def group_scores(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    *,
    train_groups: ArrayLike | None = None,
    interval: Literal["wilson", "bootstrap"] = "wilson",
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: RandomStateLike = None,
) -> GroupScores:
    """Return the accuracy of every group, with intervals and the three averages.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups)
        Group ids of any kind, or boolean membership of groups that may overlap.
    train_groups : array-like, default=None
        Groups of the training samples, in the same form; they give the weights of
        ``train_weighted_average``.
    interval : {"wilson", "bootstrap"}, default="wilson"
        Wilson's score interval, which stays inside [0, 1] and honest at one sample, or
        percentiles of the bootstrap that draws samples again within groups, which also covers
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
        If lengths differ, labels are such that `sklearn.metrics.accuracy_score` refuses them, a
        label or an id is missing (None, NaN or NA), ids have no order, a membership matrix is
        not boolean, no group has a sample, or no training group is one of the groups.
    TypeError
        If labels are of a type that has no order, as in `sklearn.metrics.accuracy_score`.

    Examples
    --------
    >>> from sklearn_hsfm.metrics import group_scores
    >>> scores = group_scores([0, 0, 1, 1], [0, 1, 1, 1], groups=["a", "b", "a", "b"])
    >>> float(scores.worst), str(scores.worst_group)
    (0.5, 'b')
    """
    hit = _hits(y_true, y_pred)
    names, member = group_membership(groups, len(hit))
    count, accuracy = _accuracies(hit, member)
    worst = int(np.nanargmin(accuracy))
    weighted_average = _train_weighted(names, accuracy, train_groups)
    if interval == "wilson":
        low, high = _wilson(accuracy, count, confidence)
        worst_low, worst_high = low[worst], high[worst]
    else:
        ends = 50 * (1 - confidence), 50 * (1 + confidence)
        low, high, lowest = _bootstrap(accuracy, count, ends, n_bootstrap, random_state)
        worst_low, worst_high = np.percentile(lowest, ends)
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
        train_weighted_average=weighted_average,
        group_mean=float(np.nanmean(accuracy)),
    )


def worst_group_accuracy_score(y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike) -> float:
    """Return the lowest accuracy over groups (WGA, Eq. 1 of the HSFM paper).

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups)
        Group ids of any kind, or boolean membership; groups without samples are passed over.

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
    return lowest_accuracy(_hits(y_true, y_pred), groups)


def lowest_accuracy(hit, groups):
    """Return the lowest accuracy over groups, of samples that are known to be hit or missed."""
    _, member = group_membership(groups, len(hit))
    return float(np.nanmin(_accuracies(hit, member)[1]))


def worst_class_accuracy_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
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


@validate_params(
    {
        "weights": [StrOptions({"size", "uniform"})],
        "ddof": [Interval(Integral, 0, 1, closed="both")],
    },
    prefer_skip_nested_validation=True,
)
def macro_std_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    *,
    weights: Literal["size", "uniform"] = "size",
    ddof: Literal[0, 1] = 0,
) -> float:
    """Return the spread of accuracy between the groups of a class, averaged over classes.

    With n_cg samples of class c in group g, accuracies a_cg and weights w_cg that sum to one
    in each class, it is the mean over classes of
    ``sqrt(sum_g w_cg * (a_cg - sum_g w_cg a_cg)**2)`` [1]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels and predictions.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups)
        Group ids of any kind, or boolean membership.
    weights : {"size", "uniform"}, default="size"
        Weigh the groups of a class by their samples, or equally.
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
    hit = _hits(y_true, y_pred)
    _, member = group_membership(groups, len(hit))
    spreads = []
    of_class = group_membership(y_true, len(hit), "y_true")[1].tocsc()
    for rows in np.split(of_class.indices, of_class.indptr[1:-1]):
        count, accuracy = _accuracies(hit[rows], member[rows])
        accuracy, count = accuracy[count > 0], count[count > 0]
        if not len(count):  # the groups leave this class out
            continue
        w = count / count.sum() if weights == "size" else np.full(len(count), 1 / len(count))
        variance = w @ (accuracy - w @ accuracy) ** 2
        if ddof == 1 and len(count) > 1:
            variance *= len(count) / (len(count) - 1)
        spreads.append(np.sqrt(variance))
    return float(np.mean(spreads))


def _hits(y_true, y_pred):
    y_true, y_pred = check_labels(y_true, y_pred)
    return y_true == y_pred


def _accuracies(hit, member):
    count = member.sum(axis=0, dtype=int)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty group is its NaN
        return count, (member.T @ hit.astype(float)) / count


def _wilson(accuracy, count, confidence):
    z2 = norm.ppf(0.5 + confidence / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (accuracy + z2 / (2 * count)) / (1 + z2 / count)
        spread = accuracy * (1 - accuracy) / count + z2 / (4 * count**2)
        half = np.sqrt(z2 * spread) / (1 + z2 / count)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def _bootstrap(accuracy, count, ends, n_draws, random_state):
    """Return the percentiles of each group's accuracy, and the lowest accuracy of each draw."""
    # The hits of a group among its resampled rows are binomial: no row need be drawn.
    rng = check_random_state(random_state)
    low, high = (np.full(len(count), np.nan) for _ in range(2))
    lowest = np.full(n_draws, np.inf)
    with_rows = np.flatnonzero(count)
    n_parts = -(-n_draws * len(with_rows) // _DRAWS_AT_ONCE)
    for part in np.array_split(with_rows, n_parts):
        draws = rng.binomial(count[part], accuracy[part], size=(n_draws, len(part))) / count[part]
        low[part], high[part] = np.percentile(draws, ends, axis=0)
        np.minimum(lowest, draws.min(axis=1), out=lowest)
    return low, high, lowest


def _train_weighted(names, accuracy, train_groups):
    if train_groups is None:
        return float("nan")
    train_names, member = group_membership(train_groups, None, "train_groups")
    share = member.sum(axis=0, dtype=int) / member.nnz
    seen = dict(zip(names.tolist(), accuracy, strict=True))
    if seen.keys().isdisjoint(train_names.tolist()):
        raise ValueError(
            f"train_groups has none of the groups that are scored: {train_names[:5].tolist()} "
            f"against {names[:5].tolist()}. Give both the same ids, of one kind."
        )
    shares = zip(train_names.tolist(), share, strict=True)
    return float(sum(w * seen.get(g, np.nan) for g, w in shares if w > 0))
