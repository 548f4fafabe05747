"""RegionClusters: what `find_regions` found, as text, a table and rows for a repair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state

from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._typing import ArrayLike, DataFrame, ImagesLike, RandomStateLike
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.inspection._pictures import check_images
from sklearn_hsfm.inspection._region_scores import ClusterScores
from sklearn_hsfm.metrics._columns import one_column


@dataclass(frozen=True)
class RegionClusters:
    """Clusters of regions, in the order in which they rank; prints as text.

    Attributes
    ----------
    found_ : bool
        Whether any cluster is pointed to; None where it cannot be told.
    reason_ : str
        The answer in words.
    pointed : ndarray of shape (n_clusters,)
        Which clusters are pointed to; the first ones.
    score : ndarray of shape (n_clusters,)
        RaVL's performance gap: absolute weighted gaps, summed over classes.
    p_value : ndarray of shape (n_clusters,)
        Of gaps of both signs by chance, corrected for the number of clusters.
    influence, influence_low, influence_high : ndarray of shape (n_clusters,)
        RaVL's influence with its interval; NaN where there is no error to explain.
    n_errors : ndarray of shape (n_clusters,)
        Errors that the influence is a share of.
    gap : ndarray of shape (n_clusters, n_classes)
        Weighted gap of each class.
    n_with, n_without : ndarray of shape (n_clusters, n_classes)
        Images with and without the region.
    accuracy_with, accuracy_without : ndarray of shape (n_clusters, n_classes)
        Accuracy on them.
    classes : ndarray of shape (n_classes,)
        Labels.
    cluster : ndarray of shape (n_regions,)
        Cluster of each region.
    image : ndarray of shape (n_regions,)
        Image of each region.
    boxes : ndarray of shape (n_regions, 4)
        Left, top, right, bottom of each region in its image, in pixels.
    closeness : ndarray of shape (n_regions,)
        Cosine between a region and the centre of its cluster.
    centres : ndarray of shape (n_clusters, n_features)
        Centres of the clusters.
    view : str
        How regions were seen.

    See Also
    --------
    find_regions : Makes it, with an example.
    """

    found_: bool | None
    reason_: str
    pointed: np.ndarray
    score: np.ndarray
    p_value: np.ndarray
    influence: np.ndarray
    influence_low: np.ndarray
    influence_high: np.ndarray
    n_errors: np.ndarray
    gap: np.ndarray
    n_with: np.ndarray
    n_without: np.ndarray
    accuracy_with: np.ndarray
    accuracy_without: np.ndarray
    classes: np.ndarray
    cluster: np.ndarray
    image: np.ndarray
    boxes: np.ndarray
    closeness: np.ndarray
    centres: np.ndarray
    view: str

    @classmethod
    def of(
        cls,
        classes: np.ndarray,
        boxes: np.ndarray,
        image: np.ndarray,
        model: KMeans,
        units: np.ndarray,
        scores: ClusterScores,
        p: np.ndarray,
        view: str,
        *,
        reason: str | None,
        min_influence: float,
        alpha: float,
    ) -> Self:
        """Rank the clusters of a clustering; `find_regions` calls this.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,)
            Labels.
        boxes, image : ndarray
            The regions.
        model : KMeans
            Fitted on ``units``.
        units : ndarray of shape (n_regions, n_features)
            Their features, of length one.
        scores : ClusterScores
            Of each cluster.
        p : ndarray of shape (n_clusters,)
            Corrected p-values.
        view : str
            How regions were seen.
        reason : str or None
            Why nothing can be told.
        min_influence, alpha : float
            What a cluster must reach to be pointed to.

        Returns
        -------
        RegionClusters
            The ranked clusters.
        """
        total = np.abs(scores.gap).sum(axis=1)
        both = (scores.gap.max(axis=1) > 0) & (scores.gap.min(axis=1) < 0)
        pointed = both & (np.nan_to_num(scores.influence) >= min_influence) & (p <= alpha)
        if reason is not None:
            pointed[:] = False
        order = np.lexsort([-total, ~pointed])
        rank = np.argsort(order)
        found = None if reason is not None else bool(pointed.any())
        if reason is None:
            n = int(pointed.sum())
            reason = (
                f"{n} of {len(order)} clusters of regions mislead: images of one class are read "
                "worse with them, of another better, and errors come from them."
                if found
                else f"None of {len(order)} clusters of regions misleads beyond chance."
            )
        centres = normalize(model.cluster_centers_)[order]
        cluster = rank[model.labels_]
        return cls(
            found_=found,
            reason_=reason,
            pointed=pointed[order],
            score=total[order],
            p_value=p[order],
            **{name: values[order] for name, values in scores._asdict().items()},
            classes=classes,
            cluster=cluster,
            image=image,
            boxes=boxes,
            closeness=(units * centres[cluster]).sum(axis=1),
            centres=centres,
            view=view,
        )

    def __str__(self):
        """Return the clusters as text."""
        lines = [self.reason_ if self.found_ is not None else f"Cannot tell. {self.reason_}"]
        for k in range(len(self.score)):
            mark = "->" if self.pointed[k] else "  "
            lines.append(
                f"{mark} cluster {k}: {(self.cluster == k).sum()} regions, gap {self.score[k]:.2f} "
                f"(p {self.p_value[k]:.3f}), influence {self.influence[k]:.2f} "
                f"[{self.influence_low[k]:.2f}, {self.influence_high[k]:.2f}]"
            )
            for c, label in enumerate(self.classes):
                lines.append(
                    f"     class {label}: accuracy {self.accuracy_with[k, c]:.2f} on "
                    f"{self.n_with[k, c]} images with it, {self.accuracy_without[k, c]:.2f} on "
                    f"{self.n_without[k, c]} without"
                )
        return "\n".join(lines)

    def to_frame(self) -> DataFrame:
        """Return a row for each cluster and class.

        Returns
        -------
        pandas.DataFrame
            Scores of the cluster, counts and accuracies of the class.
        """
        import pandas as pd

        k, c = (a.ravel() for a in np.indices(self.gap.shape))
        of_cluster = [
            "score",
            "p_value",
            "influence",
            "influence_low",
            "influence_high",
            "n_errors",
        ]
        of_class = ["n_with", "accuracy_with", "n_without", "accuracy_without", "gap"]
        return pd.DataFrame(
            {
                "cluster": k,
                "pointed": self.pointed[k],
                "n_regions": np.bincount(self.cluster, minlength=len(self.score))[k],
                **{name: getattr(self, name)[k] for name in of_cluster},
                "class": self.classes[c],
                **{name: getattr(self, name)[k, c] for name in of_class},
            }
        )

    def regions(self, cluster: int) -> np.ndarray:
        """Return the regions of a cluster, those nearest to its centre first.

        Parameters
        ----------
        cluster : int
            Its rank, from 0.

        Returns
        -------
        ndarray of shape (n_regions_in_cluster,)
            Numbers of regions, into ``image`` and ``boxes``.

        Raises
        ------
        ValueError
            If there is no such cluster.
        """
        if not 0 <= cluster < len(self.score):
            raise ValueError(f"cluster={cluster!r}; there are {len(self.score)}, counted from 0.")
        rows = np.flatnonzero(self.cluster == cluster)
        return rows[np.argsort(-self.closeness[rows], kind="stable")]

    def extra_rows(
        self,
        extractor: FeatureExtractor,
        images: ImagesLike,
        y: ArrayLike,
        *,
        how: Literal["swapped", "masked", "regions"] = "swapped",
        grid: tuple[int, int] = (2, 2),
        boxes: Sequence[ArrayLike] | None = None,
        random_state: RandomStateLike = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return samples for `ExtraRowsClassifier`, in which the clusters pointed to say nothing.

        Parameters
        ----------
        extractor : FeatureExtractor
            The one of `find_regions`.
        images : as in `find_regions`
            Images to train on; they need not be those that were searched.
        y : array-like of shape (n_samples,)
            Their labels.
        how : {"swapped", "masked", "regions"}, default="swapped"
            "swapped" puts, in the place of a region of these clusters, one of another image,
            whatever its class; "masked" fills it with the mean colour. "regions" gives the
            features of regions alone: those of the clusters once with every class, all others
            with the label of their image.
        grid, boxes : as in `find_regions`
            Their regions.
        random_state : int, RandomState instance or None, default=None
            Draws the regions to swap with.

        Returns
        -------
        X_extra : ndarray of shape (n_extra, n_features)
            Features.
        y_extra : ndarray of shape (n_extra,)
            Labels.
        weight : ndarray of shape (n_extra,)
            Weights: 1 for an image; those of regions are 1 over the regions of their image.

        Raises
        ------
        ValueError
            If no cluster is pointed to, no image has a region of these clusters, or images,
            labels and boxes do not fit together.
        """
        from sklearn_hsfm.inspection._image_edits import check_grid
        from sklearn_hsfm.inspection._region_rows import rows_of
        from sklearn_hsfm.inspection._regions import _regions_of

        if how not in ("swapped", "masked", "regions"):
            raise ValueError(f'how={how!r}; it must be "swapped", "masked" or "regions".')
        if not self.pointed.any():
            raise ValueError(f"No cluster is pointed to; there is nothing to undo. {self.reason_}")
        y = one_column(y, "y")
        class_indices(y, self.classes, "y")
        images = check_images(images, len(y))
        boxes, of_image = _regions_of(images, boxes, check_grid(grid))
        rng = check_random_state(random_state)
        return rows_of(self, extractor, images, y, boxes, of_image, how, rng)
