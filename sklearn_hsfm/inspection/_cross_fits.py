"""Heads of several kinds, cross-fitted: what they say of samples that they did not see."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._linear_head import fitted_scaler
from sklearn_hsfm._parallel import one_blas_thread, results
from sklearn_hsfm._progress import bar
from sklearn_hsfm._reweighting import SAFE
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.discovery._cross_fit import class_balanced, fitted_head, logits_of

ERM, BALANCED = "ERM", "class-balanced"


class Judged(NamedTuple):
    """What heads say of samples that they did not see."""

    logits: dict  # of each method (n_samples, R), the mean over repeats
    spread: np.ndarray  # (n_samples,) deviation over the heads of the last method; NaN of one
    found: list  # of each split, whether a second population was found among what was fitted


def is_fitted(estimator):
    """Return whether an estimator says that it is fitted."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def logits_of_estimator(estimator, X):
    """Return the logits (n_samples, R) of a fitted classifier, one column for two classes."""
    if hasattr(estimator, "decision_function"):
        logits = np.asarray(estimator.decision_function(X), dtype=float)
        if logits.ndim == 1:
            logits = logits[:, None]
    elif hasattr(estimator, "predict_proba"):
        tiny = np.finfo(float).tiny
        logits = np.log(np.maximum(np.asarray(estimator.predict_proba(X), dtype=float), tiny))
        if logits.shape[1] == 2:
            logits = logits[:, 1:] - logits[:, :1]
    else:
        raise ValueError(
            f"{type(estimator).__name__} has neither decision_function nor predict_proba: nothing "
            "says how sure it is. Audit a classifier that has one of them."
        )
    width = 1 if len(estimator.classes_) == 2 else len(estimator.classes_)
    if logits.shape != (len(X), width) or not np.isfinite(logits).all():
        raise ValueError(
            f"The decisions of {type(estimator).__name__} have shape {logits.shape}, or are not "
            f"finite; finite ones of shape ({len(X)}, {width}) are wanted."
        )
    return logits


def cross_fits(estimator, name, X, y, classes, folds, rng, *, n_jobs, progress):
    """Return what plain, class-balanced and ``estimator``'s heads say, as `Judged`.

    Parameters
    ----------
    estimator : classifier or None
        Unfitted, cloned for each split; None fits the first two alone.
    name : str
        What its decisions are called.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        Class indices.
    classes : ndarray of shape (n_classes,)
    folds : ndarray of shape (n_repeats, n_samples)
    rng : RandomState
        Seeds estimators whose ``random_state`` is None, and finders.
    n_jobs : int or None
    progress : "auto" or bool
    """
    splits = [fold == k for fold in folds for k in range(fold.max() + 1)]
    seeds = rng.randint(np.iinfo(np.int32).max, size=len(splits))
    tasks = [
        delayed(_judge)(estimator, X, y, classes, held, int(seed))
        for held, seed in zip(splits, seeds, strict=True)
    ]
    R = 1 if len(classes) == 2 else len(classes)
    methods = [ERM, BALANCED] + [name] * (estimator is not None)
    logits = {method: np.zeros((len(y), R)) for method in methods}
    total, found = np.zeros((3, len(y), R)), []
    with bar(progress, total=len(splits), unit=" fits", desc="audit") as shown:
        for held, of_split in zip(splits, results(tasks, n_jobs), strict=True):
            said, every, answer = of_split
            for method, z in zip(logits, said, strict=True):
                logits[method][held] += z / len(folds)
            for moment, part in zip(total, (every**0, every, every**2), strict=True):
                moment[held] += part.sum(axis=0)
            found.append(answer)
            shown.update()
    n, mean = total[0], total[1] / total[0]
    variance = np.maximum(total[2] / n - mean**2, 0)
    of_column = np.where(n > 1, np.sqrt(variance), np.nan)  # (n_samples, R)
    said = list(logits.values())[-1].argmax(axis=1)  # 0 for two classes
    return Judged(logits, of_column[np.arange(len(y)), said], found)


def _judge(estimator, X, y, classes, held, seed):
    """Return logits of the methods, of all heads of the last, and whether one was found."""
    (A, b), B = (X[~held], y[~held]), X[held]
    scaler = fitted_scaler(A)
    Z, Z_held = scaler.transform(A), scaler.transform(B)
    plain = LogisticRegression(C=SAFE, max_iter=1000)
    with one_blas_thread():
        plain.fit(Z, b)
    balanced = fitted_head(Z, b, class_balanced(b), SAFE)
    said = [logits_of(Z_held, np.column_stack([plain.coef_, plain.intercept_]))]
    said.append(logits_of(Z_held, balanced))
    finder = None
    if estimator is not None:
        estimator = clone(estimator)
        known = estimator.get_params(deep=False)
        if "random_state" in known and known["random_state"] is None:
            estimator.set_params(random_state=seed)
        if "progress" in known:
            estimator.set_params(progress=False)
        with warnings.catch_warnings():
            # The audit says itself what every fit would say.
            warnings.filterwarnings("ignore", "HSFMClassifier", UserWarning)
            estimator.fit(A, classes[b])
        said.append(logits_of_estimator(estimator, B))
        finder = getattr(estimator, "finder_", None)
    if finder is None:
        finder = ShortcutFinder(random_state=seed).fit(A, b)
    heads = getattr(estimator, "heads_", None)
    every = said[-1][None]
    if heads is not None:
        every = np.array([logits_of(B, head) for head in heads.astype(float)])
    return said, every, finder.found_
