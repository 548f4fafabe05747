"""Validation samples other than the file's: fewer, balanced, skewed, mislabelled, rescaled."""

import numpy as np
from sklearn.model_selection import train_test_split

AS_GIVEN = "as given"
NONE = "none"


def with_rows(data, what, seed):
    """Return data with other validation samples (or another scale of all features).

    ``what`` is "as given", "none", "balanced" (every group as often as the smallest), "skewed"
    (groups as unequal as in training), "1/2", "1/4", "1/8" (a stratified part), "10 % flipped"
    (labels of that share of the validation samples, and groups with them) or "x20" (all features).
    """
    if what == AS_GIVEN:
        return data
    if what == NONE:
        data.X_val = data.y_val = data.groups_val = None
        return data
    rng = np.random.RandomState(seed)
    if what.endswith("flipped"):
        return flipped(data, float(what.split()[0]) / 100, rng)
    if what.startswith("x"):
        return rescaled(data, float(what[1:]))
    if what == "balanced":
        kept = drawn(data.groups_val, dict.fromkeys(np.unique(data.groups_val).tolist(), 1), rng)
    elif what == "skewed":
        kept = skewed(data, rng)
    else:
        part = 1 / int(what.removeprefix("1/"))
        everyone = np.arange(len(data.y_val))
        kept, _ = train_test_split(
            everyone, train_size=part, stratify=data.groups_val, random_state=rng
        )
    for key in ("X_val", "y_val", "groups_val"):
        data[key] = data[key][kept]
    return data


def skewed(data, rng, part=1.0):
    """Return validation samples whose groups are as unequal as in training; see `drawn`."""
    ids, shares = np.unique(data.groups_train, return_counts=True)
    return drawn(data.groups_val, dict(zip(ids.tolist(), shares, strict=True)), rng, part)


def drawn(groups, shares, rng, part=1.0):
    """Return rows whose groups have these shares, as many as there can be, times ``part``.

    Two rows of each group at least.
    """
    rows = {g: rng.permutation(np.flatnonzero(groups == g)) for g in shares}
    scale = part * min(len(rows[g]) / share for g, share in shares.items())
    return np.concatenate([rows[g][: max(2, round(scale * s))] for g, s in shares.items()])


def flipped(data, share, rng):
    """Return data in which validation samples, drawn at random, have another class.

    A row moves to the group of its new class with the same attribute: who labels wrongly gets
    the group wrong as well. Two classes and two attributes, groups in the order of the classes.
    """
    classes, y = np.unique(data.y_val, return_inverse=True)
    ids, group = np.unique(data.groups_val, return_inverse=True)
    if len(classes) != 2 or len(ids) != 4:
        raise ValueError(f"flipped wants two classes and four groups; got {classes} and {ids}.")
    wrong = rng.permutation(len(y))[: round(share * len(y))]
    y[wrong] = 1 - y[wrong]
    group[wrong] = (group[wrong] + 2) % 4
    data.y_val, data.groups_val = classes[y], ids[group]
    return data


def rescaled(data, factor):
    """Return data with all features, and the head on them, in other units."""
    for split in ("train", "val", "test"):
        if data[f"X_{split}"] is not None:
            data[f"X_{split}"] = data[f"X_{split}"] * np.float32(factor)
    if data.head is not None:
        data.head = data.head[0] / factor, data.head[1]
    return data
