"""What the loaders of image sets share: one Bunch, counts, and what differs from the paper."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm.metrics import groups_from_attributes

SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {  # as folders, columns and dicts of others have them
    **dict.fromkeys(("0", "tr", "train", "training"), "train"),
    **dict.fromkeys(("1", "va", "val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("2", "te", "test", "testing"), "test"),
}


def image_bunch(rows, target_names, attribute=None, paper=None, source="the paper"):
    """Return the splits of an image set.

    Parameters
    ----------
    rows : dict
        Of each split that there is, (images, y) or (images, y, attribute values), sequences
        of equal length; ``y`` are indices into ``target_names``.
    target_names : sequence of str
    attribute : str, default=None
        What the attribute is called in group ids.
    paper : dict, default=None
        Of each split, the number of images that the paper prints for each group id, or as one
        number.
    source : str
        Where in the paper.

    Returns
    -------
    Bunch
    """
    target_names, parts = np.array(target_names), {}
    for split, (images, y, *values) in rows.items():
        groups, y = None, np.asarray(y, dtype=np.intp)
        if values and values[0] is not None and len(values[0]):
            groups = groups_from_attributes(target_names[y], **{attribute: values[0]})
        parts[split] = images, y, groups
    data = split_bunch(parts, target_names, attribute)
    data.differences = _differences(data.counts, paper or {}, source)
    return data


def split_bunch(parts, target_names, attribute):
    """Return a Bunch of splits.

    ``parts`` has of each split that there is images, indices into ``target_names``, and group
    ids or None; ``attribute`` is what groups tell apart beside the class.
    """
    data = Bunch(target_names=np.array(target_names), attribute=attribute, counts={})
    for split in SPLITS:
        images, y, groups = parts.get(split, (None, None, None))
        data[f"X_{split}"], data[f"y_{split}"], data[f"groups_{split}"] = images, y, groups
        data.counts[split] = 0 if y is None else len(y)
        if groups is not None:
            ids, sizes = np.unique(groups, return_counts=True)
            data.counts[split] = dict(zip(map(str, ids), sizes.tolist(), strict=True))
    return data


def split_called(name):
    """Return which split a name means, or None."""
    return _SPLIT_NAMES.get(str(name).strip().lower())


def coded(values, known, where):
    """Return labels as indices into the classes, which must be among those of training.

    ``known`` is a dict from label to index; ``where`` names a label by its position.
    """
    for row, value in enumerate(values):
        if value not in known:
            raise ValueError(
                f"{where(row)} is {value!r}, which no training sample is; these are "
                f"{_listed(known)}. Remove it, or train on samples of its class."
            )
    return np.array([known[value] for value in values], dtype=np.intp)


def _listed(names):
    names = list(map(repr, names))
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _differences(counts, paper, source):
    found = []
    for split, expected in paper.items():
        here = counts[split]
        if not isinstance(expected, dict):
            expected, here = {"": expected}, {"": here}
        here = here or {}
        for group in sorted(expected.keys() | here.keys()):
            ours, theirs = here.get(group, 0), expected.get(group, 0)
            if ours != theirs:
                what = f"{split}, {group}" if group else split
                found.append(f"{what}: {ours} images here, {theirs} in {source}")
    return found


def folder_with(folder, *needed):
    """Return the folder, or say which of its files is missing."""
    folder = Path(folder)
    for name in needed:
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"{folder.absolute()} has no {name}. Expected there: {', '.join(needed)}."
            )
    return folder
