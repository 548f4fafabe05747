"""What runs a backbone on preprocessed batches: torch, or a compiled engine behind an extra."""

import functools
import importlib.util
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

PRECISIONS = {
    "torch": ("float32", "bfloat16", "float16"),
    "openvino": ("float32", "bfloat16"),
    "onnxruntime": ("float32",),
}
# the extra of an engine, and the packages that it installs
_EXTRAS = {
    "torch": ("", ()),
    "openvino": ("openvino", ("openvino",)),
    "onnxruntime": ("onnx", ("onnx", "onnxscript", "onnxruntime")),
}


def check_engine(engine, precision, device):
    """Refuse an engine that is not installed, or has no such precision or device."""
    extra, packages = _EXTRAS[engine]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"engine={engine!r} needs {', '.join(missing)}: pip install 'sklearn_hsfm[{extra}]'."
        )
    if precision not in ("auto", *PRECISIONS[engine]):
        raise ValueError(
            f"engine={engine!r} has no precision={precision!r}; it has 'auto' and "
            f"{', '.join(map(repr, PRECISIONS[engine]))}."
        )
    if engine != "torch" and device.type != "cpu":
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


def compiled_engine(engine, features, precision):
    """Return such a function of a compiled engine on the CPU; each shape is compiled once."""
    build = {"openvino": _openvino, "onnxruntime": _onnxruntime}[engine]

    @functools.cache
    def of_shape(shape):
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of the exporters about themselves
            return build(_Features(features).eval(), torch.zeros(2, *shape), precision)

    return lambda batch: of_shape(tuple(batch.shape[1:]))(batch.numpy())


class _Features(nn.Module):
    """A function of a batch as a module, which is what exporters take."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, batch):
        return self.features(batch)


def _openvino(module, example, precision):
    import openvino

    model = openvino.convert_model(module, example_input=example)
    model.reshape([-1, *example.shape[1:]])
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.compile_model(model, "CPU", settings)
    return lambda batch: compiled(batch)[0]


def _onnxruntime(module, example, precision):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        shapes = ({0: torch.export.Dim("n")},)
        torch.onnx.export(
            module, (example,), path, dynamo=True, dynamic_shapes=shapes, verbose=False
        )
        session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]
