"""PatchDisplay: the worst patches, each pasted on an image where it does most."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sklearn_hsfm._typing import Axes, Figure, ImagesLike
from sklearn_hsfm.inspection._axes import axes_for, plain
from sklearn_hsfm.inspection._patch_bank import paste
from sklearn_hsfm.inspection._patches import PatchProbe
from sklearn_hsfm.inspection._pictures import check_images, picture


class PatchDisplay:
    """Pictures of the worst patches, with what each does.

    Parameters
    ----------
    pictures : list of ndarray of shape (height, width, 3)
        Images with a patch.
    captions : list of str
        What each does.

    Attributes
    ----------
    images_ : list of AxesImage
        What was drawn.
    ax_ : ndarray of Axes
        Where.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    See Also
    --------
    probe_patches : Finds them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.inspection import PatchDisplay
    >>> picture = np.zeros((8, 8, 3), dtype=np.uint8)
    >>> len(PatchDisplay([picture], ["nothing"]).plot().images_)
    1
    """

    images_: list[Any]
    ax_: np.ndarray
    figure_: Figure

    def __init__(self, pictures: list[np.ndarray], captions: list[str]):
        self.pictures = pictures
        self.captions = captions

    @classmethod
    def from_probe(
        cls,
        probe: PatchProbe,
        images: ImagesLike,
        *,
        n_patches: int = 5,
        image: int = 0,
        ax: Sequence[Axes] | np.ndarray | None = None,
    ) -> Self:
        """Draw the worst patches.

        Parameters
        ----------
        probe : PatchProbe
            What `probe_patches` returned.
        images : as in `probe_patches`
            Images, one of which they are pasted on.
        n_patches : int, default=5
            How many patches.
        image : int, default=0
            Which image.
        ax : sequence of matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        PatchDisplay
            The display, drawn.
        """
        shown = picture(check_images(images, len(images)), image)
        pictures, captions = [], []
        for k, name in enumerate(probe.name[:n_patches]):
            pictures.append(
                paste(shown, probe.patches[str(name)], probe.size[k], probe.position[k])
            )
            line = f"{name}\ntoward {probe.toward[k]}: {probe.effect[k]:+.2f}"
            turned = f"\nturns {probe.flipped[k]:.0%}" if probe.n_confirmed[k] else ""
            captions.append(f"{line}{turned}\np = {probe.p_value[k]:.3f}")
        return cls(pictures, captions).plot(ax=ax)

    def plot(self, ax: Sequence[Axes] | np.ndarray | None = None) -> Self:
        """Draw the pictures in a row.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        PatchDisplay
            This display.
        """
        n = len(self.pictures)
        self.figure_, self.ax_ = axes_for(ax, n=n, n_cols=n, width=1.5 * n, height=2.8)
        self.images_ = []
        for a, drawn, caption in zip(self.ax_, self.pictures, self.captions, strict=True):
            self.images_.append(a.imshow(np.asarray(drawn)))
            a.set_title(plain(caption), fontsize="small")
            a.set_axis_off()
        return self
