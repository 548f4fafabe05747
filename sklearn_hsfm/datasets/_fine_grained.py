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
    ValueError
        If one of them lacks an image of ``images.txt``.
    """
    tables = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
    folder = folder_with(folder, "images", *tables)

    # Lines are joined by their ids: folders with a part of the images often keep whole tables.
    path, label, part, names = (
        dict(line.split(maxsplit=1) for line in (folder / name).read_text().splitlines() if line)
        for name in tables
    )
    for name, table in (("image_class_labels.txt", label), ("train_test_split.txt", part)):
        lacking = [i for i in path if i not in table]
        if lacking:
            raise ValueError(
                f"{folder / name} has no line for {len(lacking)} of the {len(path)} images of "
                f"images.txt, first id {lacking[0]}. Restore the file of the release."
            )
    rows = {"train": ([], []), "test": ([], [])}
    for i, name in path.items():
        images, y = rows["train" if part[i] == "1" else "test"]
        images.append(str(folder / "images" / name))
        y.append(int(label[i]) - 1)
    paper = {"train": 5994, "test": 5794}
    return image_bunch(rows, list(names.values()), paper=paper, source="section 7.5")


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
