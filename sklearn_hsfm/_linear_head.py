"""Linear heads as arrays: predicting with one, and taking one from elsewhere."""

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit, log_softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.extmath import softmax
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import validate_data

_AT_ONCE_BYTES = 2**29  # of rows; more are read in chunks
_CHUNK_BYTES = 2**26
_OR_A_TUPLE = ", or pass a tuple (coef, intercept) in the order of np.unique(y)"


class LinearHeadMixin:
    """Predict from ``coef_``, ``intercept_`` and ``classes_``, in numpy.

    The arrays have the shapes that scikit-learn's linear classifiers give them: one row
    for two classes, one row a class otherwise. A head is linear wherever it was fitted,
    so a fitted model predicts the same on every machine and needs no torch.
    """

    def decision_function(self, X):
        """Return the logits of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the log-odds of ``classes_[1]``, otherwise one logit a class.

        Raises
        ------
        ValueError
            If values of ``X`` are so large that a logit is not a finite number.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        with np.errstate(over="ignore", invalid="ignore"):
            logits = X @ self.coef_.T + self.intercept_  # (n_samples, 1 or n_classes)
        if not np.isfinite(logits).all():
            row = int((~np.isfinite(logits)).any(axis=1).argmax())
            raise ValueError(
                f"X has values up to {np.abs(X[row]).max():.3g} in row {row}, whose logits are not "
                "finite numbers. Was X transformed as in fit?"
            )
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        logits = self.decision_function(X)
        if logits.ndim == 1:
            positive = expit(logits)
            return np.column_stack([1 - positive, positive])
        return softmax(logits)

    def predict(self, X):
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the kind that ``fit`` was given.
        """
        logits = self.decision_function(X)
        index = logits.argmax(1) if logits.ndim == 2 else (logits > 0).astype(np.intp)
        return self.classes_[index]


def log_probabilities(logits):
    """Return log-probabilities of shape (n_samples, n_classes) for logits (n_samples, R)."""
    if logits.shape[-1] == 1:
        logits = np.concatenate([-logits, logits], axis=-1) / 2
    return log_softmax(logits, axis=-1)


def one_row_per_class(coef, intercept):
    """Return the (n_classes, n_features) and (n_classes,) form of a head."""
    coef, intercept = np.atleast_2d(coef), np.ravel(intercept)
    if len(coef) == 1:  # two classes: the halves differ by the log-odds
        coef, intercept = np.vstack([-coef, coef]) / 2, np.r_[-intercept, intercept] / 2
    return coef, intercept


def one_row_for_two_classes(coef, intercept):
    """Return the form that `LinearHeadMixin` stores; the inverse of the function above."""
    if len(coef) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    return coef, intercept


def finite_head(coef, intercept):
    """Return a head as it is, if all of it is finite."""
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(
            "The head that was fitted on X is not finite: its weights are beyond what "
            f"{coef.dtype} holds. Scale X, and lower the rates if there are any."
        )
    return coef, intercept


