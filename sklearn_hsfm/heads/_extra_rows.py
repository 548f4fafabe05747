"""Logistic regression on training rows and rows that the user made: DaC, DDB, FFR, DISC."""

from numbers import Real
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm._compat import Interval, _fit_context, validate_data
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._linear_head import LinearHeadMixin, finite_head, fitted_scaler, to_raw
from sklearn_hsfm._looks_alike import warn_unlike
from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm._validation_set import check_training_rows


class ExtraRowsClassifier(LinearHeadMixin, ClassifierMixin, BaseEstimator):
    """ERM on the training samples and on samples that were made from them.

    Methods that generate images retrain the head on them: masked and recombined images (DaC),
    generated ones (DDB, FFR), mixtures with concepts (DISC). Making the images is theirs; give
    their features as ``X_extra``, and the retraining is this.

    Parameters
    ----------
    C : float, default=0.01
        Inverse strength of the L2 penalty on standardised features.
    extra_weight : float, default=1.0
        Weight of an extra sample, where ``fit`` gets none; a training sample has 1. DaC's alpha.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    Notes
    -----
    Uses no labels but those of its samples. Without extra samples it is ERM.

    References
    ----------
    .. [1] "Decompose-and-Compose: A Compositional Approach to Mitigating Spurious
       Correlation", arXiv:2402.18919, 2024.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.heads import ExtraRowsClassifier
    >>> data = make_spurious_features(n_train=200, random_state=0)
    >>> clf = ExtraRowsClassifier(extra_weight=6.0)
    >>> clf = clf.fit(data.X_train, data.y_train, X_extra=data.X_val, y_extra=data.y_val)
    >>> clf.coef_.shape
    (1, 32)
    """

    uses = LabelUse()

    __metadata_request__fit = {  # noqa: RUF012
        "X_extra": True,
        "y_extra": True,
        "extra_weight": True,
    }

    _parameter_constraints: dict = {  # noqa: RUF012
        "C": [Interval(Real, 0, None, closed="neither")],
        "extra_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, *, C: float = 0.01, extra_weight: float = 1.0):
        self.C = C
        self.extra_weight = extra_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_extra: ArrayLike | None = None,
        y_extra: ArrayLike | None = None,
        extra_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the head.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features.
        y : array-like of shape (n_samples,)
            Training labels.
        X_extra : array-like of shape (n_extra, n_features), default=None
            Features of the samples that were made.
        y_extra : array-like of shape (n_extra,), default=None
            Their labels, all of them in ``y``.
        extra_weight : float or array-like of shape (n_extra,), default=None
            Their weights, 0 or more; the parameter of this name where None.

        Returns
        -------
        ExtraRowsClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If only one of ``X_extra`` and ``y_extra`` is given, labels are unknown, or weights
            do not fit.

        Warns
        -----
        UserWarning
            If ``X_extra`` does not look like ``X``, as where it has missed a step of a pipeline.
        """
        X, y = check_training_rows(self, X, y)
        scaler = fitted_scaler(X)
        weight = np.ones(len(y))
        if (X_extra is None) != (y_extra is None):
            raise ValueError("X_extra and y_extra come together; only one of them was passed.")
        if X_extra is not None:
            try:
                X_extra, y_extra = validate_data(self, X_extra, y_extra, reset=False, dtype=X.dtype)
            except ValueError as error:  # scikit-learn calls every array X
                raise ValueError(f"In X_extra, y_extra: {error}") from error
            y_extra = class_indices(y_extra, self.classes_, "y_extra")
            warn_unlike(X, X_extra, "X_extra")
            given = self.extra_weight if extra_weight is None else extra_weight
            extra = _weights(given, len(y_extra))
            weight = np.r_[weight, np.broadcast_to(extra, y_extra.shape)]
            X = np.concatenate([X, X_extra])
            y = np.r_[y, y_extra]
        model = LogisticRegression(C=self.C, max_iter=1000)
        model.fit(scaler.transform(X).astype(np.float64), y, sample_weight=weight)
        self.coef_, self.intercept_ = finite_head(*to_raw(model.coef_, model.intercept_, scaler))
        return self


def _weights(given, n_rows):
    """Return the weights of extra rows: one number, or one for each."""
    try:
        weights = np.asarray(given, dtype=float)
        fits = weights.shape in ((), (n_rows,)) and np.all((weights >= 0) & np.isfinite(weights))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"extra_weight={given!r}; it must be one number, or one for each of the {n_rows} "
            "samples of X_extra, 0 or more and finite."
        )
    return weights
