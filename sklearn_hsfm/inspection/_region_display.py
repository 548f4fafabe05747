"""RegionDisplay: pictures of the regions of clusters, in their images."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sklearn_hsfm._typing import Axes, Figure, ImagesLike
from sklearn_hsfm.inspection._axes import axes_for, plain
from sklearn_hsfm.inspection._pictures import check_images, picture
from sklearn_hsfm.inspection._region_clusters import RegionClusters


class RegionDisplay:
    """Pictures of the regions of each cluster, best ranked first, one cluster a row.

    Parameters
    ----------
    pictures : list of list of ndarray
        Of each cluster the images to draw.
    boxes : list of list of tuple
        Left, top, right, bottom of the region in each.
    titles : list of str
        What is written above each cluster.

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
    find_regions : Finds the clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.inspection import RegionDisplay
    >>> pictures = [[np.zeros((8, 8, 3), dtype=np.uint8)]]
    >>> display = RegionDisplay(pictures, [[(0, 4, 8, 8)]], ["lower half"]).plot()
    >>> len(display.images_)
    1
    """

    images_: list[Any]
    ax_: np.ndarray
    figure_: Figure

    def __init__(
        self, pictures: list[list[np.ndarray]], boxes: list[list[tuple]], titles: list[str]
    ):
        self.pictures = pictures
        self.boxes = boxes
        self.titles = titles

    @classmethod
    def from_regions(
        cls,
        found: RegionClusters,
        images: ImagesLike,
        *,
        n_clusters: int = 3,
        n_pictures: int = 6,
        ax: Sequence[Axes] | np.ndarray | None = None,
    ) -> Self:
        """Draw the regions nearest to the centre of each cluster, each from another image.

        Parameters
        ----------
        found : RegionClusters
            What `find_regions` returned.
        images : as in `find_regions`
            The images that it was given.
        n_clusters : int, default=3
            How many clusters, in their order.
        n_pictures : int, default=6
            How many regions of each.
        ax : sequence of matplotlib Axes, default=None
            Where to draw, ``n_pictures`` a cluster; None makes a figure.

        Returns
        -------
        RegionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are fewer images than ``found`` has seen.
        """
        images = check_images(images, int(found.image.max()) + 1)
        pictures, boxes, titles = [], [], []
        for k in range(min(n_clusters, len(found.score))):
            rows = found.regions(k)
            first = np.unique(found.image[rows], return_index=True)[1]
            rows = rows[np.sort(first)][:n_pictures]
            pictures.append([picture(images, found.image[r]) for r in rows])
            boxes.append([tuple(map(int, found.boxes[r])) for r in rows])
            mark = "misleads" if found.pointed[k] else "not pointed to"
            titles.append(
                f"cluster {k}, {mark}: gap {found.score[k]:.2f}, influence {found.influence[k]:.2f}"
            )
        return cls(pictures, boxes, titles).plot(ax=ax)

    def plot(self, ax: Sequence[Axes] | np.ndarray | None = None) -> Self:
        """Draw the pictures, with a frame around each region.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        RegionDisplay
            This display.
        """
        n_cols = max(len(row) for row in self.pictures)
        n_rows = len(self.pictures)
        self.figure_, self.ax_ = axes_for(
            ax, n=n_rows * n_cols, n_cols=n_cols, width=1.1 * n_cols, height=1.8 * n_rows
        )
        self.images_ = []
        for k, (pictures, boxes) in enumerate(zip(self.pictures, self.boxes, strict=True)):
            row = self.ax_[k * n_cols : (k + 1) * n_cols]
            for a in row:
                a.set_axis_off()
            title = row[0].set_title(plain(self.titles[k]), fontsize="small", loc="left")
            title.set_in_layout(False)  # it stands above the whole row
            for a, drawn, (left, top, right, bottom) in zip(row, pictures, boxes, strict=False):
                self.images_.append(a.imshow(drawn))
                corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
                a.plot(*(np.array(side) - 0.5 for side in corners), color="C1", linewidth=2)
        return self
