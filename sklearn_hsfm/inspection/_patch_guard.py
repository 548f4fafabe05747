"""PatchGuard and PatchRemover: defences against patches that need no training of the network."""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_hsfm._compat import HasMethods, Interval, StrOptions, _fit_context, validate_data
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._typing import ArrayLike, Classifier, ImagesLike
from sklearn_hsfm._version import VersionMixin
from sklearn_hsfm.inspection._image_edits import (
    as_given,
    fill_colour,
    filled,
    images_and_classes,
    pixels,
    probabilities,
    resized,
    within,
)

_AT_ONCE = 32  # images whose views are judged at a time


class PatchGuard(VersionMixin, DocLinkMixin, ClassifierMixin, BaseEstimator):
    """Predict from images with SLANT's two defences: ten crops, or patches masked.

    Parameters
    ----------
    estimator : classifier
        Fitted on images, with ``classes_``, as a Pipeline of `FeatureExtractor` and a head.
    defence : {"crops", "mask"}, default="crops"
        "crops" averages the probabilities of ten crops: corners and centre, and their mirror
        images, each made as large as the image. "mask" fills what ``detector`` finds.
    crop : float, default=0.75
        Part of height and width that a crop keeps.
    detector : callable, default=None
        From an image, (height, width, 3), to boxes (n, 4): left, top, right, bottom.
    fill : "mean", float or three floats, default="mean"
        Colour that "mask" fills with.

    Notes
    -----
    As in [1]_, whose detector of logos is OWLv2, a network of its own; bring one, or any function.
    There is nothing to fit.

    References
    ----------
    .. [1] M. Qraitem et al.: "SLANT: Spurious Logo ANalysis Toolkit", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn_hsfm.inspection import PatchGuard
    >>> images = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    >>> model = DummyClassifier().fit(images, [0, 0, 0, 1])
    >>> PatchGuard(model).predict(images).tolist()
    [0, 0, 0, 0]
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods("predict")],
        "defence": [StrOptions({"crops", "mask"})],
        "crop": [Interval(Real, 0, 1, closed="right")],
        "detector": [callable, None],
        "fill": "no_validation",
    }

    def __init__(
        self,
        estimator: Classifier,
        defence: Literal["crops", "mask"] = "crops",
        *,
        crop: float = 0.75,
        detector: Callable[..., Any] | None = None,
        fill: Literal["mean"] | float | Sequence[float] = "mean",
    ):
        self.estimator = estimator
        self.defence = defence
        self.crop = crop
        self.detector = detector
        self.fill = fill

    @property
    def classes_(self) -> np.ndarray:
        """Labels of the estimator."""
        return self.estimator.classes_

    def __sklearn_is_fitted__(self):
        """Return True: the estimator is."""
        return True

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing.

        Parameters
        ----------
        X, y : ignored
            For scikit-learn.

        Returns
        -------
        PatchGuard
            Itself.
        """
        return self

    def predict_proba(self, X: ImagesLike) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : as in `FeatureExtractor.transform`
            Images.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If "mask" has no detector, or its boxes are none.
        """
        self._validate_params()
        if self.defence == "mask" and self.detector is None:
            raise ValueError('defence="mask" needs a detector: a callable from image to boxes.')
        images, classes = images_and_classes(self.estimator, X)
        colour = fill_colour(self.fill, images)
        proba = np.empty((len(images), len(classes)))
        for start in range(0, len(images), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(images)))
            views = [self._views(pixels(images, i), colour) for i in rows]
            flat = as_given([view for of_one in views for view in of_one], images)
            said = probabilities(self.estimator, flat, classes)
            said = said.reshape(len(rows), -1, len(classes))
            proba[start : start + len(rows)] = said.mean(axis=1)
        return proba

    def predict(self, X: ImagesLike) -> np.ndarray:
        """Return the most probable class of each image.

        Parameters
        ----------
        X : as in `FeatureExtractor.transform`
            Images.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        return np.asarray(self.classes_)[self.predict_proba(X).argmax(axis=1)]

    def _views(self, image, colour):
        if self.defence == "crops":
            return ten_crops(image, self.crop)
        boxes = np.asarray(self.detector(image)).reshape(-1, 4).astype(int)
        return [filled(image, within(image, boxes), colour)]


def ten_crops(image, part):
    """Return the corners and the centre of an image and their mirror images, as large as it."""
    height, width = image.shape[:2]
    h, w = (max(1, round(part * side)) for side in (height, width))
    bottom, right = height - h, width - w
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = [resized(image[t : t + h, s : s + w], width, height) for t, s in corners]
    return crops + [crop[:, ::-1] for crop in crops]


class PatchRemover(VersionMixin, DocLinkMixin, TransformerMixin, BaseEstimator):
    """Take out of features the directions in which a patch moves them.

    Parameters
    ----------
    n_components : int, default=1
        Directions: the mean shift, and what the shifts have in common besides.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The directions, orthonormal.
    mean_ : ndarray of shape (n_features,)
        Mean of the features without patch, where the components are left at.
    n_features_in_ : int
        Features.

    Notes
    -----
    A linear head cannot read what is not in the features, so this defends any head behind it,
    best one that is fitted on features that went through it. It knows one patch at the places
    where it was pasted, and takes along what else lies in these directions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.inspection import PatchRemover
    >>> X = np.random.RandomState(0).normal(size=(50, 4))
    >>> patched = X + [0, 0, 3, 0]
    >>> remover = PatchRemover().fit(X, X_patched=patched)
    >>> bool(np.allclose(remover.transform(X), remover.transform(patched)))
    True
    """

    components_: np.ndarray
    mean_: np.ndarray
    n_features_in_: int

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_components: int = 1):
        self.n_components = n_components

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None, *, X_patched: ArrayLike) -> Self:
        """Find the directions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of images.
        y : ignored
            For scikit-learn.
        X_patched : array-like of shape (n_samples, n_features)
            Features of the same images with the patch.

        Returns
        -------
        PatchRemover
            The fitted transformer.

        Raises
        ------
        ValueError
            If the arrays differ in shape, or the patch changes nothing in so many directions.
        """
        X = validate_data(self, X, dtype=float)
        X_patched = check_array(X_patched, dtype=float)
        if X.shape != X_patched.shape:
            raise ValueError(
                f"X has shape {X.shape}, X_patched {X_patched.shape}; give the same images, "
                "without and with the patch."
            )
        shift = X_patched - X
        mean = shift.mean(axis=0)
        _, strength, directions = np.linalg.svd(
            np.vstack([np.sqrt(len(X)) * mean, shift - mean]), full_matrices=False
        )
        if self.n_components > (strength > 1e-9 * max(strength[0], 1e-300)).sum():
            raise ValueError(
                f"The patch moves features in fewer directions than n_components="
                f"{self.n_components}; take fewer."
            )
        self.components_, self.mean_ = directions[: self.n_components], X.mean(axis=0)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return features without these directions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The features, at the mean along the directions.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=float)
        return X - (X - self.mean_) @ self.components_.T @ self.components_
