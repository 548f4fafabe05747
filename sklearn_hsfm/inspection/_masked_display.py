"""MaskedSensitivityDisplay: accuracy with the object masked and alone, or a map of windows."""

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np

from sklearn_hsfm._typing import ArrayLike, Axes, Classifier, Figure, ImagesLike
from sklearn_hsfm.inspection._axes import axes_for, percent, plain
from sklearn_hsfm.inspection._masked import ALL, MaskedSensitivity, masked_sensitivity


class MaskedSensitivityDisplay:
    """Bars of accuracy by what is masked, or a map of what each window is worth.

    Parameters
    ----------
    sensitivity : MaskedSensitivity
        What `masked_sensitivity` returned.

    Attributes
    ----------
    bars_ : dict of str to BarContainer
        Of each group, where the masks are no grid.
    image_ : AxesImage
        The map, where they are.
    ax_ : matplotlib Axes
        Where.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    See Also
    --------
    masked_sensitivity : The same as a table.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn_hsfm.inspection import MaskedSensitivityDisplay
    >>> images, y = np.zeros((6, 8, 8, 3), dtype=np.uint8), [0, 1, 0, 1, 0, 1]
    >>> model = DummyClassifier().fit(images, y)
    >>> display = MaskedSensitivityDisplay.from_estimator(
    ...     model, images, "grid", y, grid=(2, 2), random_state=0)
    >>> display.image_.get_array().shape
    (2, 2)
    """

    bars_: dict[str, Any]
    image_: Any
    ax_: Axes
    figure_: Figure

    def __init__(self, sensitivity: MaskedSensitivity):
        self.sensitivity = sensitivity

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier,
        images: ImagesLike,
        masks: ArrayLike | Literal["grid"] | Callable[..., ArrayLike],
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Mask, ask and draw.

        Parameters
        ----------
        estimator, images, masks, y, groups : as in `masked_sensitivity`
            What it takes.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            Further arguments of `masked_sensitivity`.

        Returns
        -------
        MaskedSensitivityDisplay
            The display, drawn.
        """
        return cls(masked_sensitivity(estimator, images, masks, y, groups, **options)).plot(ax=ax)

    def plot(self, ax: Axes | None = None, *, group: str = ALL) -> Self:
        """Draw the bars of every group, or the map of one.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        group : str, default="all"
            Whose map.

        Returns
        -------
        MaskedSensitivityDisplay
            This display.
        """
        found = self.sensitivity
        if found.grid is not None:
            return self._plot_map(ax, group)
        groups = list(dict.fromkeys(found.group))
        conditions = list(dict.fromkeys(found.condition))
        self.figure_, self.ax_ = axes_for(ax, height=1.4 + 0.3 * len(groups) * len(conditions))
        thickness = 0.8 / len(groups)
        self.bars_ = {}
        for k, name in enumerate(groups):
            rows = found.group == name
            at = np.arange(len(conditions)) + (k - (len(groups) - 1) / 2) * thickness
            value = found.accuracy[rows]
            error = np.abs([value - found.accuracy_low[rows], found.accuracy_high[rows] - value])
            self.bars_[name] = self.ax_.barh(at, value, thickness, label=plain(name))
            self.ax_.errorbar(value, at, xerr=error, fmt="none", ecolor="0.5", capsize=2)
        self.ax_.set_yticks(np.arange(len(conditions)), conditions)
        self.ax_.set_ylim(len(conditions) - 0.4, -0.6)
        self.ax_.set(xlim=(0, 1), xlabel="accuracy")
        percent(self.ax_, "x")
        self.ax_.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, ncols=3)
        return self

    def _plot_map(self, ax, group):
        drops = self.sensitivity.drop_map(group)
        self.figure_, self.ax_ = axes_for(ax)
        most = max(np.abs(drops).max(), 0.01)
        self.image_ = self.ax_.imshow(drops, cmap="coolwarm", vmin=-most, vmax=most)
        for (r, c), drop in np.ndenumerate(drops):
            self.ax_.text(c, r, f"{drop:+.0%}", ha="center", va="center", fontsize="small")
        self.ax_.set(xticks=[], yticks=[], title=f"accuracy lost by masking, {plain(group)}")
        return self
