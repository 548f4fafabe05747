"""Linear heads as arrays: predicting with one, their forms, and the way back to torch."""

import numpy as np
from scipy.special import expit, log_softmax
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.extmath import softmax
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import validate_data
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._finite import finite_outputs
from sklearn_hsfm._typing import ArrayLike, Dtype, Linear
from sklearn_hsfm._version import VersionMixin

_AT_ONCE_BYTES = 2**29  # of rows; more are read in chunks
_CHUNK_BYTES = 2**26


class LinearHeadMixin(VersionMixin, DocLinkMixin):
    """Predict from ``coef_``, ``intercept_`` and ``classes_``, in numpy.

    The arrays have the shapes that scikit-learn's linear classifiers give them: one row
    for two classes, one row a class otherwise. A head is linear wherever it was fitted,
    so a fitted model predicts the same on every machine and needs no torch.
    """

    classes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the logits of each sample.

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
        finite_outputs(
            logits,
            lambda row: (
                f"X has values up to {np.abs(X[row]).max():.3g} in sample {row}, whose logits are "
                "not finite numbers."
            ),
        )
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
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

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each sample.

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

    def to_torch(self, dtype: Dtype = "float32") -> Linear:
        """Return the head as a layer of torch, one row a class.

        Parameters
        ----------
        dtype : str or torch.dtype, default="float32"
            Of its numbers, such as that of the network.

        Returns
        -------
        torch.nn.Linear
            From ``n_features_in_`` features to ``n_classes`` logits in the order of ``classes_``,
            whose softmax is `predict_proba`; for two classes, too.

        Raises
        ------
        ValueError
            If ``dtype`` is none of floating point, or does not hold the head.
        """
        check_is_fitted(self)
        return linear_layer(*one_row_per_class(self.coef_, self.intercept_), dtype)


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


def finite_head(coef, intercept, dtype=None):
    """Return a head as it is, or as numbers of a type, if all of it is finite."""
    if dtype is not None:
        with np.errstate(over="ignore"):
            coef, intercept = coef.astype(dtype), intercept.astype(dtype)
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
    with np.errstate(over="ignore", invalid="ignore"):  # `finite_head` says so
        coef = coef / scaler.scale_
        return coef, intercept - coef @ scaler.mean_


def linear_layer(coef, intercept, dtype="float32"):
    """Return a head, one row a class, as an ``nn.Linear``."""
    import torch  # predicting needs none

    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(
            f"dtype={dtype!r} is no floating point type of torch, such as 'float32' or 'bfloat16'."
        )
    weight, bias = (torch.tensor(a, dtype=torch.float64).to(kind) for a in (coef, intercept))
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise ValueError(f"The head has weights up to {abs(coef).max():.3g}, too large for {kind}.")
    # Without weights at first: those would come from torch's global generator.
    layer = torch.nn.utils.skip_init(torch.nn.Linear, weight.shape[1], len(weight), dtype=kind)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
