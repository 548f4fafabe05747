"""What runs a backbone on preprocessed batches: torch, or OpenVINO behind an extra."""

import functools
import importlib.util
import warnings

import torch
from torch import nn

PRECISIONS = {"torch": ("float32", "bfloat16", "float16"), "openvino": ("float32", "bfloat16")}


def check_engine(engine, precision, device):
    """Refuse an engine that is not installed, or has no such precision or device."""
    if engine == "torch":
        return
    if importlib.util.find_spec(engine) is None:
        raise ImportError(
            f"engine={engine!r} needs {engine}: pip install 'sklearn_hsfm[{engine}]'."
        )
    if precision not in ("auto", *PRECISIONS[engine]):
        raise ValueError(
            f"engine={engine!r} has no precision={precision!r}; it has 'auto' and "
            f"{', '.join(map(repr, PRECISIONS[engine]))}."
        )
    if device.type != "cpu":
        raise ValueError(
            f"engine={engine!r} runs on the CPU, but device={str(device)!r}. Pass device='cpu' or "
            "engine='torch'."
        )


def torch_engine(network, features, device, precision):
    """Return a function from a batch to its features, a float32 array, in eager torch.

    ``features`` runs ``network``, which is moved to the device.
    """
    network.to(device, memory_format=torch.channels_last)
    lowered = torch.autocast(
        device.type, dtype=getattr(torch, precision), enabled=precision != "float32"
    )

    def run(batch):
        with torch.inference_mode(), lowered:
            values = features(batch.to(device, memory_format=torch.channels_last))
        return values.float().cpu().numpy()

    return run


def openvino_engine(features, precision):
    """Return such a function of OpenVINO on the CPU; each shape of images is compiled once."""

    @functools.cache
    def of_shape(shape):
        return _compiled(features, shape, precision)

    return lambda batch: of_shape(tuple(batch.shape[1:]))(batch.numpy())[0]


def _compiled(features, shape, precision):
    import openvino

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer about itself
        example = torch.zeros(2, *shape)
        model = openvino.convert_model(_Features(features).eval(), example_input=example)
    model.reshape([-1, *shape])  # any number of images
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino.compile_model(model, "CPU", settings)


class _Features(nn.Module):
    """A function of a batch as a module, which is what tracing takes."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, batch):
        return self.features(batch)
