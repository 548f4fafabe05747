"""find_regions: where in the images a shortcut is, by clusters of regions (RaVL)."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Literal

import numpy as np
import torch
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state

from sklearn_hsfm._compat import HasMethods, Interval, StrOptions, validate_params
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._progress import PROGRESS, bar
from sklearn_hsfm._typing import ArrayLike, Classifier, ImagesLike, Progress, RandomStateLike
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.inspection._image_edits import (
    check_grid,
    fill_colour,
    filled,
    grid_boxes,
    images_and_classes,
    pixels,
    probabilities,
    within,
)
from sklearn_hsfm.inspection._region_clusters import RegionClusters
from sklearn_hsfm.inspection._region_scores import p_values, presence, score_clusters, too_little
from sklearn_hsfm.metrics._columns import check_same_length, one_column

_JUDGED = 2000  # regions that choose the number of clusters


@validate_params(
    {
        "extractor": [HasMethods("transform")],
        "estimator": [HasMethods("predict")],
        "view": [StrOptions({"crop", "rest masked"})],
        "n_clusters": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "min_influence": [Interval(Real, 0, 1, closed="both")],
        "trusted": ["boolean"],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    },
    prefer_skip_nested_validation=True,
)
def find_regions(
    extractor: FeatureExtractor,
    images: ImagesLike,
    y: ArrayLike,
    estimator: Classifier,
    *,
    grid: tuple[int, int] = (2, 2),
    boxes: Sequence[ArrayLike] | None = None,
    view: Literal["crop", "rest masked"] = "crop",
    n_clusters: int | Literal["auto"] = "auto",
    min_influence: float = 0.25,
    trusted: bool = False,
    n_permutations: int = 999,
    alpha: float = 0.05,
    random_state: RandomStateLike = None,
    progress: Progress = "auto",
) -> RegionClusters:
    """Find what in the images misleads a classifier: clusters of regions, ranked as RaVL does.

    Every image is cut into regions, their features are clustered, and a cluster is pointed to if
    images of one class are misclassified more often with it, those of another less, and errors come
    from its regions. Give images that the classifier was not fitted on.

    Parameters
    ----------
    extractor : FeatureExtractor
        Fitted; any transformer from images to features.
    images : folder, sequence of paths, array, sequence of PIL images, or Dataset
        As in `FeatureExtractor.transform`.
    y : array-like of shape (n_samples,)
        Labels.
    estimator : classifier
        Fitted on such features.
    grid : tuple of int, default=(2, 2)
        Rows and columns of windows that part each image, where no boxes are given.
    boxes : sequence of array-like of shape (n_regions, 4), default=None
        For each image its regions: left, top, right, bottom, in pixels.
    view : {"crop", "rest masked"}, default="crop"
        How the extractor sees a region: alone, and resized by the extractor's own preprocessing;
        or in its place, all around it in the mean colour.
    n_clusters : int or "auto", default="auto"
        "auto" is the number from two to five times that of the classes, less one, whose
        silhouette is best, as in RaVL.
    min_influence : float, default=0.25
        Least influence of a cluster that is pointed to; RaVL's.
    trusted : bool, default=False
        Whether it is known that the classifier is good on samples like those that it was fitted
        on. If not, it has to be better than chance on ``images``; one that leans on a shortcut
        alone is not, where the shortcut holds in half of them.
    n_permutations : int, default=999
        Shuffles behind the p-values.
    alpha : float, default=0.05
        Level of the test, over all clusters together; intervals cover ``1 - alpha``.
    random_state : int, RandomState instance or None, default=None
        Starts the clustering, draws the shuffles.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Returns
    -------
    RegionClusters
        Prints as text; has the regions and scores of each cluster, and samples for a repair.

    Raises
    ------
    ValueError
        If lengths, labels, boxes or the grid do not fit the images, or there are fewer regions
        than clusters.

    See Also
    --------
    RegionDisplay : Pictures of the regions.
    masked_sensitivity : What is left to the classifier without a region.

    Notes
    -----
    Of class c, let a and n be the accuracy on, and the number of, images with (1) and without (0) a
    region of the cluster. The *gap* is ``2 min(n1, n0) / (n1 + n0) * (a1 - a0)``, and clusters rank
    by the sum of its absolute values over classes. The *influence* is, of the misclassified images
    of a class with a negative gap that have the region, the share in which the region that speaks
    most for the predicted class belongs to the cluster; of several classes the largest [1]_.

    RaVL points to all clusters with gaps of both signs and an influence of 0.25. Here the gaps
    have to be larger than chance makes them, too: who is right and wrong is shuffled within each
    class, and a cluster's smaller one of its largest positive and negative gap is compared with
    the largest of any cluster. A classifier that has learned from shuffled labels leans on
    something as well, and has such gaps. So nothing is told where balanced accuracy is not three
    standard errors above chance (unless ``trusted``), nor of fewer than 10 errors.

    RaVL clusters by K-medoids on cosine distances, which scikit-learn does not have. Here it is
    k-means on features of length one, and the region nearest to a centre stands for the medoid.
    RaVL's regions are boxes of a detector whose features are pooled from a map; here each region
    is an image of its own, so that any network will do.

    What should tell the classes apart has gaps of both signs as well where images of the other
    class have it. Look at the pictures, and let the images be such that the shortcut often fails.

    References
    ----------
    .. [1] M. Varma et al.: "RaVL: Discovering and Mitigating Spurious Correlations in Fine-Tuned
       Vision-Language Models", NeurIPS 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_hsfm.extraction import FeatureExtractor
    >>> from sklearn_hsfm.inspection import find_regions
    >>> rng = np.random.RandomState(0)
    >>> images = rng.randint(256, size=(40, 32, 32, 3), dtype=np.uint8)
    >>> y = np.arange(40) % 2
    >>> extractor = FeatureExtractor("resnet18", weights=None, progress=False).fit(images)
    >>> head = LogisticRegression(max_iter=1000).fit(extractor.transform(images), y)
    >>> found = find_regions(extractor, images, y, head, grid=(1, 2), random_state=0)
    >>> print(found.found_)
    None
    """
    y = one_column(y, "y")
    images, classes = images_and_classes(estimator, images, len(y))
    index = class_indices(y, classes, "y")
    boxes, of_image = _regions_of(images, boxes, check_grid(grid))
    rng = check_random_state(random_state)
    regions = RegionImages(images, boxes, of_image, view)
    with_bar = bar(progress, total=2, desc="images and regions")
    features = np.asarray(extractor.transform(images.source))
    y_pred = class_indices(np.asarray(estimator.predict(features)), classes, "predictions")
    with_bar.update()
    of_regions = np.asarray(extractor.transform(regions))
    with_bar.update()
    with_bar.close()
    proba = probabilities(estimator, of_regions, classes)
    units = normalize(of_regions)
    model = _clustered(units, n_clusters, len(classes), rng)
    k = model.n_clusters
    scores = score_clusters(
        model.labels_, of_image, index, y_pred, proba, k, len(classes), 1 - alpha
    )
    there = presence(model.labels_, of_image, len(y), k)
    hit = index == y_pred
    p = p_values(hit, index, there, len(classes), n_permutations, rng)
    return RegionClusters.of(
        classes, boxes, of_image, model, units, scores, p, view,
        reason=too_little(hit, index, len(classes), trusted),
        min_influence=min_influence, alpha=alpha,
    )  # fmt: skip


class RegionImages(torch.utils.data.Dataset):
    """Regions of images as images, each cut out when it is asked for."""

    def __init__(self, images, boxes, of_image, view):
        self.images, self.boxes, self.of_image, self.view = images, boxes, of_image, view
        self._colour = fill_colour("mean", images) if view == "rest masked" else None
        self._last = None, None

    def __len__(self):
        """Return the number of regions."""
        return len(self.boxes)

    def __getitem__(self, region):
        """Return a region as a PIL image, or as a float tensor (3, height, width)."""
        index = int(self.of_image[region])
        if self._last[0] != index:
            self._last = index, pixels(self.images, index)
        image = self._last[1]
        left, top, right, bottom = box = self.boxes[region]
        if self.view == "crop":
            image = image[top:bottom, left:right]
        else:
            image = filled(image, ~within(image, [box]), self._colour)
        if image.dtype.kind == "f":
            return torch.from_numpy(image.transpose(2, 0, 1).copy())
        return Image.fromarray(np.ascontiguousarray(image))


def _regions_of(images, boxes, grid):
    """Return the boxes of all regions, (n_regions, 4), and the image of each."""
    if boxes is None:
        each = [grid_boxes(*pixels(images, i).shape[:2], *grid) for i in range(len(images))]
    else:
        each = [_checked(box, images, i) for i, box in enumerate(boxes)]
        check_same_length(images=images, boxes=each)
    of_image = np.repeat(np.arange(len(images)), [len(one) for one in each])
    if not len(of_image):
        raise ValueError("boxes holds no region; give one image or more a box.")
    return np.concatenate(each), of_image


def _checked(box, images, index):
    box = np.asarray(box)
    if index >= len(images):
        return np.empty((0, 4), dtype=int)
    height, width = pixels(images, index).shape[:2]
    box = box.reshape(-1, 4) if box.size == 0 else box
    ok = box.ndim == 2 and box.shape[1] == 4 and np.all(box == np.round(box))
    if ok and len(box):
        left, top, right, bottom = box.T
        ok = np.all((left >= 0) & (left < right) & (right <= width))
        ok = ok and np.all((top >= 0) & (top < bottom) & (bottom <= height))
    if not ok:
        raise ValueError(
            f"The boxes of image {index} are {box.tolist()}; each must be left, top, right, bottom "
            f"in whole pixels, within its {width} x {height} pixels."
        )
    return box.astype(int)


def _clustered(units, n_clusters, n_classes, rng):
    """Return k-means of unit vectors; of several numbers of clusters that of best silhouette."""
    most = len(np.unique(units, axis=0)) - 1
    wanted = range(2 * n_classes, 5 * n_classes) if n_clusters == "auto" else [n_clusters]
    wanted = [k for k in wanted if k <= most]
    if not wanted:
        raise ValueError(
            f"There are {most + 1} different regions; that is too few for {n_clusters} clusters of "
            f"{n_classes} classes. Give more images, or a finer grid."
        )
    seed = rng.randint(2**31)
    judged = rng.permutation(len(units))[:_JUDGED]
    # From one start, what all images have may stay one cluster, which has no images without it.
    models = [KMeans(k, n_init=10, random_state=seed, max_iter=100).fit(units) for k in wanted]
    if len(models) == 1:
        return models[0]
    scores = [
        silhouette_score(units[judged], m.labels_[judged], metric="cosine")
        if len(np.unique(m.labels_[judged])) > 1
        else -1.0
        for m in models
    ]
    return models[int(np.argmax(scores))]
