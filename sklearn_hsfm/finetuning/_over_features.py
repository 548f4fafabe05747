"""What classifiers of images share that put a new head on the features of an extractor."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._init_head import initial_head
from sklearn_hsfm._linear_head import fitted_scaler, to_raw
from sklearn_hsfm._typing import ImagesLike
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.extraction._with_network import WithNetworkMixin
from sklearn_hsfm.finetuning._labelled import encoded, labelled_images
from sklearn_hsfm.heads import ExtraRowsClassifier


class OverFeaturesMixin(WithNetworkMixin):
    """Predict images by ``head_``, on what ``extractor_`` makes of them.

    A subclass has the parameters ``extractor``, ``init_head`` and ``C``.
    """

    def _labelled(self, X, y):
        """Return images, their labels, and these as indices into ``classes_``, which it sets."""
        images, labels = labelled_images(X, y)
        self.classes_, y = encoded(labels)
        return images, labels, y

    def _features(self, X, labels):
        """Return the features of images; set ``extractor_``, fitted if it has to be."""
        extractor = FeatureExtractor() if self.extractor is None else self.extractor
        if not hasattr(extractor, "backbone_id_"):
            extractor = clone(extractor).fit(X, labels)
        self.extractor_ = extractor
        return extractor.transform(X)

    def _first_head(self, features, y):
        """Return the head on raw features that is looked with, one row a class."""
        given = self.init_head
        if given is None and hasattr(self.extractor_.backbone_, "coef_"):
            given = self.extractor_.backbone_
        scaler = fitted_scaler(features)
        return to_raw(*initial_head(given, features, y, self.classes_, scaler), scaler)

    def _refit(self, features, labels, made_weight, **made):
        """Set ``head_``, refitted on the images and on rows that were ``made``, for its fit.

        ``made_weight`` is what one of those weighs, where ``made`` does not say.
        """
        self.head_ = ExtraRowsClassifier(C=self.C, extra_weight=made_weight)
        with warnings.catch_warnings():  # made rows need not look like the others
            warnings.filterwarnings("ignore", "X_extra does not look like X")
            self.head_.fit(features, labels, **made)

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the head on raw features."""
        return self._fitted_head().coef_

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts of the head."""
        return self._fitted_head().intercept_

    def _fitted_head(self):
        if "head_" not in vars(self):  # so that hasattr tells whether it is fitted
            raise AttributeError(f"{type(self).__name__} has no head before fit.")
        return self.head_

    def decision_function(self, X: ImagesLike) -> np.ndarray:
        """Return the logits of images, for two classes the log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Logits.
        """
        return self._of_features("decision_function", X)

    def predict_proba(self, X: ImagesLike) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return self._of_features("predict_proba", X)

    def predict(self, X: ImagesLike) -> np.ndarray:
        """Return the most probable class of each image.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the kind that ``fit`` was given.
        """
        return self._of_features("predict", X)

    def _of_features(self, what, X):
        check_is_fitted(self, "head_")
        return getattr(self.head_, what)(self.extractor_.transform(X))

    def __sklearn_tags__(self):
        """Return the tags: images are not two-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags
