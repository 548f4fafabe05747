"""A fitted head as a ``.npz`` file: numbers and text, which no program has to unpickle."""

import re
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_hsfm.__about__ import __version__
from sklearn_hsfm._linear_head import LinearHeadMixin
from sklearn_hsfm.datasets._npz import read_npz
from sklearn_hsfm.extraction._whole_files import whole

_FORMAT = "sklearn_hsfm head 1"
_ARRAYS = ("coef", "intercept", "classes")
_TEXTS = ("format", "version", "backbone", "weights", "backbone_id", "preprocess")


class Head(LinearHeadMixin, ClassifierMixin, BaseEstimator):
    """A head that was read from a file, and which features it is for.

    Attributes
    ----------
    origin_ : dict of str
        "backbone", "weights", "backbone_id" and "preprocess" of the images' features, all
        empty for features that came from a file; "version" of the package.
    """

    def fit(self, X, y):
        """Refuse: scikit-learn wants every estimator to have a fit."""
        raise NotImplementedError("A head of a file is fitted already.")


def save_head(path, clf, origin):
    """Write ``coef_``, ``intercept_`` and ``classes_``, and what made the features."""
    texts = {**dict.fromkeys(_TEXTS, ""), **origin, "format": _FORMAT, "version": __version__}
    with whole(Path(path)) as file:
        np.savez(file, coef=clf.coef_, intercept=clf.intercept_, classes=clf.classes_, **texts)


def load_head(path):
    """Return the `Head` of a file that `save_head` wrote, after checking all that is in it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No head at {path.absolute()}. The command fit writes one.")
    arrays = read_npz(path)
    wanted = {*_ARRAYS, *_TEXTS}
    texts = {name: _text(arrays[name]) for name in _TEXTS if name in arrays}
    if not wanted <= arrays.keys() or texts["format"] != _FORMAT:
        raise ValueError(
            f"{path} is no head: it holds {sorted(arrays)}. Wanted is a file that the command fit "
            "of this version wrote with --out."
        )
    head = Head()
    head.coef_, head.intercept_, head.classes_ = (arrays[k] for k in _ARRAYS)
    _check(path, head.coef_, head.intercept_, head.classes_)
    head.n_features_in_, head.origin_ = head.coef_.shape[1], texts
    return head


def _check(path, coef, intercept, classes):
    """Refuse arrays that are no head, as `LinearHeadMixin` predicts from it."""
    if classes.ndim != 1 or classes.dtype.kind not in "iufbU" or len(set(classes.tolist())) < 2:
        raise ValueError(f"{path} has classes of shape {classes.shape} and dtype {classes.dtype}.")
    n_rows = 1 if len(classes) == 2 else len(classes)
    if coef.ndim != 2 or len(coef) != n_rows or intercept.shape != (n_rows,):
        raise ValueError(
            f"{path} has coef of shape {coef.shape} and intercept of shape {intercept.shape}; for "
            f"{len(classes)} classes they are ({n_rows}, n_features) and ({n_rows},)."
        )
    if any(a.dtype.kind != "f" or not np.isfinite(a).all() for a in (coef, intercept)):
        raise ValueError(f"{path} has coef or intercept that are no finite numbers.")


def origin_of(extractor):
    """Return what makes the features of an extractor with a backbone by name."""
    weights = {"DEFAULT": "default", None: "none"}.get(extractor.weights, "file")
    return {
        "backbone": extractor.backbone,
        "weights": weights,
        "backbone_id": extractor.backbone_id_,
        "preprocess": described(extractor),
    }


def described(extractor):
    """Return the preprocessing of an extractor in words that are the same in each process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(repr(extractor.preprocess_).split()))


def _text(array):
    return str(array) if array.dtype.kind == "U" and array.ndim == 0 else ""
