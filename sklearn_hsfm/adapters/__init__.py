"""Transformers of frozen features, fitted with labels, that come before any last layer."""

from sklearn_hsfm.adapters._contrastive import ContrastiveAdapter

__all__ = ["ContrastiveAdapter"]
