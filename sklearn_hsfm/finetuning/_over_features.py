"""What classifiers of images share that put a new head on the features of an extractor."""

from sklearn.base import clone
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._init_head import initial_head
from sklearn_hsfm._labels import encoded_labels
from sklearn_hsfm._linear_head import fitted_scaler, to_raw
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.extraction._with_network import WithNetworkMixin


class OverFeaturesMixin(WithNetworkMixin):
    """Predict images by ``head_``, on what ``extractor_`` makes of them.

    A subclass has the parameters ``extractor`` and ``init_head``, and fits ``head_``.
    """

    def _labelled(self, X, y):
        """Return images, their labels, and these as indices into ``classes_``, which it sets."""
        images, labels = Images(X), column_or_1d(y)
        check_classification_targets(labels)
        if len(labels) != len(images):
            raise ValueError(f"There are {len(images)} images, but y has {len(labels)} labels.")
        self.classes_, y = encoded_labels(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()}; it must have two or more."
            )
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

    @property
    def coef_(self):
        """Weights of the head on raw features."""
        return self._fitted_head().coef_

    @property
    def intercept_(self):
        """Intercepts of the head."""
        return self._fitted_head().intercept_

    def _fitted_head(self):
        if "head_" not in vars(self):  # so that hasattr tells whether it is fitted
            raise AttributeError(f"{type(self).__name__} has no head before fit.")
        return self.head_

    def decision_function(self, X):
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

    def predict_proba(self, X):
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

    def predict(self, X):
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
