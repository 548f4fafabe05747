"""What the extractors of images and of texts share: scikit-learn's ways, cache, device, pickles."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm.extraction._cache import FeatureCache
from sklearn_hsfm.extraction._keys import fill
from sklearn_hsfm.extraction._with_network import WithNetworkMixin


class Extractor(WithNetworkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A frozen network as a transformer.

    A subclass has ``_view(X)``, the samples with a name and a key each; ``_keys()``; ``_run(items,
    rows, checked=None)``, which yields rows and their features; and ``_unit``, how many samples a
    run puts together, so that parts of a multiple of it give the bits of the whole.
    """

    n_jobs = None

    def _features_of(self, items):
        features = np.empty((len(items), self.n_features_out_), dtype=np.float32)
        keys = None if self.cache_dir is None else self._keys()
        if keys is not None and not keys.gaps:

            def run(rows, checked):
                return self._run(items, rows, checked=checked)

            cache = FeatureCache(self.cache_dir, self.cache_size)
            fill(features, items, keys, cache, run, self.n_jobs)
            return features
        if keys is not None:
            warnings.warn(
                f"Nothing is kept in cache_dir={str(self.cache_dir)!r}, for network or preprocess "
                f"hold what cannot be told from another of its kind: {', '.join(keys.gaps)}.",
                stacklevel=4,
            )
        for rows, values in self._run(items, range(len(items))):
            features[rows] = values
        return features

    def _device(self):
        return resolve_device(self.device)

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __getstate__(self):
        """Return the state without the network, which is loaded again when it is needed."""
        state = dict(super().__getstate__())
        state.pop("_backbone", None)
        return state

    def __sklearn_tags__(self):
        """Return the tags: images and texts are not two-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


def check_same(network_id, fitted_id, named):
    """Refuse a network that was loaded again and is another than the one of the fit."""
    if network_id != fitted_id:
        raise ValueError(
            f"{named} is no longer what this extractor was fitted with. Restore the weights, or "
            "fit it again."
        )
