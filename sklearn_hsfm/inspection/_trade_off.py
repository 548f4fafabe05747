"""TradeOffDisplay: average against worst-group accuracy on the way between two heads."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._compat import validate_data
from sklearn_hsfm._linear_head import one_row_per_class
from sklearn_hsfm._typing import ArrayLike, Axes, Figure
from sklearn_hsfm.heads import HeadAverager
from sklearn_hsfm.inspection._axes import axes_for, percent, plain
from sklearn_hsfm.metrics import group_scores
from sklearn_hsfm.metrics._columns import one_column, sorted_values


class TradeOffDisplay:
    """Average against worst-group accuracy along the straight path between two heads.

    Heads are linear, so the path of the heads is the path of their decisions:
    ``(1 - alpha) * first + alpha * second``.

    Parameters
    ----------
    alphas : ndarray of shape (n_points,)
        Shares of the second head.
    average, worst : ndarray of shape (n_points,)
        Plain accuracy, and that of the worst group.
    names : tuple of str, default=("first", "second")
        What the ends are called.
    alpha : float, default=None
        A share to mark, such as the one that `HeadAverager` chose.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The path.
    ax_ : matplotlib Axes
        Where it is.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    See Also
    --------
    sklearn_hsfm.heads.HeadAverager : A head on such a path.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.heads import ClassBalancedClassifier, HeadAverager
    >>> from sklearn_hsfm.inspection import TradeOffDisplay
    >>> data = make_spurious_features(random_state=0)
    >>> path = HeadAverager(LogisticRegression(), ClassBalancedClassifier())
    >>> path = path.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> display = TradeOffDisplay.from_estimator(path, data.X_test, data.y_test, data.groups_test)
    >>> bool(display.worst[-1] > display.worst[0])
    True
    """

    line_: Any
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        alphas: np.ndarray,
        average: np.ndarray,
        worst: np.ndarray,
        *,
        names: Sequence[str] = ("first", "second"),
        alpha: float | None = None,
    ):
        self.alphas = alphas
        self.average = average
        self.worst = worst
        self.names = names
        self.alpha = alpha

    @classmethod
    def from_estimator(
        cls,
        estimator: HeadAverager | HSFMClassifier | HSFMClassifierCV,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike,
        *,
        alphas: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the path of a fitted `HeadAverager`, or from an initial head to its repair.

        Parameters
        ----------
        estimator : HeadAverager, HSFMClassifier or HSFMClassifierCV
            Fitted: with ``first_`` and ``second_``, or with ``init_coef_`` and ``coef_``.
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups)
            Group ids, or boolean membership.
        alphas : array-like of float, default=None
            Shares of the second head; None is 21 of them from 0 to 1.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TradeOffDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no two heads, or ``alphas`` holds no finite number.
        """
        check_is_fitted(estimator)
        alpha = getattr(estimator, "alpha_", None)
        if hasattr(estimator, "first_"):
            heads = estimator.first_, estimator.second_
            names = type(estimator.first).__name__, type(estimator.second).__name__
        elif hasattr(estimator, "init_coef_"):
            first = one_row_per_class(estimator.init_coef_, estimator.init_intercept_)
            heads = first, one_row_per_class(estimator.coef_, estimator.intercept_)
            names = "initial head", type(estimator).__name__
        else:
            raise ValueError(
                f"{type(estimator).__name__} has neither two heads nor an initial one; fit "
                "HeadAverager(first, second), or give two decisions to from_predictions."
            )
        X = validate_data(estimator, X, reset=False)
        first, second = (X @ coef.T + intercept for coef, intercept in heads)
        return cls.from_predictions(
            y, first, second, groups, classes=estimator.classes_, alphas=alphas, names=names,
            alpha=alpha, ax=ax,
        )  # fmt: skip

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        first: ArrayLike,
        second: ArrayLike,
        groups: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        alphas: ArrayLike | None = None,
        names: Sequence[str] = ("first", "second"),
        alpha: float | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the path between two sets of decisions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels.
        first, second : array-like of shape (n_samples,) or (n_samples, n_classes)
            What the two heads' ``decision_function`` says of each sample.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups)
            Group ids, or boolean membership.
        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the columns; None takes those of ``y_true``, sorted.
        alphas : array-like of float, default=None
            Shares of the second head; None is 21 of them from 0 to 1.
        names : tuple of str, default=("first", "second")
            What the ends are called.
        alpha : float, default=None
            A share to mark.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TradeOffDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the decisions do not fit ``y_true`` and the classes, or are not finite, or
            ``alphas`` holds no finite number.
        """
        y_true = one_column(y_true, "y_true")
        if classes is None:
            classes = sorted_values(y_true, "y_true")
        else:
            classes = sorted_values(one_column(classes, "classes"), "classes")
        first, second = (
            _one_column_a_class(z, name, len(y_true), classes)
            for name, z in (("first", first), ("second", second))
        )
        alphas = np.linspace(0, 1, 21) if alphas is None else _shares(alphas, "alphas")
        if alpha is not None:
            alphas = np.append(alphas, _shares(alpha, "alpha"))
        alphas = np.unique(alphas)
        scores = [
            group_scores(y_true, classes[((1 - a) * first + a * second).argmax(axis=1)], groups)
            for a in alphas
        ]
        average, worst = np.array([(s.average, s.worst) for s in scores]).T
        return cls(alphas, average, worst, names=names, alpha=alpha).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the path.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TradeOffDisplay
            This display.
        """
        self.figure_, self.ax_ = axes_for(ax)
        (self.line_,) = self.ax_.plot(self.average, self.worst, "o-", color="0.55", markersize=3)
        ends = [(0, self.names[0], "o"), (len(self.alphas) - 1, self.names[1], "s")]
        if self.alpha is not None:
            at = int(np.abs(self.alphas - self.alpha).argmin())
            ends.append((at, f"chosen: alpha = {self.alpha:.2f}", "*"))
        for at, name, marker in ends:
            label = f"{plain(name)}: worst {self.worst[at]:.1%}, average {self.average[at]:.1%}"
            self.ax_.plot(
                self.average[at], self.worst[at], marker, markersize=10, label=label, ls="none"
            )
        self.ax_.set(xlabel="average accuracy", ylabel="worst-group accuracy")
        self.ax_.margins(0.1)
        percent(self.ax_, "x")
        percent(self.ax_, "y")
        self.ax_.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
        return self


def _shares(values, name):
    """Return the finite numbers that ``alphas`` must hold."""
    try:
        shares = np.ravel(np.asarray(values, dtype=float))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={values!r} holds what is no number.") from error
    if not (len(shares) and np.isfinite(shares).all()):
        raise ValueError(f"{name}={values!r}; it must hold one or more finite numbers.")
    return shares


def _one_column_a_class(decision, name, n_samples, classes):
    try:
        decision = np.asarray(decision, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The decision {name} holds what is no number.") from error
    if not np.isfinite(decision).all():
        raise ValueError(f"The decision {name} contains NaN or infinity.")
    two = len(classes) == 2
    if decision.shape == (n_samples,) and two:
        return np.column_stack([-decision, decision]) / 2
    if decision.shape != (n_samples, len(classes)):
        wanted = f"({n_samples}, {len(classes)})" + (f" or ({n_samples},)" if two else "")
        raise ValueError(
            f"The decision {name} has shape {decision.shape}; {n_samples} labels of "
            f"{len(classes)} classes want {wanted}."
        )
    return decision
