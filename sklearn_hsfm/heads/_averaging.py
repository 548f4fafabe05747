"""HeadAverager: the straight path between two heads, from average to worst-group accuracy."""

import inspect
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state

from sklearn_hsfm import selection as rules
from sklearn_hsfm._choosing.offsets import calibrated_scale
from sklearn_hsfm._compat import (
    Interval,
    StrOptions,
    _fit_context,
    one_or_several,
)
from sklearn_hsfm._init_head import A_HEAD, given_head
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import (
    LinearHeadMixin,
    finite_head,
    one_row_for_two_classes,
)
from sklearn_hsfm._typing import ArrayLike, Head, OneOrSeveral, RandomStateLike, Selection
from sklearn_hsfm._validation_set import ValidationSet, check_training_rows, split_validation
from sklearn_hsfm.heads._base import disjoint_groups


class HeadAverager(LinearHeadMixin, ClassifierMixin, BaseEstimator):
    """Average two heads: ``(1 - alpha) * first + alpha * second`` (WiSE-FT, BANG).

    Heads are linear, so averaging weights is averaging logits. The path from ERM to a repaired
    head trades average against worst-group accuracy.

    Parameters
    ----------
    first, second : estimator, tuple, torch.nn.Linear or network
        Linear classifiers; fitted ones are taken as they are, others are cloned and fitted. Or
        heads from elsewhere, as ``init_head`` of `HSFMClassifier`.
    alpha : float or tuple of float, default=0.5
        Share of ``second``; of several, validation samples choose, of equals the first.
    balance : {"none", "temperature", "bang"}, default="temperature"
        "none" averages the heads as they are (WiSE-FT). "temperature" first gives each the length
        with the least log-loss on the validation samples, so that an over-confident head does not
        rule. "bang" is balanced averaging as published: ``second`` is fitted on labels that are
        smoothed and on samples that are mixed, which keeps it from being over-confident. It must be
        an estimator that is not fitted yet and whose ``fit`` takes ``sample_weight``.
    label_smoothing : float, default=0.1
        Of "bang": share of a label that is spread evenly over all classes.
    mixup : float, default=0.2
        Of "bang": each sample is mixed with another by a share drawn from Beta(mixup, mixup), and
        so is its label; 0 mixes nothing.
    selection : str or callable, default="auto"
        How validation samples choose ``alpha``: a rule of `sklearn_hsfm.selection`; "auto" is the
        worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the samples that are held out, and what is mixed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    first_, second_ : tuple of ndarray
        The heads that are averaged, (coef, intercept) each, after balancing.
    alpha_ : float
        The share that was used or chosen.
    scores_ : dict
        What the validation samples say of each ``alpha``.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    Notes
    -----
    Uses validation labels, and validation groups when given, to select; besides, what ``first``
    and ``second`` use, which get the validation samples and groups that they have arguments for.

    A soft label is one row for each class that it gives a share to, weighted by that share: the
    same loss to any estimator that is a weighted mean over samples, at ``n_classes`` times the
    samples where labels are smoothed. The strengths that the paper used could not be read, so the
    defaults are common ones. For linear heads on the same features "temperature" does much the same
    and fits nothing anew.

    References
    ----------
    .. [1] "Robust fine-tuning of zero-shot models", arXiv:2109.01903, 2022.
    .. [2] "Spurious Feature Diversification Improves Out-of-distribution Generalization",
       arXiv:2309.17230, 2023.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import ClassBalancedClassifier, HeadAverager
    >>> data = load_digit_dominoes(random_state=0)
    >>> path = HeadAverager(LogisticRegression(), ClassBalancedClassifier(), alpha=(0.0, 0.5, 1.0))
    >>> path = path.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> path.scores_[0.0] < path.scores_[1.0]
    True
    """

    first_: tuple[np.ndarray, np.ndarray]
    second_: tuple[np.ndarray, np.ndarray]
    alpha_: float
    scores_: dict[str, Any]

    uses = LabelUse(validation_labels=True, validation_groups_select=True)

    __metadata_request__fit = {  # noqa: RUF012
        "X_val": True,
        "y_val": True,
        "groups": True,
        "groups_val": True,
    }

    _parameter_constraints: dict = {  # noqa: RUF012
        "first": A_HEAD,
        "second": A_HEAD,
        "alpha": one_or_several(Interval(Real, 0, 1, closed="both")),
        "balance": [StrOptions({"none", "temperature", "bang"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "selection": [StrOptions({"auto", *rules.RULES}), callable],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        first: Head,
        second: Head,
        *,
        alpha: OneOrSeveral[float] = 0.5,
        balance: Literal["none", "temperature", "bang"] = "temperature",
        label_smoothing: float = 0.1,
        mixup: float = 0.2,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.first = first
        self.second = second
        self.alpha = alpha
        self.balance = balance
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
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
        """Fit both heads and average them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features.
        y : array-like of shape (n_samples,)
            Training labels.
        X_val : array-like of shape (n_val, n_features) or ValidationSet, default=None
            Validation features; without them ``validation_fraction`` of ``X`` is held out.
        y_val : array-like of shape (n_val,), default=None
            Validation labels, of every class.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
            Groups of the training samples, for ``first`` and ``second``.
        groups_val : array-like of shape (n_val,) or (n_val, n_groups), default=None
            Groups of the validation samples.

        Returns
        -------
        HeadAverager
            The fitted classifier.

        Raises
        ------
        ValueError
            If the arrays do not fit together, or a head is not linear or of other classes.

        Warns
        -----
        UserWarning
            If ``X_val`` does not look like ``X``, as where it has missed a step of a pipeline.
        """
        rng = check_random_state(self.random_state)
        X, y = check_training_rows(self, X, y)
        if self.balance == "bang":
            _check_takes_weights(self.second)
        if groups is not None:
            disjoint_groups(groups, len(y))  # which says what is wrong with them
        split = split_validation(
            self, X, y, X_val, y_val, groups_val, self.validation_fraction, rng
        )
        known = {"groups_val": split.groups_val}
        if groups is not None:
            known["groups"] = np.asarray(groups)[split.index]
        self.first_, self.second_ = (
            self._balanced(self._head(name, split, known, rng), split)
            for name in ("first", "second")
        )
        name, rule = rules.resolve_rule(self.selection, split.groups_val)
        alphas = self.alpha if isinstance(self.alpha, tuple | list) else (self.alpha,)
        self.scores_ = {}
        for alpha in alphas:
            coef, intercept = self.head_at(alpha)
            log_proba = log_softmax(split.X_val @ coef.T + intercept, axis=1)
            self.scores_[alpha] = float(rule(split.y_val, log_proba, split.groups_val))
        self.selection_ = name
        self.alpha_ = max(self.scores_, key=self.scores_.get)
        head = one_row_for_two_classes(*self.head_at(self.alpha_))
        self.coef_, self.intercept_ = finite_head(*head)
        return self

    def head_at(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the head at a point of the path.

        Parameters
        ----------
        alpha : float
            Share of ``second``; outside of 0 and 1 the path goes on.

        Returns
        -------
        coef : ndarray of shape (n_classes, n_features)
            Weights on raw features.
        intercept : ndarray of shape (n_classes,)
            Intercepts.

        Raises
        ------
        ValueError
            If ``alpha`` is not finite.
        """
        if not np.isfinite(alpha):
            raise ValueError(f"alpha={alpha}; it must be a finite number.")
        pairs = zip(self.first_, self.second_, strict=True)
        return tuple((1 - alpha) * a + alpha * b for a, b in pairs)

    def _head(self, name, split, known, rng):
        """Return a head, of the estimator fitted on the rows of the split if it is not yet."""
        estimator = getattr(self, name)
        if self.balance == "bang" and name == "second":
            n_classes = len(self.classes_)
            rows = softened(split.X, split.y, n_classes, self.label_smoothing, self.mixup, rng)
            return given_head(estimator, *rows[:2], self.classes_, name, sample_weight=rows[2])
        fit = getattr(estimator, "fit", None)
        takes = {} if fit is None else inspect.signature(fit).parameters
        given = {"X_val": split.X_val, "y_val": self.classes_[split.y_val], **known}
        if isinstance(estimator, LinearHeadMixin):  # of this package: any number of rows will do
            held = ValidationSet(given["X_val"], given["y_val"], known["groups_val"])
            given = {**known, "X_val": held, "groups_val": None}
        given = {k: v for k, v in given.items() if k in takes and v is not None}
        return given_head(estimator, split.X, split.y, self.classes_, name, **given)

    def _balanced(self, head, split):
        if self.balance != "temperature":
            return head
        coef, intercept = head
        logits = split.X_val @ coef.T + intercept
        scale = calibrated_scale(
            one_row_for_two_classes(logits.T, np.zeros(len(coef)))[0].T, split.y_val
        )
        return scale * coef, scale * intercept


def _check_takes_weights(second):
    """Refuse what cannot be fitted on soft labels."""
    fit = getattr(second, "fit", None)
    if hasattr(second, "coef_") or fit is None:
        raise ValueError(
            f"balance='bang' fits second on soft labels, and second={second!r} is a head already. "
            "Pass an estimator that is not fitted, or take balance='temperature'."
        )
    if "sample_weight" not in inspect.signature(fit).parameters:
        raise ValueError(
            "balance='bang' fits second on soft labels, which are weighted samples, and "
            f"{type(second).__name__}.fit takes no sample_weight. Pass one that does, such as "
            "LogisticRegression, or take balance='temperature'."
        )


def softened(X, y, n_classes, smoothing, mixup, rng):
    """Return samples with soft labels: features, one class a sample, and weights.

    Of samples of one source the weights add up to 1.
    """
    target = np.eye(n_classes)[y]
    if mixup > 0:
        share, other = rng.beta(mixup, mixup, size=len(y)), rng.permutation(len(y))
        share = share[:, None]
        X = share * X + (1 - share) * X[other]
        target = share * target + (1 - share) * target[other]
    target = (1 - smoothing) * target + smoothing / n_classes
    source, label = np.nonzero(target)
    return X[source], label, target[source, label]
