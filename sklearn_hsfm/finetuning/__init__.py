"""ERM fine-tuning of a backbone on images, the paper's first stage, on skorch."""

from sklearn_hsfm.finetuning._dac import DaCClassifier
from sklearn_hsfm.finetuning._erm import ERMClassifier
from sklearn_hsfm.finetuning._masktune import MaskTuneClassifier
from sklearn_hsfm.finetuning._pipeline import make_hsfm_pipeline

__all__ = ["DaCClassifier", "ERMClassifier", "MaskTuneClassifier", "make_hsfm_pipeline"]
