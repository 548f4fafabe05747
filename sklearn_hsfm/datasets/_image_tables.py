"""Any table that says of each image its label, its split and its attributes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm._typing import DataFrame, FilePath
from sklearn_hsfm.datasets._image_sets import SPLITS, coded, split_bunch, split_called
from sklearn_hsfm.datasets._tables import Table, columns_of, inside
from sklearn_hsfm.extraction._image_files import shown
from sklearn_hsfm.metrics import groups_from_attributes

_USUAL = {  # of WILDS and group_DRO; of SubpopBench; of image folders of Hugging Face
    "image": ("img_filename", "filename", "file_name"),
    "label": ("y", "label"),
    "split": ("split",),
    "attributes": ("place", "a"),
}
_ADVICE = "Name another: image=NAME, label=NAME, split=NAME, attributes=NAME or group=NAME."


def load_image_table(
    table: FilePath | DataFrame,
    *,
    folder: FilePath | None = None,
    image: str = "auto",
    label: str = "auto",
    split: str | None = "auto",
    attributes: str | Sequence[str] | None = "auto",
    group: str | None = None,
) -> Bunch:
    r"""Return the images that a table names, with labels, splits and groups.

    Parameters
    ----------
    table : path or DataFrame
        A ``.csv`` file whose first line names the columns, or such a table in memory.
    folder : path, default=None
        What file names are relative to, and all files are in; None is the folder of the table, or
        the current one for a DataFrame.
    image : str, default="auto"
        Column of file names. "auto" is "img_filename", "filename" or "file_name".
    label : str, default="auto"
        Column of class labels of any kind. "auto" is "y" or "label".
    split : str or None, default="auto"
        Column that says train, val (also valid or validation) or test, or tr, va or te, or 0, 1 or
        2. "auto" is "split" if there is such a column. With None all images are training samples.
    attributes : str, sequence of str or None, default="auto"
        Columns that make groups, together with the label. "auto" is "place" or "a", if there is
        such a column and no ``group`` is named.
    group : str, default=None
        A column of group ids that are taken as they are, instead of ``attributes``.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : lists of paths, in the order of the table; ``y_*`` :
        ndarray of shape (n,), indices into ``target_names``, the sorted labels of the training
        samples; ``groups_*`` : ndarray of shape (n,), text such as "y=1 place=0", or None;
        ``counts`` : images by split, and by group where there are groups; ``columns`` : dict of
        what was read as "image", "label", "split", "attributes" and "group". A split without
        samples has None for all three.

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    ValueError
        If a column is missing, or "auto" finds none or several; if a value is empty, a split is
        none of these, a file is not there or not in ``folder``, or a label is in no training
        sample: the message names file, line and column.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_hsfm.datasets import load_image_table
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("1.png", "2.png", "3.png"):
    ...     Image.new("RGB", (8, 8)).save(folder / name)
    >>> lines = ["file,bird,part,place", "1.png,duck,train,water", "2.png,wren,train,land"]
    >>> _ = (folder / "birds.csv").write_text("\n".join([*lines, "3.png,duck,test,land"]))
    >>> data = load_image_table(folder / "birds.csv", image="file", label="bird", split="part")
    >>> data.target_names.tolist(), data.y_train.tolist(), data.y_test.tolist()
    (['duck', 'wren'], [0, 1], [0])
    >>> data.groups_train.tolist()
    ['y=duck place=water', 'y=wren place=land']
    """
    named = {"image": image, "label": label, "split": split, "attributes": attributes}
    rows, columns, folder = _opened(table, folder, named, group)
    labels = _numbers_if_all_are(_filled(rows, columns["label"]))
    files, groups = _files(rows, columns["image"], folder), _groups(rows, columns, labels)
    at = _splits(rows, columns["split"])
    if "train" not in at:
        raise ValueError(
            f"{rows.path} has no training row; its splits are {sorted(set(at.tolist()))}."
        )
    parts = {name: np.flatnonzero(at == name) for name in SPLITS if name in at}
    names = sorted({labels[row] for row in parts["train"]})
    known = {name: code for code, name in enumerate(names)}
    found = {}
    for name, here in parts.items():
        y = coded(
            [labels[row] for row in here],
            known,
            lambda k, here=here: rows.where(here[k], columns["label"]),
        )
        found[name] = [files[row] for row in here], y, None if groups is None else groups[here]
    by = columns["group"] or ", ".join(columns["attributes"] or ()) or None
    data = split_bunch(found, names, by)
    data.columns = columns
    return data


def image_column(table, *, folder=None, image="auto"):
    """Return the image files that a table names, in its order, whatever else it says of them."""
    rows, columns, folder = _opened(table, folder, {"image": image}, None)
    return _files(rows, columns["image"], folder)


def _opened(table, folder, named, group):
    """Return the rows that are needed, the columns by what they are, and the folder of images."""
    if group is not None and named["attributes"] == "auto":
        named = {**named, "attributes": None}
    if group is not None and named["attributes"] is not None:
        raise ValueError(
            f"group={group!r} and attributes={named['attributes']!r} were both passed. Groups are "
            "one column, or made of label and attributes: pass one of these."
        )
    if hasattr(table, "columns") and hasattr(table, "itertuples"):
        where, has, folder = "the DataFrame", list(table.columns), folder or "."
    else:
        path = Path(table)
        if not path.is_file():
            raise FileNotFoundError(f"No table at {shown(path.absolute())}.")
        if path.suffix.lower() != ".csv":
            raise ValueError(
                f"{shown(path)} does not end in .csv; wanted is a table with commas whose first "
                "line names the columns, or a DataFrame."
            )
        where, has, folder = path, columns_of(path), folder or path.parent
    columns = {role: _column(role, name, has, where) for role, name in named.items()}
    columns["group"] = group
    needed = [name for value in columns.values() if value is not None for name in _listed(value)]
    twice = [name for name in needed if has.count(name) > 1]
    if twice:
        raise ValueError(f"{where} has two columns that are called {twice[0]!r}. Rename one.")
    if "y" in _listed(columns.get("attributes") or ()):
        raise ValueError("attributes has 'y', which groups call the label. Rename that column.")
    rows = _Frame(table, needed) if isinstance(where, str) else Table(where, needed, None, _ADVICE)
    return rows, columns, Path(folder)


class _Frame(Table):
    """The rows of a DataFrame, as text, each known by its number."""

    def __init__(self, frame, columns):
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise ValueError(
                f"The DataFrame has no column {', '.join(map(repr, missing))}; it has "
                f"{', '.join(map(repr, frame.columns))}. {_ADVICE}"
            )
        self.path, self.columns = "The DataFrame", tuple(columns)
        texts = [["" if v is None or v != v else str(v) for v in frame[name]] for name in columns]
        self.rows = list(map(list, zip(*texts, strict=True)))

    def where(self, row, column):
        return f"{self.path}, row {row}: {column}"


def _column(role, name, has, where):
    """Return the column, or columns, of a role."""
    if name is None:
        if role in ("image", "label"):
            raise ValueError(f"{role}=None; name a column of {where}.")
        return None
    if isinstance(name, str) and name == "auto":
        found = [usual for usual in _USUAL[role] if usual in has]
        if len(found) > 1:
            raise ValueError(f"{where} has {' and '.join(found)}; say which is meant, {role}=NAME.")
        if not found and role in ("image", "label"):
            raise ValueError(
                f"{where} has no column {' or '.join(map(repr, _USUAL[role]))}; it has "
                f"{', '.join(map(repr, has)) or 'none'}. Name the column, {role}=NAME."
            )
        found = found[0] if found else None
        return [found] if role == "attributes" and found else found
    return _listed(name) if role == "attributes" else name


def _listed(names):
    return [names] if isinstance(names, str) else list(names)


def _filled(rows, column):
    """Return the values of a column, none of which may be empty."""
    texts = rows.texts(column)
    for row, text in enumerate(texts):
        if not text:
            raise ValueError(f"{rows.where(row, column)} is empty. Fill it, or remove the row.")
    return texts


def _numbers_if_all_are(labels):
    """Return labels as integers if all are, so that 10 comes after 9."""
    whole = all(text.lstrip("-").isdecimal() and str(int(text)) == text for text in labels)
    return [int(text) for text in labels] if whole else labels


def _files(rows, column, folder):
    """Return the paths of files, which must be there, in the folder."""
    found, top = [], os.path.abspath(folder)
    for row, name in enumerate(_filled(rows, column)):
        if os.path.isabs(name) and os.path.commonpath([top, os.path.normpath(name)]) == top:
            name = os.path.relpath(name, top)
        path = inside(folder, name, rows.where(row, column))
        if not os.path.isfile(path):
            raise ValueError(
                f"{rows.where(row, column)} is {shown(name)!r}, and there is no such file in "
                f"{shown(folder)}. Pass the folder of the images, folder=PATH, or restore it."
            )
        found.append(path)
    if not found:
        raise ValueError(f"{rows.path} has no rows.")
    return found


def _groups(rows, columns, labels):
    """Return the group id of each row, or None."""
    if columns["group"] is not None:
        return np.array(_filled(rows, columns["group"]))
    if not columns["attributes"]:
        return None
    values = {name: _filled(rows, name) for name in columns["attributes"]}
    return groups_from_attributes(labels, **values)


def _splits(rows, column):
    """Return the split of each row."""
    if column is None:
        return np.full(len(rows), "train")
    found = [split_called(text) for text in rows.texts(column)]
    for row, split in enumerate(found):
        if split is None:
            raise ValueError(
                f"{rows.where(row, column)} is {rows.texts(column)[row]!r}; it must be train, val "
                "or test, tr, va or te, or 0, 1 or 2. Remove rows of other splits."
            )
    return np.array(found)
