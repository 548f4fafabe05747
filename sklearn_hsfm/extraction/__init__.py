"""From images to features: frozen backbones as a scikit-learn transformer, with a cache."""

from sklearn_hsfm.extraction._cache import FeatureCache
from sklearn_hsfm.extraction._extractor import FeatureExtractor

__all__ = ["FeatureCache", "FeatureExtractor"]
