"""Fine-grained image sets, which have no groups, in the folder formats of their authors."""

import numpy as np
from scipy.io import loadmat

from sklearn_hsfm.datasets._image_sets import folder_with, image_bunch


def load_cub(folder):
    """Return CUB-200-2011: birds of 200 species, no validation split.

    Parameters
    ----------
    folder : path
        The unpacked release: ``images``, ``images.txt``, ``image_class_labels.txt``,
        ``train_test_split.txt`` and ``classes.txt``.

    Returns
    -------
    Bunch
        As of `load_waterbirds`, without groups; ``X_val`` is None.

    Raises
    ------
    FileNotFoundError
        If one of these files is missing.
    """
    tables = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
    folder = folder_with(folder, "images", *tables)

    def column(name):
        lines = (folder / name).read_text().splitlines()
        return np.array([line.split()[1] for line in lines if line])

    paths = np.array([str(folder / "images" / p) for p in column("images.txt")])
    y = column("image_class_labels.txt").astype(int) - 1
    train = column("train_test_split.txt") == "1"
    rows = {"train": (paths[train].tolist(), y[train]), "test": (paths[~train].tolist(), y[~train])}
    paper = {"train": 5994, "test": 5794}
    return image_bunch(rows, column("classes.txt"), paper=paper, source="section 7.5")


def load_flowers(folder):
    """Return Oxford Flowers-102.

    Parameters
    ----------
    folder : path
        ``jpg``, ``imagelabels.mat`` and ``setid.mat``, as torchvision's ``Flowers102`` leaves
        them in ``flowers-102``.

    Returns
    -------
    Bunch
        As of `load_waterbirds`, without groups.

    Raises
    ------
    FileNotFoundError
        If one of these files is missing.
    """
    folder = folder_with(folder, "jpg", "imagelabels.mat", "setid.mat")
    labels = loadmat(folder / "imagelabels.mat")["labels"].ravel().astype(int) - 1
    ids = loadmat(folder / "setid.mat")
    rows = {}
    for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
        numbers = ids[key].ravel().astype(int)
        images = [str(folder / "jpg" / f"image_{i:05d}.jpg") for i in numbers]
        rows[split] = images, labels[numbers - 1]
    names = [f"flower {k + 1}" for k in range(labels.max() + 1)]
    paper = {"train": 1020, "val": 1020, "test": 6149}
    return image_bunch(rows, names, paper=paper, source="section 7.6")


def load_cars(folder):
    """Return Stanford Cars: 196 makes and models, no validation split.

    Parameters
    ----------
    folder : path
        ``cars_train``, ``cars_test``, ``devkit`` with ``cars_meta.mat`` and
        ``cars_train_annos.mat``, and ``cars_test_annos_withlabels.mat``, as torchvision's
        ``StanfordCars`` expects them in ``stanford_cars``.

    Returns
    -------
    Bunch
        As of `load_waterbirds`, without groups; ``X_val`` is None.

    Raises
    ------
    FileNotFoundError
        If one of these files is missing.
    """
    annotations = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    folder = folder_with(folder, "devkit/cars_meta.mat", *annotations.values())
    names = [str(n.item()) for n in loadmat(folder / "devkit/cars_meta.mat")["class_names"].ravel()]
    rows = {}
    for split, file in annotations.items():
        entries = loadmat(folder / file, squeeze_me=True)["annotations"]
        entries = np.atleast_1d(entries)
        images = [str(folder / f"cars_{split}" / e["fname"]) for e in entries]
        rows[split] = images, [int(e["class"]) - 1 for e in entries]
    paper = {"train": 8144, "test": 8041}
    return image_bunch(rows, names, paper=paper, source="section 7.7")
