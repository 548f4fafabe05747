"""Just train twice: weigh up the rows that a first head gets wrong."""

import warnings
from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier

from sklearn_hsfm._compat import Interval, StrOptions, one_or_several
from sklearn_hsfm._init_head import cross_fitted_erm
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, RandomStateLike, Selection
from sklearn_hsfm.heads._base import CHOOSING, POSITIVE, LastLayerClassifier, weighted_regression


class JTTClassifier(LastLayerClassifier):
    """Just train twice (JTT): more weight for training samples that a first head misclassifies.

    Parameters
    ----------
    upweight : float or tuple of float, default=(4.0, 20.0, 50.0, 100.0)
        Weight of a sample that the first head gets wrong, on top of 1; of several, validation
        samples choose.
    C : float or tuple of float, default=(0.001, 0.01)
        Inverse strength of the L2 penalty of both heads; of several, validation samples choose
        for the second head, and the first takes the smallest.
    identify : {"cross_fit", "early_stop", "fit"}, default="cross_fit"
        What the first head gets wrong: samples of folds that it did not see; samples after
        ``n_epochs`` epochs of stochastic descent, nearest to the paper; or the samples that it was
        fitted on. On frozen features with more columns than samples the last is often empty.
    n_epochs : int, default=1
        Epochs of "early_stop".
    cv : int, default=5
        Folds of "cross_fit".
    selection : str or callable, default="auto"
        How validation samples choose: a rule of `sklearn_hsfm.selection`; "auto" is the worst
        group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws folds and the order of descent.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    error_set_ : ndarray of shape (n_samples,)
        Mask of the training samples that the first head gets wrong.
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
    cv_results_ : dict of list
        Every setting and its score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    Notes
    -----
    Fits without groups. Uses validation labels, and validation groups when given, to select.

    The published code appends copies of the samples; weights are the same to an exact solver.

    References
    ----------
    .. [1] "Just Train Twice: Improving Group Robustness without Training Group Information",
       arXiv:2107.09044, 2021.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import JTTClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = JTTClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.6
    True
    """

    error_set_: np.ndarray

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("upweight", "C")

    _parameter_constraints: dict = {  # noqa: RUF012
        "upweight": one_or_several(Interval(Real, 0, None, closed="left")),
        "C": one_or_several(POSITIVE),
        "identify": [StrOptions({"cross_fit", "early_stop", "fit"})],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        upweight: OneOrSeveral[float] = (4.0, 20.0, 50.0, 100.0),
        C: OneOrSeveral[float] = (0.001, 0.01),
        identify: Literal["cross_fit", "early_stop", "fit"] = "cross_fit",
        n_epochs: int = 1,
        cv: int = 5,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.upweight = upweight
        self.C = C
        self.identify = identify
        self.n_epochs = n_epochs
        self.cv = cv
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _prepare(self, rows, rng):
        wrong = self._errors(rows, rng)
        if not wrong.any():
            warnings.warn(
                f"The first head gets every sample right (identify={self.identify!r}), so JTT has "
                "nothing to weigh up and is plain ERM. Try identify='cross_fit', or a smaller C.",
                stacklevel=4,
            )
        self.error_set_ = wrong
        return wrong

    def _errors(self, rows, rng):
        C = np.min(self.C)
        if self.identify == "cross_fit":
            return cross_fitted_errors(rows, C, self.cv, rng)
        first = LogisticRegression(C=C, max_iter=1000)
        if self.identify == "early_stop":
            first = SGDClassifier(
                loss="log_loss",
                alpha=1 / (C * len(rows.y)),
                max_iter=self.n_epochs,
                tol=None,
                random_state=rng.randint(np.iinfo(np.int32).max),
            )
        return first.fit(rows.X, rows.y).predict(rows.X) != rows.y

    def _heads(self, rows, wrong, setting, rng):
        yield weighted_regression(rows, setting["C"], 1 + setting["upweight"] * wrong)


def cross_fitted_errors(rows, C, folds, rng):
    """Return which training samples ERM gets wrong that was fitted on other samples."""
    return cross_fitted_erm(rows.X, rows.y, C, folds, rng) != rows.y
