"""From images and texts to features: frozen backbones as transformers, with a cache."""

from sklearn_hsfm.extraction._cache import FeatureCache
from sklearn_hsfm.extraction._colours import background_colour_groups
from sklearn_hsfm.extraction._extractor import FeatureExtractor
from sklearn_hsfm.extraction._shards import extract_shards
from sklearn_hsfm.extraction._text import TextExtractor

__all__ = [
    "FeatureCache",
    "FeatureExtractor",
    "TextExtractor",
    "background_colour_groups",
    "extract_shards",
]
