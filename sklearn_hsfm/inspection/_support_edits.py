"""SupportEditDisplay: the support before and after, between shortcut and label."""

from typing import Any, Self

import numpy as np

from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._typing import ArrayLike, Axes, Figure
from sklearn_hsfm.inspection._axes import axes_for, plain
from sklearn_hsfm.inspection._directions import directions, make_bank

_MOST_CLASSES = 10  # that a legend can name, and colours tell apart


class SupportEditDisplay:
    """Arrows from each support sample to what it was edited into, in a plane one can read.

    Each sample is seen from its own class: to the right lies the group of the class that the
    initial head finds easiest, to the left the one it finds hardest; up is away from the other
    classes. Units are standard deviations of the features.

    Parameters
    ----------
    before, after : ndarray of shape (n_support, 2)
        Coordinates along shortcut and label.
    y : ndarray of shape (n_support,)
        Labels of the support.
    bank : ndarray of shape (n_samples, 2)
        Coordinates of real samples, each seen from its class.
    towards : dict
        Of each label, the names of its easiest and its hardest group.

    Attributes
    ----------
    arrows_ : dict of Quiver
        The arrows, by label.
    ax_ : matplotlib Axes
        Where they are.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    See Also
    --------
    describe_edits : The same in numbers and words.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.inspection import SupportEditDisplay
    >>> data = make_spurious_features(random_state=0)
    >>> clf = HSFMClassifier(epochs=5, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> display = SupportEditDisplay.from_estimator(
    ...     clf, data.X_test, data.y_test, data.groups_test)
    >>> display.before.shape
    (64, 2)
    """

    arrows_: dict[str, Any]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        before: np.ndarray,
        after: np.ndarray,
        y: np.ndarray,
        bank: np.ndarray,
        towards: dict[str, Any],
    ):
        self.before = before
        self.after = after
        self.y = y
        self.bank = bank
        self.towards = towards

    @classmethod
    def from_estimator(
        cls,
        estimator: HSFMClassifier,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the edits of a fitted classifier.

        Parameters
        ----------
        estimator : HSFMClassifier
            Fitted; of an `HSFMClassifierCV` what its ``refit_best`` returns.
        X : array-like of shape (n_samples, n_features)
            Real samples that give the directions, such as those of the test.
        y : array-like of shape (n_samples,)
            Their labels.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
            Their groups; without them the halves of each class that the shortcut helps and
            hurts, as the initial and the repaired head tell them apart.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        SupportEditDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no edited support, or a class has no samples or no two groups.
        """
        bank = make_bank(estimator, X, y, groups)
        found = directions(bank, len(estimator.classes_))
        lacking = [
            c for c, easy in zip(estimator.classes_, found.easy, strict=True) if easy is None
        ]
        if lacking:
            raise ValueError(
                f"The classes {np.array(lacking).tolist()} have no two groups with samples, so "
                "nothing says what the shortcut is. Pass groups of class and attribute, or None."
            )

        def plane(Z, index):
            at = np.empty((len(Z), 2))
            for c in range(len(estimator.classes_)):
                axes = np.column_stack([found.shortcut[c], found.label[c]])  # (n_features, 2)
                at[index == c] = (Z[index == c] - found.center[c]) @ axes
            return at

        index = np.searchsorted(estimator.classes_, estimator.support_y_)
        before, after = (
            plane(bank.scaler.transform(rows), index)
            for rows in (estimator.support_init_, estimator.support_)
        )
        towards = {
            c: (easy, hard)
            for c, easy, hard in zip(estimator.classes_, found.easy, found.hard, strict=True)
        }
        real = plane(bank.Z, bank.y)
        return cls(before, after, estimator.support_y_, real, towards).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the arrows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        SupportEditDisplay
            This display.
        """
        self.figure_, self.ax_ = axes_for(ax, height=4.4)
        self.ax_.scatter(
            *self.bank.T, s=5, color="0.5", zorder=3, lw=0, label="real samples", rasterized=True
        )
        self.arrows_ = {}
        for k, (c, (easy, hard)) in enumerate(self.towards.items()):
            color, rows = f"C{k % 10}", self.y == c
            self.arrows_[c] = self.ax_.quiver(
                *self.before[rows].T,
                *(self.after - self.before)[rows].T,
                angles="xy",
                scale_units="xy",
                scale=1,
                width=0.004,
                color=color,
                label=f"class {plain(c)}: {plain(hard)} left, {plain(easy)} right",
            )
        ends = np.concatenate([self.before, self.after, self.bank])
        self.ax_.update_datalim(ends)  # quiver counts the tails alone
        self.ax_.autoscale_view()
        self.ax_.set(
            xlabel="along the shortcut (right: easy for the initial head)",
            ylabel="along the label",
        )
        if len(self.towards) <= _MOST_CLASSES:
            self.ax_.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
        return self
