"""What the loaders of image sets share: one Bunch, counts, and what differs from the paper."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm.metrics import groups_from_attributes

SPLITS = ("train", "val", "test")


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
    data = Bunch(target_names=np.array(target_names), attribute=attribute, counts={})
    for split in SPLITS:
        images, y, values = (*rows.get(split, (None, None)), None)[:3]
        y = None if y is None else np.asarray(y, dtype=np.intp)
        known = values is not None and len(values)
        groups = None
        if known:
            groups = groups_from_attributes(data.target_names[y], **{attribute: values})
        data[f"X_{split}"], data[f"y_{split}"], data[f"groups_{split}"] = images, y, groups
        ids = [] if groups is None else zip(*np.unique(groups, return_counts=True), strict=True)
        size = 0 if y is None else len(y)
        data.counts[split] = {str(g): int(n) for g, n in ids} if known else size
    data.differences = _differences(data.counts, paper or {}, source)
    return data


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
