"""The data sets, one file each: a module here that defines ``SET`` is a set of the benchmarks."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from sklearn.utils import Bunch


@dataclass(frozen=True)
class DataSet:
    """A data set, as images, as a file of features, or made by a function.

    Features of a frozen network are looked for in ``KEY_NETWORK.npz``, of one that was
    fine-tuned by ERM on the training split in ``KEY_erm_NETWORK.npz``, and tables in
    ``KEY.npz``; `sklearn_hsfm.datasets.load_features` says what such a file holds.
    """

    name: str
    key: str
    kind: str = "shortcut"  # or "fine-grained", or "tabular"
    folder: str | None = None  # of the images, under --data-dir
    images: Callable[..., Bunch] | None = None  # what loads them from the folder
    settings: str = "waterbirds"  # column of Tables 11 to 13 that the published HSFM takes
    make: Callable[..., Bunch] | None = None  # random_state -> data, where there is no file
    balanced: bool = False  # whether its validation groups are equally frequent already


def all_sets():
    """Return the sets by key: the paper's first, as their files sort within."""
    sets = {}
    for module in pkgutil.iter_modules(__path__):
        found = importlib.import_module(f"{__name__}.{module.name}").SET
        sets[found.key] = found
    paper = [key for key in ("waterbirds", "celeba", "metashift", "dominoes") if key in sets]
    return {key: sets[key] for key in [*paper, *(k for k in sets if k not in paper)]}
