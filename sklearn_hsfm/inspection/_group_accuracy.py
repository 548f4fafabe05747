"""GroupAccuracyDisplay: accuracy of every group, of one or several methods side by side."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np

from sklearn_hsfm._compat import Interval, validate_params
from sklearn_hsfm._typing import ArrayLike, Axes, Classifier, Figure
from sklearn_hsfm.inspection._axes import axes_for, percent, plain
from sklearn_hsfm.metrics import GroupScores, group_scores


class GroupAccuracyDisplay:
    """Bars of accuracy by group, with intervals; the worst group of each method is hatched.

    Make it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    scores : dict of str to GroupScores
        What `sklearn_hsfm.metrics.group_scores` says of each method, on the same groups.

    Attributes
    ----------
    bars_ : dict of str to BarContainer
        The bars of each method, one a group.
    ax_ : matplotlib Axes
        Where they are.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    See Also
    --------
    sklearn_hsfm.metrics.group_scores : The same as a table.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.inspection import GroupAccuracyDisplay
    >>> data = make_spurious_features(random_state=0)
    >>> clf = LogisticRegression().fit(data.X_train, data.y_train)
    >>> display = GroupAccuracyDisplay.from_estimator(
    ...     {"ERM": clf}, data.X_test, data.y_test, data.groups_test)
    >>> len(display.bars_["ERM"])
    4
    """

    bars_: dict[str, Any]
    ax_: Axes
    figure_: Figure

    def __init__(self, scores: dict[str, GroupScores]):
        self.scores = scores

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier | Mapping[str, Classifier],
        X: Any,
        y: ArrayLike,
        groups: ArrayLike,
        *,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw the accuracies of one or several fitted classifiers.

        Parameters
        ----------
        estimator : classifier or dict of str to classifier
            Fitted; a dict names several.
        X : array-like
            What their ``predict`` takes.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups)
            Group ids, or boolean membership.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            As `sklearn_hsfm.metrics.group_scores`: ``interval``, ``confidence``, ...

        Returns
        -------
        GroupAccuracyDisplay
            The display, drawn.
        """
        named = estimator if isinstance(estimator, dict) else {_name(estimator): estimator}
        y_pred = {name: model.predict(X) for name, model in named.items()}
        return cls.from_predictions(y, y_pred, groups, ax=ax, **options)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike,
        *,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw the accuracies of one or several sets of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels.
        y_pred : array-like of shape (n_samples,), or dict of str to array-like
            Predictions; a dict names those of several methods.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups)
            Group ids, or boolean membership.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            As `sklearn_hsfm.metrics.group_scores`.

        Returns
        -------
        GroupAccuracyDisplay
            The display, drawn.
        """
        named = y_pred if isinstance(y_pred, dict) else {"accuracy": y_pred}
        scores = {name: group_scores(y_true, p, groups, **options) for name, p in named.items()}
        return cls(scores).plot(ax=ax)

    @validate_params(
        {"n_groups": [None, Interval(Integral, 1, None, closed="left")]},
        prefer_skip_nested_validation=True,
    )
    def plot(self, ax: Axes | None = None, *, n_groups: int | None = None) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_groups : int, default=None
            Draw only so many groups, those that the last method gets right least often.

        Returns
        -------
        GroupAccuracyDisplay
            This display.

        Raises
        ------
        ValueError
            If there are no scores, or ``n_groups`` is not 1 or more.
        """
        if not self.scores:
            raise ValueError("There are no scores to draw; name one classifier or more.")
        last = list(self.scores.values())[-1]
        shown = np.arange(len(last.group))
        if n_groups is not None and n_groups < len(shown):
            shown = np.argsort(last.accuracy, kind="stable")[:n_groups]
        names, counts = last.group[shown], last.count[shown]
        n_bars = len(names) * len(self.scores)
        self.figure_, self.ax_ = axes_for(ax, height=1.4 + 0.3 * n_bars)
        thickness = 0.8 / len(self.scores)
        self.bars_ = {}
        for k, (method, s) in enumerate(self.scores.items()):
            at = np.arange(len(names)) + (k - (len(self.scores) - 1) / 2) * thickness
            accuracy, low, high = s.accuracy[shown], s.low[shown], s.high[shown]
            error = np.abs([accuracy - low, high - accuracy])
            label = f"{plain(method)}: worst {s.worst:.1%}, average {s.average:.1%}"
            bars = self.ax_.barh(at, accuracy, thickness, label=label)
            self.ax_.errorbar(
                accuracy, at, xerr=error, fmt="none", ecolor="0.5", elinewidth=1.5, capsize=2
            )
            for worst in np.flatnonzero(names == s.worst_group):
                bars[worst].set_hatch("///")
                bars[worst].set_edgecolor("0.3")
            self.bars_[method] = bars
        labels = [f"{plain(g)}\n{n} samples" for g, n in zip(names, counts, strict=True)]
        self.ax_.set_yticks(np.arange(len(names)), labels)
        self.ax_.set_ylim(len(names) - 0.4, -0.6)  # the first group, and the first method, on top
        self.ax_.set(xlim=(0, 1), xlabel="accuracy (hatched: the worst group)")
        percent(self.ax_, "x")
        self.ax_.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
        return self


def _name(estimator):
    return type(estimator).__name__
