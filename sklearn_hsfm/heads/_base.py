"""What the last-layer methods share: inputs, scaler, what they use, choosing among heads."""

import warnings
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from sklearn_hsfm import selection as rules
from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._init_head import initial_head
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import (
    LinearHeadMixin,
    finite_head,
    fitted_scaler,
    one_row_for_two_classes,
    one_row_per_class,
    to_raw,
)
from sklearn_hsfm._progress import bar
from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm._validation_set import ValidationSet, check_training_rows, split_validation
from sklearn_hsfm.metrics._groups import group_membership

POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = [Interval(Integral, 1, None, closed="left")]
FRACTION = [Interval(Real, 0, 1, closed="neither")]
# Constraints of what every method that lets validation rows choose has.
CHOOSING: dict = {
    "selection": [StrOptions({"auto", *rules.RULES}), callable],
    "validation_fraction": FRACTION,
    "random_state": ["random_state"],
}


class Rows(NamedTuple):
    """What a method fits: features in units of the training samples, labels as indices."""

    X: np.ndarray  # (n_train, n_features) standardised
    y: np.ndarray  # (n_train,)
    groups: np.ndarray | None  # (n_train,) group indices
    X_val: np.ndarray  # (n_val, n_features) standardised likewise
    y_val: np.ndarray  # (n_val,)
    groups_val: np.ndarray | None  # (n_val, n_groups) bool
    scaler: StandardScaler  # of the training rows


