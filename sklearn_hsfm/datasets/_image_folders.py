"""Images in folders named after their classes."""

import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm._typing import FilePath
from sklearn_hsfm.datasets._image_sets import SPLITS, coded, split_bunch, split_called
from sklearn_hsfm.extraction._image_files import SUFFIXES, image_files, shown
from sklearn_hsfm.metrics import groups_from_attributes


def load_image_folder(folder: FilePath, *, attribute: str | None = None) -> Bunch:
    """Return images in class folders, and in split folders above them if there are such.

    Parameters
    ----------
    folder : path
        ``folder/CLASS/*.jpg``, or ``folder/SPLIT/CLASS/*.jpg``, where a split is called train,
        val (also valid or validation) or test; the images of a class may lie deeper.
    attribute : str, default=None
        What the folders inside of the class folders tell apart, as in
        ``folder/CLASS/PLACE/*.jpg``: ``attribute="place"`` makes groups of class and place.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : lists of paths, sorted; ``y_*`` : ndarray of shape
        (n,), indices into ``target_names``, the names of the class folders; ``groups_*`` : ndarray
        of shape (n,), text such as "y=waterbird place=land", or None without ``attribute``;
        ``counts`` : images by split, and by group where there are groups. A split that is not
        there has None for all three; without split folders all images are training samples.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it has no class folders, or one of these no image; if there are split folders but none
        to train on, or two of one split; if a split has a class that training has not; if an image
        has no folder of an attribute.

    Warns
    -----
    UserWarning
        If images lie beside the class folders, or in folders beside the split folders: they belong
        to no class or split, and are left out.

    Notes
    -----
    Hidden files and folders, ``__MACOSX``, files that other systems write beside images, such as
    ``._1.jpg``, and files that are no images by their name are not looked at. No image is opened.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_hsfm.datasets import load_image_folder
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("train/cat/1.png", "train/dog/2.png", "test/dog/3.png"):
    ...     (folder / name).parent.mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(folder / name)
    >>> data = load_image_folder(folder)
    >>> data.target_names.tolist(), data.y_train.tolist(), data.y_test.tolist()
    (['cat', 'dog'], [0, 1], [1])
    >>> len(data.X_train), data.X_val
    (2, None)
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"No folder of images at {shown(folder.absolute())}.")
    classes = {split: _class_folders(at) for split, at in _split_folders(folder).items()}
    known = {at.name: code for code, at in enumerate(classes["train"])}
    parts = {}
    for split, files in classes.items():
        places = list(map(shown, files))
        coded([at.name for at in files], known, lambda row, of=places: f"The class of {of[row]}")
        rows = [(at, path) for at, paths in files.items() for path in paths]
        y = [known[at.name] for at, _ in rows]
        groups = None
        if attribute is not None:
            values = [_value(at, path, attribute) for at, path in rows]
            groups = groups_from_attributes([at.name for at, _ in rows], **{attribute: values})
        parts[split] = [str(path) for _, path in rows], np.array(y, dtype=np.intp), groups
    return split_bunch(parts, list(known), attribute)


def _split_folders(folder):
    """Return the folder of each split; the folder itself if it has no split folders."""
    found, others = {}, []
    for at in _folders(folder):
        split = None if at.name.isdigit() else split_called(at.name)
        if split is None or not _folders(at):  # else a class that is called like a split
            others.append(at)
        elif split in found:
            raise ValueError(
                f"{shown(folder)} has {found[split].name!r} and {at.name!r}, which are one split. "
                "Rename or remove one of them."
            )
        else:
            found[split] = at
    if not found:
        return {"train": folder}
    if "train" not in found:
        raise ValueError(
            f"{shown(folder)} has the splits {', '.join(at.name for at in found.values())}, but no "
            "train. Put the images to train on into train."
        )
    left_out = [at for at in others if image_files(at)]
    if left_out:
        warnings.warn(
            f"{', '.join(repr(shown(at)) for at in left_out)}: images in folders beside the splits "
            "belong to none, and are left out.",
            stacklevel=3,
        )
    return {split: found[split] for split in SPLITS if split in found}


def _class_folders(folder):
    """Return the class folders, each with its image files."""
    loose = [e.name for e in os.scandir(folder) if e.is_file() and _is_image(e.name)]
    classes = {at: image_files(at) for at in _folders(folder)}
    if not classes:
        raise ValueError(
            f"{shown(folder)} has no class folders{f', but {len(loose)} images' if loose else ''}. "
            "Put the images of each class into a folder with its name."
        )
    empty = [shown(at) for at, files in classes.items() if not files]
    if empty:
        raise ValueError(
            f"{len(empty)} of {len(classes)} class folders hold no image ({', '.join(SUFFIXES)}), "
            f"first {empty[0]}. Fill or remove them."
        )
    if loose:
        warnings.warn(
            f"{len(loose)} images lie beside the class folders of {shown(folder)}, first "
            f"{min(loose)!r}; they belong to no class, and are left out.",
            stacklevel=4,
        )
    return classes


def _folders(folder):
    """Return the folders that are looked at, sorted by name."""
    found = [Path(e.path) for e in os.scandir(folder) if e.is_dir()]
    return sorted(p for p in found if not p.name.startswith(".") and p.name != "__MACOSX")


def _is_image(name):
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _value(at, path, attribute):
    """Return the folder that an image is in, inside of its class folder."""
    first, *others = path.relative_to(at).parts
    if not others:
        raise ValueError(
            f"{shown(path)} lies in its class folder and in none of {attribute!r}. Put it into a "
            f"folder with its {attribute}, or leave attribute out."
        )
    return first
