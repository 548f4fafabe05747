"""What every classifier of images that holds a network with a head does with it."""

import copy

import numpy as np
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm._typing import ImagesLike
from sklearn_hsfm.extraction._batches import run_batches
from sklearn_hsfm.extraction._engines import torch_engine
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.extraction._with_network import WithNetworkMixin


class NetworkClassifierMixin(WithNetworkMixin):
    """Predict images by ``module_``, whose last layer ``_head_name`` names.

    A fit sets both, ``classes_`` and ``preprocess_``.
    """

    @property
    def _trained_as(self):
        """What has the device, the precision and the batch size to run with."""
        return self

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the head, (n_classes, n_features)."""
        return self._head().weight.detach().numpy().copy()

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts of the head, (n_classes,)."""
        return self._head().bias.detach().numpy().copy()

    def _head(self):
        if "module_" not in vars(self):  # so that hasattr tells whether it is fitted
            raise AttributeError(f"{type(self).__name__} has no head before fit.")
        return self.module_.get_submodule(self._head_name)

    def decision_function(self, X: ImagesLike) -> np.ndarray:
        """Return the logits of images.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the log-odds of ``classes_[1]``.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: ImagesLike) -> np.ndarray:
        """Return the probability of each class, (n_samples, n_classes).

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return softmax(self._logits(X), axis=1)

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
        index = self._logits(X).argmax(axis=1)
        return self.classes_[index]

    def _logits(self, X):
        check_is_fitted(self, "module_")
        images, network, trained = Images(X), copy.deepcopy(self.module_), self._trained_as
        run = torch_engine(network, network, resolve_device(trained.device), trained.precision)
        logits = np.empty((len(images), len(self.classes_)), dtype=np.float32)
        rows = range(len(images))
        for some, values in run_batches(run, images, rows, self.preprocess_, trained.batch_size):
            logits[some] = values
        return logits

    def __sklearn_tags__(self):
        """Return the tags: images are not two-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags
