"""One fit of the best setting of a search, to look at; and heads as they are kept."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._choosing.offsets import calibrated_scale
from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._compat import validate_data
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._linear_head import fitted_scaler, to_raw
from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm._validation_set import ValidationSet


class RefitMixin:
    """One fit of what `HSFMClassifierCV` cross-fitted."""

    def refit_best(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | ValidationSet,
        y_val: ArrayLike | None = None,
        *,
        groups_val: ArrayLike | None = None,
    ) -> HSFMClassifier:
        """Return one `HSFMClassifier` of the best setting, whose edits and history can be seen.

        The average is of heads of many supports, of which none is kept. This fits the setting of
        ``best_params_`` once, with a support of its own, and lets it choose its epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features, as ``fit`` got them.
        y : array-like of shape (n_samples,)
            Training labels.
        X_val : array-like of shape (n_val, n_features) or ValidationSet
            Validation features, as ``fit`` got them.
        y_val : array-like of shape (n_val,), default=None
            Validation labels; None where ``X_val`` is a `ValidationSet`.
        groups_val : array-like of shape (n_val,) or (n_val, n_groups), default=None
            Validation groups.

        Returns
        -------
        HSFMClassifier
            Fitted: what displays and `describe_edits` of `sklearn_hsfm.inspection` take. It is one
            of many fits, and reads worse than their average.

        Raises
        ------
        ValueError
            If what was kept are regressions, which have no edits, or ``y`` has other classes.
        """
        check_is_fitted(self)
        setting = self.best_params_
        if setting.get("inner_lr") is None:
            raise ValueError(
                f"{type(self).__name__} kept regressions on reweighted samples ({self.verdict_}), "
                "which edit nothing. For edits pass fit an X_val in which the shortcut often fails "
                "and a scoring such as 'worst_slice', or fit HSFMClassifier."
            )
        X, y = validate_data(self, X, y, reset=False, dtype=[np.float64, np.float32])
        index = class_indices(y, self.classes_, "y")
        scaler = fitted_scaler(X)
        head = self._starts([setting], X, index, scaler)[0]
        single = HSFMClassifier(
            support_per_class=len(self._draw_support(index, np.random.RandomState(0)))
            // len(self.classes_),
            T=setting.get("T", self.T),
            KH=self.KH,
            Khard=setting.get("Khard", self.Khard),
            epochs=self.epochs,
            inner_lr=setting["inner_lr"],
            outer_lr=setting["outer_lr"],
            init_head=to_raw(head[:, :-1], head[:, -1], scaler),
            clip_norm=None,
            device=self.device,
            dtype=self.dtype,
            random_state=self.random_state,
        )
        return single.fit(X, y, X_val, y_val, groups_val=groups_val)


def placed(heads, average, offset, y):
    """Return heads (..., R, d + 1) at the length that calibrates their average, moved by offset.

    ``average`` are its logits (n_samples, R), of samples that it did not mine, after the move.
    """
    scale = calibrated_scale(average, y)
    heads = scale * heads
    heads[..., -1] -= scale * offset
    return heads


def raw_heads(heads, scaler):
    """Return heads (..., R, d + 1) on standardised samples as heads on raw ones."""
    coef, intercept = to_raw(heads[..., :-1], heads[..., -1], scaler)
    return np.concatenate([coef, intercept[..., None]], axis=-1)
