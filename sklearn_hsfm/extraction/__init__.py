"""From images to features: frozen backbones as a scikit-learn transformer, with a cache."""

from sklearn_hsfm.extraction._cache import FeatureCache
from sklearn_hsfm.extraction._extractor import FeatureExtractor
from sklearn_hsfm.extraction._shards import extract_shards

__all__ = ["FeatureCache", "FeatureExtractor", "extract_shards"]
