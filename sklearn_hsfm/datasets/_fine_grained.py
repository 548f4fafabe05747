"""Fine-grained image sets, which have no groups, in the folder formats of their authors."""

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm._typing import FilePath
from sklearn_hsfm.datasets._image_sets import SPLITS, folder_with, image_bunch
from sklearn_hsfm.datasets._tables import Table, inside, matlab, whole_numbers


def load_cub(folder: FilePath) -> Bunch:
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
        If one of them lacks an image of ``images.txt``, or holds a code that is none or a file
        outside of the folder; the message names file, line and column.
    """
    tables = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
    folder = folder_with(folder, "images", *tables)

    # Lines are joined by their ids: folders with a part of the images often keep whole tables.
    images, labels, parts, classes = (
        Table(folder / name, ("id", column))
        for name, column in zip(tables, ("file", "class", "is_training", "name"), strict=True)
    )
    ids = images.unique("id")
    for table in (labels, parts):
        lacking = [i for i in ids if i not in table.unique("id")]
        if lacking:
            raise ValueError(
                f"{table.path} has no line for {len(lacking)} of the {len(ids)} images of "
                f"images.txt, first id {lacking[0]}. Restore the file of the release."
            )
    codes = classes.codes("id", range(1, len(classes) + 1))
    classes.unique("id")
    names = np.array(classes.texts("name"))[np.argsort(codes)]
    label = labels.codes("class", range(1, len(names) + 1))
    training = parts.codes("is_training", (0, 1))
    label_at, part_at = labels.unique("id"), parts.unique("id")
    rows = {"train": ([], []), "test": ([], [])}
    for i, file in zip(ids, images.files("file", folder / "images"), strict=True):
        paths, y = rows["train" if training[part_at[i]] else "test"]
        paths.append(file)
        y.append(label[label_at[i]] - 1)
    paper = {"train": 5994, "test": 5794}
    return image_bunch(rows, names, paper=paper, source="section 7.5")


def load_flowers(folder: FilePath) -> Bunch:
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
    ValueError
        If one of them is damaged, or holds a number that is no class or image.
    """
    folder = folder_with(folder, "jpg", "imagelabels.mat", "setid.mat")
    (labels,) = matlab(folder / "imagelabels.mat", "labels")
    labels = whole_numbers(labels, range(1, 103), f"labels of {folder / 'imagelabels.mat'}") - 1
    keys = ("trnid", "valid", "tstid")
    rows = {}
    for split, key, numbers in zip(SPLITS, keys, matlab(folder / "setid.mat", *keys), strict=True):
        allowed = range(1, len(labels) + 1)
        numbers = whole_numbers(numbers, allowed, f"{key} of {folder / 'setid.mat'}")
        images = [str(folder / "jpg" / f"image_{i:05d}.jpg") for i in numbers]
        rows[split] = images, labels[numbers - 1]
    names = [f"flower {k + 1}" for k in range(labels.max() + 1)]
    paper = {"train": 1020, "val": 1020, "test": 6149}
    return image_bunch(rows, names, paper=paper, source="section 7.6")


def load_cars(folder: FilePath) -> Bunch:
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
    ValueError
        If one of them is damaged, or holds a number that is no class or a file outside of the
        folder.
    """
    annotations = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    folder = folder_with(folder, "devkit/cars_meta.mat", *annotations.values())
    (names,) = matlab(folder / "devkit/cars_meta.mat", "class_names")
    names = [str(name) for name in names]
    rows = {}
    for split, file in annotations.items():
        (entries,) = matlab(folder / file, "annotations")
        missing = [name for name in ("fname", "class") if name not in (entries.dtype.names or ())]
        if missing:
            raise ValueError(f"{folder / file} has no {', '.join(missing)} in its annotations.")
        where, at = f"fname in {folder / file}", folder / f"cars_{split}"
        labels = [value.item() if hasattr(value, "item") else value for value in entries["class"]]
        allowed = range(1, len(names) + 1)
        y = whole_numbers(labels, allowed, f"class in {folder / file}") - 1
        rows[split] = [inside(at, str(name), where) for name in entries["fname"]], y
    paper = {"train": 8144, "test": 8041}
    return image_bunch(rows, names, paper=paper, source="section 7.7")
