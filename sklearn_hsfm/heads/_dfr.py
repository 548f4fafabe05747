"""Deep feature reweighting: group-balanced, sparse logistic regressions, averaged."""

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.utils.fixes import parse_version

from sklearn_hsfm._choosing.folds import strata
from sklearn_hsfm._compat import Interval, Several, StrOptions
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import fitted_scaler, one_row_per_class
from sklearn_hsfm._progress import PROGRESS, bar
from sklearn_hsfm._typing import Progress, RandomStateLike
from sklearn_hsfm.heads._base import FRACTION, LastLayerClassifier, balanced_rows
from sklearn_hsfm.metrics import worst_group_accuracy_score

_STRENGTHS = [Several(Real, 0, None, closed="neither")]


class DFRClassifier(LastLayerClassifier):
    """Deep feature reweighting (DFR): refit the head on group-balanced samples, many times.

    The samples of one half, cut down to groups of equal size, tune the penalty, judged by the
    worst group of the other half. Then the head is refitted on fresh group-balanced subsets
    of all samples, and the heads are averaged.

    Parameters
    ----------
    variant : {"validation", "train"}, default="validation"
        Samples that the subsets are drawn from. "validation" is DFR^Val_Tr of the paper; "train"
        is DFR^Tr_Tr, tuned on all validation samples.
    balance : {"auto", "group", "class"}, default="auto"
        What subsets are balanced over. "auto" is groups where the samples have them, else, with a
        warning, classes; "group" makes their absence an error.
    Cs : tuple of float, default=(1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
        Inverse strengths of the L1 penalty to try; of equals the first wins.
    n_retrains : int, default=20
        Heads to average. The paper averages 20, and 10 for "train".
    tune_fraction : float, default=0.5
        Part of the samples whose balanced subset tunes; the others score.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out, with its groups, when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the halves and the subsets.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Mean of the heads, on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    C_ : float
        The strength that was chosen.
    scores_ : dict
        Worst-group accuracy of each strength in tuning.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    ClassBalancedClassifier : Needs no groups.

    Notes
    -----
    Uses validation labels and groups, to fit and to select; "train" uses training groups to
    fit and validation groups to select.

    As in the published code, tuning standardises with the balanced subset, the final fits
    with all training features, and the solver is liblinear; more than two classes are fitted
    one against the rest.

    References
    ----------
    .. [1] "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations",
       arXiv:2204.02937, 2022.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import DFRClassifier
    >>> from sklearn_hsfm.metrics import worst_group_accuracy_score
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = DFRClassifier(random_state=0).fit(
    ...     data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val
    ... )
    >>> pred = clf.predict(data.X_test)
    >>> worst_group_accuracy_score(data.y_test, pred, data.groups_test) > 0.8
    True
    """

    C_: float
    scores_: dict[str, Any]

    uses = LabelUse(
        validation_labels=True, validation_groups_fit=True, validation_groups_select=True
    )

    _parameter_constraints: dict = {  # noqa: RUF012
        "variant": [StrOptions({"validation", "train"})],
        "balance": [StrOptions({"auto", "group", "class"})],
        "Cs": _STRENGTHS,
        "n_retrains": [Interval(Integral, 1, None, closed="left")],
        "tune_fraction": FRACTION,
        "validation_fraction": FRACTION,
        "random_state": ["random_state"],
        "progress": PROGRESS,
    }

    def __init__(
        self,
        *,
        variant: Literal["validation", "train"] = "validation",
        balance: Literal["auto", "group", "class"] = "auto",
        Cs: Sequence[float] = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01),
        n_retrains: int = 20,
        tune_fraction: float = 0.5,
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.variant = variant
        self.balance = balance
        self.Cs = Cs
        self.n_retrains = n_retrains
        self.tune_fraction = tune_fraction
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _fit_head(self, rows, rng):
        val = rows.X_val, rows.y_val, self._cells(rows.y_val, rows.groups_val, "validation")
        if self.variant == "validation":
            source, max_iter = val, 100
            order = rng.permutation(len(rows.y_val))
            n_tune = max(1, round(self.tune_fraction * len(order)))
            tune, score = order[:n_tune], order[n_tune:]
            subset, judges = (tuple(a[part] for a in val) for part in (tune, score))
            if len(np.unique(subset[1])) < len(self.classes_) or not len(score):
                subset = judges = val  # too few rows to part
        else:
            source = rows.X, rows.y, self._cells(rows.y, rows.groups, "training")
            subset, judges, max_iter = source, val, 20  # as in the published code
        n_fits = len(self.Cs) + self.n_retrains
        with bar(self.progress, total=n_fits, unit=" fits", desc="DFRClassifier") as shown:
            self.C_ = self._tune(subset, judges, max_iter, rng, shown)
            heads = []
            for _ in range(self.n_retrains):
                heads.append(self._refit(source, self.C_, 100, rng))
                shown.update()
        return tuple(np.mean(part, axis=0) for part in zip(*heads, strict=True))

    def _cells(self, y, groups, which):
        """Return the cell of each row that subsets are balanced over, as one integer."""
        if groups is None or self.balance == "class":
            if self.balance == "group":
                raise ValueError(
                    f"DFRClassifier(balance='group') balances the {which} samples over their "
                    f"groups, and fit got none. Pass groups{'_val' * (which == 'validation')}, "
                    "or take balance='class', which needs none."
                )
            if self.balance == "auto" and which == self.variant.replace("train", "training"):
                warnings.warn(
                    f"fit got no groups of the {which} samples, which DFR balances: they are "
                    "balanced over classes instead. Say balance='class' if that is meant.",
                    stacklevel=5,
                )
            return y
        return strata(y, groups)

    def _tune(self, subset, judges, max_iter, rng, shown):
        """Return the strength that does best on the worst cell of the rows that judge."""
        rows = balanced_rows(subset[2], rng)
        X, y = (a[rows] for a in subset[:2])
        scaler = fitted_scaler(X)
        X_judge, y_judge, cells_judge = judges
        X, X_judge = scaler.transform(X), scaler.transform(X_judge)
        self.scores_ = {}
        for C in self.Cs:
            coef, intercept = sparse_logistic(X, y, len(self.classes_), C, max_iter, rng)
            pred = (X_judge @ coef.T + intercept).argmax(axis=1)
            self.scores_[C] = worst_group_accuracy_score(y_judge, pred, cells_judge)
            shown.update()
        return max(self.scores_, key=self.scores_.get)

    def _refit(self, source, C, max_iter, rng):
        rows = balanced_rows(source[2], rng)
        return sparse_logistic(*(a[rows] for a in source[:2]), len(self.classes_), C, max_iter, rng)


