"""The last layer refitted on images that a generator makes: DDB, FFR, ASPIRE, FlowAug."""

import time
import warnings
from numbers import Real
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import column_or_1d

from sklearn_hsfm._compat import Interval, _fit_context
from sklearn_hsfm._init_head import A_HEAD
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._linear_head import log_probabilities
from sklearn_hsfm._typing import ArrayLike, Head, ImagesLike
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.finetuning._over_features import OverFeaturesMixin
from sklearn_hsfm.heads import ExtraRowsClassifier


@runtime_checkable
class ImageGenerator(Protocol):
    """What `GeneratedRowsClassifier` calls to get images: any function of this form.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.finetuning import ImageGenerator
    >>> def mirrored(images, y, cells):
    ...     return np.asarray(images)[:, :, ::-1], y, None
    >>> isinstance(mirrored, ImageGenerator)
    True
    """

    def __call__(self, images: Any, y: np.ndarray, cells: np.ndarray | None) -> tuple:
        """Return images, as many labels, and a weight for each, or None.

        Parameters
        ----------
        images : images
            The training images, as ``fit`` was given them.
        y : ndarray of shape (n_samples,)
            Their labels.
        cells : ndarray of shape (n_samples,) or None
            Which cell each is in, such as a group that is known or inferred, as ``fit`` was given
            it.

        Returns
        -------
        tuple
            Images of any kind that `FeatureExtractor` takes, array-like of shape (n_made,), and
            array-like of shape (n_made,) or None.
        """


class GenerationReport(NamedTuple):
    """What a generator made in a fit.

    Attributes
    ----------
    made : int
        Images that the generator returned.
    kept : int
        Those that were fitted, for the first head sees their label in them.
    by_class : dict
        For each class, (made, kept).
    seconds : float
        Time that the generator took.
    """

    made: int
    kept: int
    by_class: dict
    seconds: float