class LastLayerClassifier(LinearHeadMixin, ClassifierMixin, BaseEstimator):
    """Base of the last-layer methods.

    A subclass names in ``uses`` the labels that it uses, in ``_tuned`` the parameters that may
    be tuples of values to choose from, and yields in ``_heads`` the heads to choose from, those
    of an iterative method in the order of its epochs, or in ``_stacks`` those of all settings
    at once. A method that chooses in a way of its own overrides ``_fit_head``.
    """

    selection_: str
    best_params_: dict[str, Any]
    best_epoch_: int
    best_score_: float
    cv_results_: dict[str, list]

    uses = LabelUse()
    _tuned: tuple = ()

    # Requested by default, so that users of metadata routing need no set_fit_request.
    __metadata_request__fit = {  # noqa: RUF012
        "X_val": True,
        "y_val": True,
        "groups": True,
        "groups_val": True,
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | ValidationSet | None = None,
        y_val: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        groups_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the head.

        Labels that ``uses`` does not name are checked and otherwise ignored, so that all
        methods are called alike.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features.
        y : array-like of shape (n_samples,)
            Training labels.
        X_val : array-like of shape (n_val, n_features) or ValidationSet, default=None
            Validation features; without them ``validation_fraction`` of ``X`` is held out,
            with its groups.
        y_val : array-like of shape (n_val,), default=None
            Validation labels, of every class.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
            Groups of the training samples: ids of any kind, or boolean membership. Each sample is
            in one group.
        groups_val : array-like of shape (n_val,) or (n_val, n_groups), default=None
            Groups of the validation samples.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, labels that the method needs are
            missing, or no head is finite.

        Warns
        -----
        UserWarning
            If ``X_val`` does not look like ``X``, as where it has missed a step of a pipeline.
        ConvergenceWarning
            If the heads of some settings overflow.
        """
        rng = check_random_state(self.random_state)
        rows = self._check_rows(X, y, X_val, y_val, groups, groups_val, rng)
        head = to_raw(*self._fit_head(rows, rng), rows.scaler)
        self.coef_, self.intercept_ = finite_head(*one_row_for_two_classes(*head))
        return self

    def _check_rows(self, X, y, X_val, y_val, groups, groups_val, rng):
        """Return the `Rows` to fit."""
        split, index = checked_split(self, X, y, X_val, y_val, groups, groups_val, rng)
        scaler = fitted_scaler(split.X)
        Z, Z_val = (scaler.transform(part).astype(np.float64) for part in (split.X, split.X_val))
        return Rows(Z, split.y, index, Z_val, split.y_val, split.groups_val, scaler)

    def _fit_head(self, rows, rng):
        """Return the head to keep, one row a class."""
        return self._choose(rows, self._prepare(rows, rng), rng)

    def _choose(self, rows, shared, rng):
        """Return the head, of all settings and epochs, that does best on the validation rows."""
        seed = rng.randint(np.iinfo(np.int32).max)  # one for all settings: equal draws
        values = {name: getattr(self, name) for name in self._tuned}
        grid = {n: v if isinstance(v, tuple | list) else (v,) for n, v in values.items()}
        settings = list(ParameterGrid(grid))
        names, rules_of = zip(*(self._rule(rows, setting) for setting in settings), strict=True)
        best = [(-np.inf, 0, None)] * len(settings)  # score, epoch, head
        stacks = self._stacks(rows, shared, settings, seed)
        # Heads that are quick have no parameter for it.
        progress = getattr(self, "progress", False)
        stacks = bar(progress, stacks, unit=" epochs", desc=type(self).__name__)
        finite = np.ones(len(settings), dtype=bool)
        # Heads that overflow are said once, below.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for epoch, (coef, intercept) in enumerate(stacks, start=1):
                logits = rows.X_val @ coef.reshape(-1, coef.shape[2]).T + intercept.ravel()
                for i, part in enumerate(np.split(logits, len(settings), axis=1)):
                    finite[i] = np.isfinite(part).all() and np.isfinite(coef[i]).all()
                    if not finite[i]:
                        continue
                    log_proba = log_softmax(part, axis=1)
                    score = float(rules_of[i](rows.y_val, log_proba, rows.groups_val))
                    if score >= best[i][0]:  # of equal epochs the last, as HSFMClassifier does
                        best[i] = score, epoch, (coef[i].copy(), intercept[i].copy())
        scores, epochs, heads = map(list, zip(*best, strict=True))
        if max(scores) == -np.inf:
            raise ValueError(
                f"No epoch of any setting of {values} has a head that is finite and a score on the "
                "validation samples that is. Lower the rates and penalties, or scale X."
            )
        if not finite.all():
            overflown = [s for s, kept in zip(settings, finite, strict=True) if not kept]
            warnings.warn(
                f"The heads of {len(overflown)} of {len(settings)} settings stopped being finite, "
                f"first of {overflown[0]}; their epochs before were candidates. Lower the rates "
                "and penalties.",
                ConvergenceWarning,
                stacklevel=5,
            )
        chosen = int(np.argmax(scores))  # of equal settings the first
        self.cv_results_ = {"params": settings, "score": scores, "epoch": epochs}
        self.selection_, self.best_params_ = names[chosen], settings[chosen]
        self.best_score_, self.best_epoch_ = scores[chosen], epochs[chosen]
        self._report(shared, chosen)
        return heads[chosen]

    def _rule(self, rows, setting):
        """Return the name and the function of the rule that chooses."""
        return rules.resolve_rule(self.selection, rows.groups_val)

    def _report(self, shared, chosen):
        """Keep what a user may want to see of the chosen setting, given by its index."""

    def _prepare(self, rows, rng):
        """Return what the settings share."""

    def _stacks(self, rows, shared, settings, seed):
        """Yield the heads of all settings, epoch by epoch, so that no epoch has to be kept.

        ``coef`` (n_settings, n_classes, n_features) and ``intercept`` (n_settings, n_classes).
        What draws draws from ``seed``, the same for every setting.
        """
        each = (self._heads(rows, shared, s, np.random.RandomState(seed)) for s in settings)
        for heads in zip(*each, strict=True):
            yield tuple(map(np.stack, zip(*heads, strict=True)))

    def _heads(self, rows, shared, setting, rng):
        """Yield heads, (coef, intercept) with one row a class, of one setting."""
        raise NotImplementedError


def checked_split(estimator, X, y, X_val, y_val, groups, groups_val, rng):
    """Return the checked `Split`, and the group index of each training sample or None.

    Without ``X_val`` samples are held out, and bring their groups.
    """
    X, y = check_training_rows(estimator, X, y)
    index = None if groups is None else disjoint_groups(groups, len(y))
    fraction = estimator.validation_fraction
    split = split_validation(estimator, X, y, X_val, y_val, groups_val, fraction, rng)
    if index is not None and X_val is None:
        held = index[split.index_val]
        split = split._replace(groups_val=held[:, None] == np.unique(held))
        index = index[split.index]
    return split, index


def weighted_regression(rows, C, weight):
    """Return the logistic regression of weighted training samples, one row a class."""
    model = LogisticRegression(C=C, max_iter=1000).fit(rows.X, rows.y, sample_weight=weight)
    return one_row_per_class(model.coef_, model.intercept_)


def erm_head(init_head, rows, part, classes):
    """Return the head of ERM on a part of the training samples, one row a class, standardised."""
    X = rows.scaler.inverse_transform(rows.X[part])  # what init_head is in units of
    return initial_head(init_head, X, rows.y[part], classes, rows.scaler)


def disjoint_groups(groups, n_samples):
    """Return one group index a sample, or say which samples are in none or in several groups."""
    names, member = group_membership(groups, n_samples)
    count = member.sum(axis=1, dtype=int)
    if (count != 1).any():
        row = int((count != 1).argmax())
        raise ValueError(
            f"groups puts sample {row} into {count[row]} of {len(names)} groups; a method that "
            "trains on groups needs each sample in exactly one. Pass one id a sample."
        )
    return member.indices.astype(np.intp)


def balanced_rows(cells, rng, at_most=None):
    """Return samples that hold as many of every cell as the smallest has, ``at_most`` in all."""
    members = [rng.permutation(np.flatnonzero(cells == c)) for c in np.unique(cells)]
    size = min(map(len, members))
    if at_most is not None:
        size = min(size, max(1, at_most // len(members)))
    return np.concatenate([m[:size] for m in members])


def with_intercept(head):
    """Return a head as one array (n_classes, n_features + 1), intercept last."""
    return np.column_stack(head)


def without_intercept(W):
    """Return (coef, intercept) of an array (n_classes, n_features + 1)."""
    return W[:, :-1].copy(), W[:, -1].copy()