class ClassBalancedClassifier(LastLayerClassifier):
    """Class-balanced last-layer retraining: refit the head on validation samples, no groups.

    A logistic regression on the validation samples, classes weighted equally, whose penalty is
    chosen by cross-validated balanced accuracy.

    Parameters
    ----------
    Cs : tuple of float, default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0)
        Inverse strengths of the L2 penalty to try.
    cv : int, default=5
        Folds; fewer where a class has fewer samples.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the samples that are held out.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    C_ : float
        The strength that was chosen.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    DFRClassifier : Balances groups.
    SELFClassifier : Refits on a few informative samples.

    Notes
    -----
    Uses validation labels. The published form [1]_ draws class-balanced batches for stochastic
    descent; equal class weights are their expectation, with an exact solver.

    References
    ----------
    .. [1] "Towards Last-layer Retraining for Group Robustness with Fewer Annotations",
       arXiv:2309.08534, 2023.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import ClassBalancedClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = ClassBalancedClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.9
    True
    """

    C_: float

    uses = LabelUse(validation_labels=True)

    _parameter_constraints: dict = {  # noqa: RUF012
        "Cs": _STRENGTHS,
        "cv": [Interval(Integral, 2, None, closed="left")],
        "validation_fraction": FRACTION,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        Cs: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        cv: int = 5,
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.Cs = Cs
        self.cv = cv
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit_head(self, rows, rng):
        folds = min(self.cv, int(np.bincount(rows.y_val).min()))
        common = {"class_weight": "balanced", "max_iter": 1000}
        self.C_ = self.Cs[len(self.Cs) // 2]
        if folds > 1 and len(self.Cs) > 1:
            search = LogisticRegressionCV(
                Cs=list(self.Cs), cv=folds, scoring="balanced_accuracy", refit=False, **common
            )
            with warnings.catch_warnings():  # scikit-learn announces changes of its attributes
                warnings.simplefilter("ignore", FutureWarning)
                search.fit(rows.X_val, rows.y_val)
            self.C_ = float(np.ravel(search.C_)[0])
        model = LogisticRegression(C=self.C_, **common).fit(rows.X_val, rows.y_val)
        return one_row_per_class(model.coef_, model.intercept_)


def sparse_logistic(X, y, n_classes, C, max_iter, rng):
    """Return the L1 logistic regression of liblinear as one row a class."""
    if n_classes == 2:
        return one_row_per_class(*_liblinear(X, y, C, max_iter, rng))
    rows = [_liblinear(X, y == c, C, max_iter, rng) for c in range(n_classes)]
    coef, intercept = (np.concatenate(part) for part in zip(*rows, strict=True))
    return coef, intercept


def _liblinear(X, y, C, max_iter, rng):
    new = parse_version(sklearn.__version__) >= parse_version("1.8")
    penalty = {"l1_ratio": 1} if new else {"penalty": "l1"}
    seed = rng.randint(np.iinfo(np.int32).max)
    model = LogisticRegression(
        C=C, solver="liblinear", max_iter=max_iter, random_state=seed, **penalty
    )
    with warnings.catch_warnings():  # the recipe stops early on purpose
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return model.coef_, model.intercept_
