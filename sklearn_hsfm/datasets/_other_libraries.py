"""Data sets of Hugging Face, torch, WILDS and SpuCo, as what `fit` takes."""

import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm.datasets._image_sets import SPLITS, coded, split_bunch, split_called
from sklearn_hsfm.datasets._items import source
from sklearn_hsfm.extraction._data_sets import data_set_under, is_loader
from sklearn_hsfm.metrics import groups_from_attributes


def from_dataset(
    train: Any,
    val: Any = None,
    test: Any = None,
    *,
    image: str | int = "auto",
    label: str | int = "auto",
    attributes: str | int | Sequence[str | int] | None = "auto",
    group: str | int | None = None,
) -> Bunch:
    """Return data sets of other libraries as images, labels and groups.

    Parameters
    ----------
    train : data set
        A ``datasets.Dataset`` of Hugging Face, a torch Dataset with a length, such as those of
        torchvision, a Subset or a WILDS or SpuCo data set, or a DataLoader that does not shuffle.
        Alone, a ``DatasetDict``, another dict of splits, or a whole WILDS data set.
    val, test : data set, default=None
        More splits.
    image : str or int, default="auto"
        The column of images, of their paths or of text (Hugging Face), or where in an item the
        image is: a key or a position. "auto" is the only column of images, the first of a
        tuple, or in a dict "image", "img", "pixel_values" or "x".
    label : str or int, default="auto"
        Likewise. "auto" is "label", "labels" or "y", else the only column of classes; the second
        of a tuple.
    attributes : str, int, sequence of these or None, default="auto"
        What makes groups, together with the label: columns, fields of WILDS' metadata, or
        positions or keys in items. "auto" is what WILDS evaluates by, SpuCo's ``spurious``, and
        else none.
    group : str or int, default=None
        Likewise, a column of group ids that are taken as they are, instead of ``attributes``.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : what `FeatureExtractor` takes: the images, each loaded
        when it is needed, or a list of paths or texts; ``y_*`` : ndarray of shape (n,), indices
        into ``target_names``, the names of the classes where the data set knows them;
        ``groups_*`` : ndarray of shape (n,), text such as "y=waterbird background=land", or None;
        ``counts`` : samples by split, and by group where there are groups. A split that is not
        there has None for all three.

    Raises
    ------
    TypeError
        If a data set has no length or no items, as one that streams.
    ValueError
        If columns or positions are missing, or "auto" finds none or several; if a DataLoader
        shuffles or has a ``collate_fn`` of its own; if labels are missing, not single values, or
        in no training sample; if splits have other names for the classes.

    Warns
    -----
    UserWarning
        If a dict has splits that are neither to train, nor to validate or test: they are left out.

    Notes
    -----
    No library is imported: data sets are known by their attributes. No image is decoded for
    labels that a data set offers: columns of Hugging Face, ``targets`` of torchvision, ``y_array``
    and ``metadata_array`` of WILDS, ``labels`` and ``spurious`` of SpuCo, also through Subsets.
    What is offered for a torch data set is compared with its items, one of each class, 100 at
    most. Where it differs, as with a ``target_transform``, or where nothing is offered, all items
    are asked once for what stands beside the image, which loads all images. Their
    order is that of the data set; it must give the same items each time.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import Subset, TensorDataset
    >>> from sklearn_hsfm.datasets import from_dataset
    >>> y, place = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 1, 1])
    >>> whole = TensorDataset(torch.rand(4, 3, 8, 8), y, place)
    >>> data = from_dataset(Subset(whole, [3, 2, 0]), test=Subset(whole, [1]), attributes=2)
    >>> data.y_train.tolist(), data.groups_train.tolist()
    ([1, 0, 0], ['y=1 attribute=1', 'y=0 attribute=1', 'y=0 attribute=0'])
    >>> data.X_train
    ImagesOf(Subset, 3 images)
    """
    if group is not None and attributes not in ("auto", None):
        raise ValueError(
            f"group={group!r} and attributes={attributes!r} were both passed. Groups are one "
            "column, or made of label and attributes: pass one of these."
        )
    splits = _splits(train, val, test)
    sources = {split: source(at, split) for split, at in splits.items()}
    read = {split: at.labels(label) for split, at in sources.items()}
    _check_names({split: names for split, (_, names) in read.items()})
    labels, names = read["train"]
    if not all(isinstance(label, type(labels[0])) for label in labels):
        raise ValueError(f"Labels are numbers and text: {sorted(set(map(str, labels)))[:10]}.")
    seen = sorted(set(labels))
    target_names = np.array(seen if names is None else names)
    known = {value: k if names is None else value for k, value in enumerate(seen)}
    parts, by = {}, None
    for split, at in sources.items():
        y = coded(read[split][0], known, lambda row, split=split: f"The label of {split}, {row},")
        groups, by = _groups(at, target_names[y], attributes, group)
        parts[split] = at.images(image), y, groups
    return split_bunch(parts, target_names, by)


def _splits(train, val, test):
    """Return the data set of each split, also of a dict or of a whole WILDS data set."""
    whole = hasattr(train, "split_dict") and not hasattr(train, "indices")  # as subsets have
    if not isinstance(train, Mapping) and not whole:
        given = {"train": train, "val": val, "test": test}
        return {split: _ordered(at) for split, at in given.items() if at is not None}
    names = list(train if isinstance(train, Mapping) else train.split_dict)
    if val is not None or test is not None:
        raise ValueError(f"train has splits of its own, {names}; leave val and test out.")
    found, left_out = {}, []
    for name in names:
        split = split_called(name)
        if split is None or split in found:
            left_out.append(name)
        else:
            at = train[name] if isinstance(train, Mapping) else train.get_subset(name)
            found[split] = _ordered(at)
    if "train" not in found:
        raise ValueError(f"There is no split to train on among {names}; call one of them 'train'.")
    if left_out:
        warnings.warn(
            f"The splits {left_out} are neither to train, nor to validate or test, and are left "
            "out.",
            stacklevel=3,
        )
    return {split: found[split] for split in SPLITS if split in found}


def _ordered(dataset):
    return data_set_under(dataset) if is_loader(dataset) else dataset


def _check_names(names):
    """Refuse splits whose numbers stand for other classes."""
    for split, here in names.items():
        if here != names["train"]:
            raise ValueError(
                f"The classes are {_named(names['train'])} in train and {_named(here)} in {split}. "
                "Load all splits with the same classes in the same order."
            )


def _named(names):
    return "without names" if names is None else f"{list(names)[:20]}"


def _groups(at, y, attributes, group):
    """Return the group ids of a split or None, and what they tell apart."""
    if group is not None:
        (values,) = at.attributes([group]).values()
        return np.array(values), str(group)
    if attributes is None:
        return None, None
    listed = attributes if attributes == "auto" else _listed(attributes)
    columns = at.attributes(listed)
    return (groups_from_attributes(y, **columns), ", ".join(columns)) if columns else (None, None)


def _listed(names):
    return [names] if isinstance(names, str | Integral) else list(names)