class GeneratedRowsClassifier(OverFeaturesMixin, ClassifierMixin, BaseEstimator):
    """Refit the last layer on the training images and on images that a generator makes.

    Whatever makes the images, a diffusion model that is told what is rare, a flow, a program that
    edits, is a function; what is here is the rest: images in which a first head does not see the
    label that they are to have are left out, and the others are fitted with their weights.

    Parameters
    ----------
    generator : ImageGenerator
        Called once as ``generator(images, y, cells)``; returns images, labels and weights.
    extractor : FeatureExtractor, default=None
        Makes the features; fitted on the training images first if it is not yet. None is
        `FeatureExtractor()`.
    min_probability : float, default=0.5
        Images are left out to whose label the first head gives less. 0 keeps all.
    extra_weight : float, default=1.0
        Weight of a generated image where the generator gives none; a training image has 1.
    init_head : None, estimator, tuple (coef, intercept), torch.nn.Linear or network, default=None
        The first head. None is that of the `ERMClassifier` in the extractor, else a logistic
        regression on the features of the training images.
    C : float, default=0.01
        Inverse strength of the L2 penalty of the new head, on standardised features.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    extractor_ : FeatureExtractor
        The fitted extractor.
    head_ : ExtraRowsClassifier
        The fitted head.
    coef_, intercept_ : ndarray
        Its weights on raw features, and intercepts.
    generated_ : GenerationReport
        How many images were made and kept, in all and of each class, and how long it took.
    kept_ : bool ndarray of shape (n_made,)
        Which of the generated images were kept.

    See Also
    --------
    DaCClassifier : Makes its images itself, from the training images.
    sklearn_hsfm.heads.ExtraRowsClassifier : The head, where you have the features.

    Notes
    -----
    Uses class labels, and the cells if the generator does.

    A head that leans on the shortcut gives little probability to just the images that are wanted,
    those in which the shortcut misleads: look at ``generated_``, and lower ``min_probability``
    where a cell vanishes. DDB also prunes by where the head looks, with integrated gradients inside
    a mask of the object [1]_. The generator knows such masks, and nobody else here: leave these
    images out there.

    References
    ----------
    .. [1] A. Y. Parast et al.: "DDB: Diffusion Driven Balancing to Address Spurious Correlations",
       ICCV 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.extraction import FeatureExtractor
    >>> from sklearn_hsfm.finetuning import GeneratedRowsClassifier
    >>> images = np.random.RandomState(0).randint(256, size=(8, 64, 64, 3), dtype=np.uint8)
    >>> y = np.array(["cat", "dog"] * 4)
    >>> def mirrored(images, y, cells):
    ...     return images[:, :, ::-1], y, None
    >>> extractor = FeatureExtractor("resnet18", weights=None)
    >>> clf = GeneratedRowsClassifier(mirrored, extractor, min_probability=0.0).fit(images, y)
    >>> clf.generated_.made, clf.generated_.kept, clf.predict(images).shape
    (8, 8, (8,))
    """

    classes_: np.ndarray
    extractor_: FeatureExtractor
    head_: ExtraRowsClassifier
    generated_: GenerationReport
    kept_: np.ndarray

    uses = LabelUse()

    __metadata_request__fit = {"cells": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "generator": [callable],
        "extractor": [FeatureExtractor, None],
        "min_probability": [Interval(Real, 0, 1, closed="both")],
        "extra_weight": [Interval(Real, 0, None, closed="left")],
        "init_head": [None, *A_HEAD],
        "C": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        generator: ImageGenerator,
        extractor: FeatureExtractor | None = None,
        *,
        min_probability: float = 0.5,
        extra_weight: float = 1.0,
        init_head: Head | None = None,
        C: float = 0.01,
    ):
        self.generator = generator
        self.extractor = extractor
        self.min_probability = min_probability
        self.extra_weight = extra_weight
        self.init_head = init_head
        self.C = C

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ImagesLike, y: ArrayLike, *, cells: ArrayLike | None = None) -> Self:
        """Let images be made, leave out what shows another class, and refit the last layer.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.
        y : array-like of shape (n_samples,)
            Labels.
        cells : array-like of shape (n_samples,), default=None
            For the generator: which cell each image is in.

        Returns
        -------
        GeneratedRowsClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If images, labels and cells do not fit together, or what the generator returns does
            not.

        Warns
        -----
        UserWarning
            If no generated image of a class is kept.
        """
        _, labels, y = self._labelled(X, y)
        if cells is not None:
            cells = column_or_1d(cells)
            if len(cells) != len(y):
                raise ValueError(f"There are {len(y)} images, but {len(cells)} cells.")
        features = self._features(X, labels)
        coef, intercept = self._first_head(features, y)
        start = time.perf_counter()
        images, made, weight = self._made(X, labels, cells)
        seconds = time.perf_counter() - start
        extra = self.extractor_.transform(images)
        of_label = log_probabilities(extra @ coef.T + intercept)[np.arange(len(made)), made]
        self.kept_ = np.exp(of_label) >= self.min_probability
        self._report(made, seconds)
        extra, made = extra[self.kept_], self.classes_[made[self.kept_]]
        rows = {"X_extra": extra, "y_extra": made} if len(made) else {}
        if rows and weight is not None:
            rows["extra_weight"] = weight[self.kept_]
        self._refit(features, labels, self.extra_weight, **rows)
        return self

    def _made(self, X, labels, cells):
        """Return what the generator makes, its labels as indices."""
        made = self.generator(X, labels, cells)
        if not isinstance(made, tuple | list) or len(made) != 3:
            raise ValueError(
                "generator must return three things, images, labels and weights (or None), and "
                f"returned {type(made).__name__}."
            )
        images, y, weight = made
        n_images = len(Images(images))
        y = class_indices(column_or_1d(y), self.classes_, "The labels of the generator")
        weight = None if weight is None else np.asarray(weight, dtype=float)
        if len(y) != n_images or (weight is not None and weight.shape != (n_images,)):
            shape = None if weight is None else weight.shape
            raise ValueError(
                f"generator returned {n_images} images, {len(y)} labels and weights of shape "
                f"{shape}; it must be one for each image, or None for the weights."
            )
        return images, y, weight

    def _report(self, made, seconds):
        n_classes = len(self.classes_)
        counts, kept = (
            np.bincount(part, minlength=n_classes).tolist() for part in (made, made[self.kept_])
        )
        by_class = dict(zip(self.classes_.tolist(), zip(counts, kept, strict=True), strict=True))
        self.generated_ = GenerationReport(sum(counts), sum(kept), by_class, seconds)
        lost = [name for name, (n, left) in by_class.items() if n and not left]
        if lost:
            warnings.warn(
                f"The first head gives less than min_probability={self.min_probability} to the "
                f"label of every generated image of {lost}; none is kept. Look at them, or lower "
                "min_probability.",
                stacklevel=3,
            )
