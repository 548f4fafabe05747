"""Features that somebody extracted, from one ``.npz`` file."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, check_consistent_length

_SPLITS = ("train", "val", "test")


def load_features(path):
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
        widened to float32; ``y_*`` : ndarray of shape (n,); ``groups_*`` : ndarray of shape
        (n,), or None; ``head`` : (coef, intercept) or None. A split without rows has None
        for all three.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has neither layout, no training rows, or lengths that differ.

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
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
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
            check_consistent_length(*(a for a in (X, y, groups) if a is not None))
            X = X.astype(np.float32) if X.dtype == np.float16 else X
        bunch.update({f"X_{split}": X, f"y_{split}": y, f"groups_{split}": groups})
    if bunch.X_train is None:
        raise ValueError(f"{path} has no training rows.")
    if {"head_weight", "head_bias"} <= arrays.keys():
        bunch.head = arrays["head_weight"], arrays["head_bias"]
    return bunch


def _from_one_table(arrays):
    columns = [arrays["X"], arrays["y"], arrays.get("group")]
    check_consistent_length(arrays["split"], *(c for c in columns if c is not None))
    unknown = np.setdiff1d(arrays["split"], range(3))
    if len(unknown):
        raise ValueError(
            f"split holds {unknown.tolist()}; it must be 0 (train), 1 (validation) or 2 (test)."
        )
    rows = {s: arrays["split"] == code for code, s in enumerate(_SPLITS)}
    return {s: [None if c is None else c[m] for c in columns] for s, m in rows.items()}