def fitted_scaler(X):
    """Return a StandardScaler fitted on rows, of which it copies a chunk at a time if many.

    It gives arrays, whatever the user's ``set_config(transform_output=...)`` says of their own.
    Values whose squares overflow are an error: they would all be standardised to nothing.
    """
    scaler, n_rows = StandardScaler().set_output(transform="default"), len(X)
    if X.nbytes > _AT_ONCE_BYTES:
        n_rows = max(1, _CHUNK_BYTES // X[0].nbytes)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in gen_batches(len(X), n_rows):
            scaler.partial_fit(X[rows])
    infinite = ~np.isfinite(scaler.var_)
    if infinite.any():
        j = int(infinite.argmax())
        raise ValueError(
            f"Feature {j} of X has values up to {np.abs(X[:, j]).max():.3g}, whose spread is not a "
            "finite number; scale it down."
        )
    return scaler


def to_standardized(coef, intercept, scaler):
    """Return the head that does on standardised rows what this one does on raw rows."""
    if scaler is None:
        return coef, intercept
    return coef * scaler.scale_, intercept + coef @ scaler.mean_


def to_raw(coef, intercept, scaler):
    """Return the head that does on raw rows what this one does on standardised rows."""
    if scaler is None:
        return coef, intercept
    coef = coef / scaler.scale_
    return coef, intercept - coef @ scaler.mean_


def initial_head(init_head, X, y, classes, scaler):
    """Return the head to start from, in the units of the (standardised) features.

    Parameters
    ----------
    init_head : None, estimator or tuple
        As in `HSFMClassifier`.
    X : ndarray of shape (n_samples, n_features)
        Raw training features.
    y : ndarray of shape (n_samples,)
        Training labels as indices into ``classes``.
    classes : ndarray of shape (n_classes,)
    scaler : StandardScaler or None

    Returns
    -------
    coef : ndarray of shape (n_classes, n_features)
    intercept : ndarray of shape (n_classes,)
    """
    if init_head is None:
        model = default_head(standardized=scaler is not None)
        model.fit(X if scaler is None else scaler.transform(X), y)
        return one_row_per_class(model.coef_, model.intercept_)
    if isinstance(init_head, tuple | list):
        pair = _from_arrays(init_head)
    else:
        pair = head_of(init_head, X, y, classes, "init_head", _OR_A_TUPLE)
    head = checked_head(pair, len(classes), X.shape[1], "init_head")
    return to_standardized(*head, scaler)


def default_head(*, standardized):
    """Return the unfitted ERM head that ``init_head=None`` stands for."""
    # Standardised features of a deep network separate the training rows, so the penalty
    # sets the norm of the head; raw features keep scikit-learn's default.
    return LogisticRegression(C=0.01 if standardized else 1.0, max_iter=1000)


def _from_arrays(pair):
    if len(pair) != 2:
        raise ValueError(
            f"init_head has {len(pair)} elements; as a tuple it must be (coef, intercept)."
        )
    return pair


def head_of(estimator, X, y, classes, name, advice="", **known):
    """Return the head of a linear classifier, fitted on rows if it is not yet, as it stores it.

    ``name`` is the parameter that it came as, ``advice`` ends errors; ``known`` is for ``fit``.
    """
    if not hasattr(estimator, "coef_"):
        estimator = clone(estimator).fit(X, classes[y], **known)
    if not (hasattr(estimator, "coef_") and hasattr(estimator, "classes_")):
        raise ValueError(
            f"{name}={estimator!r} has no coef_ and classes_ after fit; it must be a linear "
            f"classifier, such as LogisticRegression{advice}."
        )
    seen = np.asarray(estimator.classes_)
    if not np.array_equal(seen, classes):
        raise ValueError(
            f"{name} was fitted on the classes {seen.tolist()}, but y has {classes.tolist()}. "
            f"Fit it on the same labels{advice}."
        )
    return estimator.coef_, estimator.intercept_


def checked_head(pair, n_classes, n_features, name):
    """Return (coef, intercept), one row a class, after checking that they are such a head."""
    coef, intercept = _as_numbers(pair, name)
    _check_shapes(coef, intercept, n_classes, n_features, name)
    return one_row_per_class(coef, intercept)


def _as_numbers(pair, name):
    """Return (coef, intercept) as arrays of finite numbers."""
    try:
        # scikit-learn's sparsify() makes coef_ a sparse matrix.
        coef, intercept = (
            np.asarray(a.toarray() if issparse(a) else a, dtype=np.float64) for a in pair
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no head (coef, intercept) of numbers: {error}") from error
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(f"{name} contains NaN or infinity; give finite coef, intercept.")
    return coef, intercept


def _check_shapes(coef, intercept, n_classes, n_features, name):
    rows = {n_classes} | ({1} if n_classes == 2 else set())
    intercept = np.atleast_1d(intercept)
    if coef.ndim != 2 or coef.shape[1] != n_features or len(coef) not in rows:
        raise ValueError(
            f"{name} has coef of shape {coef.shape}; X and y want "
            f"({n_classes}, {n_features}): one row a class, one column a feature."
        )
    if intercept.shape != (len(coef),):
        raise ValueError(
            f"{name} has intercept of shape {intercept.shape}; its coef of shape "
            f"{coef.shape} wants ({len(coef)},). For a head without one pass zeros."
        )
