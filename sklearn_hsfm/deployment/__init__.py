"""From a repaired head back into a network, and out of Python."""

from sklearn_hsfm.deployment._onnx import register_onnx
from sklearn_hsfm.deployment._repaired import repaired

__all__ = ["register_onnx", "repaired"]
