"""FitHistoryDisplay: what an HSFM fit did, epoch by epoch."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._typing import Axes, Figure
from sklearn_hsfm.inspection._axes import axes_for, percent, plain
from sklearn_hsfm.inspection._kept import check_keeps

_LOSSES = {"outer_loss": "hard set (outer loss)", "inner_loss": "support (inner loss)"}
_SCORES = {"accuracy": "average", "worst_class": "worst class", "worst_group": "worst group"}


class FitHistoryDisplay:
    """Losses, validation scores and the chosen epoch of a fit.

    Parameters
    ----------
    history : dict of ndarray
        As ``history_`` of `HSFMClassifier`.
    best_epoch : int
        The epoch that was kept.
    selection : str, default="score"
        The rule that chose it.

    Attributes
    ----------
    lines_ : dict of str to Line2D
        The curves, by their names in ``history``.
    ax_ : ndarray of Axes of shape (2,)
        Losses above, accuracies on the samples that choose below.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Notes
    -----
    The scores chose the epoch, so they are optimistic; epoch 0 is the initial head.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.inspection import FitHistoryDisplay
    >>> data = make_spurious_features(random_state=0)
    >>> clf = HSFMClassifier(epochs=5, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> display = FitHistoryDisplay.from_estimator(clf)
    >>> sorted(display.lines_)
    ['accuracy', 'inner_loss', 'outer_loss', 'worst_class']
    """

    lines_: dict[str, Any]
    ax_: np.ndarray
    figure_: Figure

    def __init__(
        self, history: dict[str, np.ndarray], best_epoch: int, *, selection: str = "score"
    ):
        self.history = history
        self.best_epoch = best_epoch
        self.selection = selection

    @classmethod
    def from_estimator(
        cls, estimator: HSFMClassifier, *, ax: Sequence[Axes] | np.ndarray | None = None
    ) -> Self:
        """Draw the history of a fitted classifier.

        Parameters
        ----------
        estimator : HSFMClassifier
            Fitted; of an `HSFMClassifierCV` what its ``refit_best`` returns.
        ax : sequence of 2 matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        FitHistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no ``history_``.
        """
        check_keeps(estimator, "history_")
        chosen_by = estimator.selection_
        return cls(estimator.history_, estimator.best_epoch_, selection=chosen_by).plot(ax=ax)

    def plot(self, ax: Sequence[Axes] | np.ndarray | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : sequence of 2 matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        FitHistoryDisplay
            This display.
        """
        self.figure_, self.ax_ = axes_for(ax, n=2, height=4.6, sharex=True)
        self.lines_ = {}
        for a, names in zip(self.ax_, (_LOSSES, _SCORES), strict=True):
            for name in (n for n in names if n in self.history):
                values = self.history["epoch"], self.history[name]
                (self.lines_[name],) = a.plot(*values, label=names[name])
            a.axvline(self.best_epoch, color="0.5", linestyle="--")
            a.legend(frameon=False)
        self.ax_[0].set(ylabel="loss", yscale="log")
        self.ax_[1].set(ylabel="accuracy", xlabel="epoch")
        self.ax_[0].set_title(
            f"epoch {self.best_epoch} was kept, by {plain(self.selection)}", fontsize="medium"
        )
        percent(self.ax_[1], "y")
        return self
