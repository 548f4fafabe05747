"""Linear heads as arrays: predicting with one, and taking one from elsewhere."""

import numpy as np
from scipy.special import expit, log_softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.extmath import softmax
from sklearn.utils.validation import check_is_fitted, validate_data

_AT_ONCE_BYTES = 2**29  # of rows; more are read in chunks
_CHUNK_BYTES = 2**26


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
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        logits = X @ self.coef_.T + self.intercept_  # (n_samples, 1 or n_classes)
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


def fitted_scaler(X):
    """Return a StandardScaler fitted on rows, of which it copies a chunk at a time if many.

    It gives arrays, whatever the user's ``set_config(transform_output=...)`` says of their own.
    """
    scaler, n_rows = StandardScaler().set_output(transform="default"), len(X)
    if X.nbytes > _AT_ONCE_BYTES:
        n_rows = max(1, _CHUNK_BYTES // X[0].nbytes)
    for rows in gen_batches(len(X), n_rows):
        scaler.partial_fit(X[rows])
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
        coef, intercept = _from_arrays(init_head)
    else:
        coef, intercept = _from_estimator(init_head, X, y, classes)
    _check_shapes(coef, intercept, len(classes), X.shape[1])
    return to_standardized(*one_row_per_class(coef, intercept), scaler)


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
    coef, intercept = (np.asarray(a, dtype=np.float64) for a in pair)
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("init_head contains NaN or infinity; give finite coef, intercept.")
    return coef, intercept


def _from_estimator(estimator, X, y, classes):
    if not hasattr(estimator, "coef_"):
        estimator = clone(estimator).fit(X, classes[y])
    if not hasattr(estimator, "coef_"):
        raise ValueError(
            f"init_head={estimator!r} has no coef_ after fit; it must be a linear "
            "classifier, such as LogisticRegression, or a tuple (coef, intercept)."
        )
    seen = getattr(estimator, "classes_", classes)
    if not np.array_equal(seen, classes):
        raise ValueError(
            f"init_head was fitted on the classes {np.asarray(seen).tolist()}, but y has "
            f"{classes.tolist()}. "
            "Fit it on the same labels, or pass its (coef, intercept) in the order of "
            "np.unique(y)."
        )
    return np.asarray(estimator.coef_, np.float64), np.asarray(estimator.intercept_, np.float64)


def _check_shapes(coef, intercept, n_classes, n_features):
    rows = {n_classes} | ({1} if n_classes == 2 else set())
    intercept = np.atleast_1d(intercept)
    if coef.ndim != 2 or coef.shape[1] != n_features or len(coef) not in rows:
        raise ValueError(
            f"init_head has coef of shape {coef.shape}; X and y want "
            f"({n_classes}, {n_features}): one row a class, one column a feature."
        )
    if intercept.shape != (len(coef),):
        raise ValueError(
            f"init_head has intercept of shape {intercept.shape}; its coef of shape "
            f"{coef.shape} wants ({len(coef)},). For a head without one pass zeros."
        )
