"""Where the rows of a table's column come from: a file of features, images, or a function."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import networks
from benchmarks.sets import DataSet, all_sets
from sklearn_hsfm.datasets import load_features

# What stands in for a network whose features are not at hand.
STAND_INS = ("efflite0", "efflite2")
DATA_DIR = Path("../shared/data")  # where it is absent, so are the sets that want it
DOMINOES_IMAGES = "dominoes_images.npz"


def existing(text):
    """Return a path of the command line, which is an error where nothing is."""
    if not Path(text).exists():
        raise argparse.ArgumentTypeError(f"there is no {text}")
    return Path(text)


def existing_folder(text):
    """Return a folder of the command line, which is an error where there is none."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return Path(text)


def arrays_of(path):
    """Return the arrays of a file by name."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def files_with_groups(folder):
    """Yield the feature files of a folder that have groups within classes, with their rows."""
    for path in sorted(folder.glob("*.npz")):
        try:
            data = load_features(path)
        except ValueError:  # a file of something else
            continue
        if data.X_train.ndim != 2 or data.groups_test is None or data.X_val is None:
            continue
        if len(np.unique(data.groups_test)) > len(np.unique(data.y_test)):
            yield path, data


class Column(NamedTuple):
    """Rows of a set, seen by a network."""

    dataset: DataSet
    network: str | None
    tuned: bool = False  # by ERM on the training split, rather than frozen
    file: Path | None = None
    looked_for: str = ""

    @property
    def title(self):
        """Return a heading."""
        if self.network is None:
            return self.dataset.name
        return f"{self.dataset.name}, {self.network}{' ERM-tuned' if self.tuned else ''}"

    @property
    def key(self):
        """Return what records call these rows."""
        return self.file.stem if self.file is not None else self.dataset.key

    @property
    def absent(self):
        """Return whether there is nothing to run on."""
        return self.file is None and self.dataset.make is None

    def load(self, seed):
        """Return the rows: the same for every seed, unless a function makes them."""
        if self.file is None:
            return self.dataset.make(random_state=seed)
        data = load_features(self.file)
        if not self.tuned:
            data.head = None
        return data


def columns_of(keys, context, network="resnet50", ways=("tuned", "frozen"), stand_ins=True):
    """Return the columns of sets: features of images first, then of files, else an absent one.

    Parameters
    ----------
    keys : sequence of str
        Sets.
    context : Context
    network : str
        Network of the published table.
    ways : subset of {"tuned", "frozen"}
        Kinds of features that are wanted.
    stand_ins : bool
        Whether files of `STAND_INS` are taken where the network's are absent.
    """
    found, wanted = [], (network, *(STAND_INS if stand_ins else ()))
    for dataset in (all_sets()[key] for key in keys):
        of_set = [_column(dataset, wanted, way == "tuned", context) for way in ways]
        here = [column for column in of_set if not column.absent]
        found.extend(dict.fromkeys(here or of_set[:1]))
    return found


def _column(dataset, wanted, tuned, context):
    if dataset.make is not None:
        return Column(dataset, None)
    folders = context.features, context.data_dir
    if dataset.kind == "tabular":
        names = {None: f"{dataset.key}.npz"}
    else:
        stem = f"{dataset.key}_erm" if tuned else dataset.key
        names = {n: f"{stem}_{n.replace(':', '_')}.npz" for n in wanted}
    images = context.data_dir / dataset.folder if dataset.folder else None
    if images is not None and images.is_dir():
        path = context.features / names[wanted[0]]
        if not path.is_file():
            networks.extract(dataset.images(images), path, wanted[0], tuned, context.device)
    for name, file in names.items():
        for folder in folders:
            if (folder / file).is_file():
                return Column(dataset, name, tuned and name is not None, folder / file)
    looked_for = " or ".join(str(context.data_dir / file) for file in names.values())
    if images is not None:
        looked_for = f"images in {images}, {looked_for}"
    return Column(dataset, None if None in names else wanted[0], tuned, None, looked_for)
