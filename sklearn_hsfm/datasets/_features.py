"""Features that somebody extracted, from one ``.npz`` file."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, check_consistent_length

from sklearn_hsfm._typing import FilePath
from sklearn_hsfm.datasets._npz import read_npz

_SPLITS = ("train", "val", "test")


def load_features(path: FilePath) -> Bunch:
    """Return the splits of a ``.npz`` file of features.

    Two layouts are read. One table: ``X``, ``y``, ``split`` (0 train, 1 validation, 2 test)
    and, optionally, ``group``. One table a split: ``X_train``, ``y_train`` and, optionally,
    ``group_train``, and the same for ``val`` and ``test``. Either may hold the last layer of
    the network as ``head_weight``, (n_classes, n_features), and ``head_bias``, (n_classes,).

    Parameters
    ----------
    path : str or path-like
        The file. Nothing in it is unpickled.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : ndarray of shape (n, n_features), half precision
        widened to float32, or images as they are; ``y_*`` : ndarray of shape (n,);
        ``groups_*`` : ndarray of shape (n,), or None; ``head`` : (coef, intercept) or None. A
        split without samples has None for all three.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds Python objects, has neither layout, no training samples,
        lengths or widths that differ, or a shape that is none of these.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from sklearn_hsfm.datasets import load_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "features.npz"
    ...     np.savez(path, X=np.eye(3), y=[0, 1, 0], split=[0, 0, 2])
    ...     data = load_features(path)
    >>> data.X_train.shape, data.X_val, data.X_test.shape
    ((2, 3), None, (1, 3))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file of features at {path.absolute()}.")
    arrays = read_npz(path)
    if {"X", "y", "split"} <= arrays.keys():
        tables = _from_one_table(arrays)
    elif {"X_train", "y_train"} <= arrays.keys():
        tables = {s: [arrays.get(f"{k}_{s}") for k in ("X", "y", "group")] for s in _SPLITS}
    else:
        raise ValueError(
            f"{path} holds {sorted(arrays)}; wanted X, y and split (with group, if known), or "
            "X_train and y_train (with group_train, X_val, ...)."
        )

    bunch = Bunch(head=None)
    for split, (X, y, groups) in tables.items():
        if X is None or len(X) == 0:
            X = y = groups = None
        elif y is None:
            raise ValueError(f"{path} has X_{split} but no y_{split}.")
        else:
            _check(path, split, X, y, groups)
            X = X.astype(np.float32) if X.dtype == np.float16 else X
        bunch.update({f"X_{split}": X, f"y_{split}": y, f"groups_{split}": groups})
    if bunch.X_train is None:
        raise ValueError(f"{path} has no training samples.")
    shapes = {s: bunch[f"X_{s}"].shape[1:] for s in _SPLITS if bunch[f"X_{s}"] is not None}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{path} has splits whose samples have several shapes: {shapes}.")
    if {"head_weight", "head_bias"} <= arrays.keys():
        bunch.head = arrays["head_weight"], arrays["head_bias"]
        weight, bias = (array.shape for array in bunch.head)
        if len(weight) != 2 or weight[1:] != bunch.X_train.shape[1:] or bias != weight[:1]:
            raise ValueError(
                f"{path} has head_weight of shape {weight} and head_bias of {bias}; for samples of "
                f"{bunch.X_train.shape[1:]} they are (n_classes, n_features) and (n_classes,)."
            )
    return bunch


def _check(path, split, X, y, groups):
    check_consistent_length(*(a for a in (X, y, groups) if a is not None))
    if X.ndim < 2 or X.dtype.kind not in "fiub":
        raise ValueError(
            f"{path} has X of shape {X.shape} and dtype {X.dtype} to {split}; it must be numbers "
            "of shape (n_samples, n_features), or images."
        )
    if y.ndim != 1:
        raise ValueError(f"{path} has y of shape {y.shape} to {split}; it must be (n_samples,).")


def _from_one_table(arrays):
    columns = [arrays["X"], arrays["y"], arrays.get("group")]
    check_consistent_length(arrays["split"], *(c for c in columns if c is not None))
    unknown = [code for code in np.unique(arrays["split"]).tolist() if code not in range(3)]
    if unknown or arrays["split"].ndim != 1:
        raise ValueError(
            f"split holds {unknown} in shape {arrays['split'].shape}; it must be 0 (train), 1 "
            "(validation) or 2 (test), one for each sample."
        )
    rows = {s: arrays["split"] == code for code, s in enumerate(_SPLITS)}
    return {s: [None if c is None else c[m] for c in columns] for s, m in rows.items()}
