"""ERM fine-tuning of a backbone on images, the paper's first stage, and what builds on it."""

from sklearn_hsfm.finetuning._dac import DaCClassifier
from sklearn_hsfm.finetuning._diffusion import DiffusionGenerator
from sklearn_hsfm.finetuning._erm import ERMClassifier
from sklearn_hsfm.finetuning._generated import (
    GeneratedRowsClassifier,
    GenerationReport,
    ImageGenerator,
)
from sklearn_hsfm.finetuning._masktune import MaskTuneClassifier
from sklearn_hsfm.finetuning._pipeline import make_hsfm_pipeline

__all__ = [
    "DaCClassifier",
    "DiffusionGenerator",
    "ERMClassifier",
    "GeneratedRowsClassifier",
    "GenerationReport",
    "ImageGenerator",
    "MaskTuneClassifier",
    "make_hsfm_pipeline",
]
