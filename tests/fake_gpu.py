"""A GPU that is not there: tensors that have shapes and no numbers."""

import pytest
import torch


def fake_gpu_or_skip():
    """Skip where tensors without numbers cannot be moved to a GPU that is not there."""
    try:
        torch.zeros(1).to("cuda")
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        pytest.skip(f"fake tensors of torch {torch.__version__} want a driver: {reason}")
