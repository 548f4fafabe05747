"""Automatic feature reweighting: refit the ERM head on rows of which it is unsure."""

from numbers import Integral, Real
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from sklearn_hsfm import selection as rules
from sklearn_hsfm._choosing.folds import stratified_part
from sklearn_hsfm._compat import Interval, StrOptions, one_or_several
from sklearn_hsfm._init_head import A_HEAD
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import Head, OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import (
    FRACTION,
    NOT_NEGATIVE,
    LastLayerClassifier,
    erm_head,
    with_intercept,
    without_intercept,
)
from sklearn_hsfm.heads._descent import cross_entropy, one_hot

_EVERY = 5  # steps between two candidates of a setting


class AFRClassifier(LastLayerClassifier):
    """Automatic feature reweighting (AFR): retrain the head on samples of which ERM is unsure.

    An ERM head is fitted on most of the training samples. The others are weighted by
    ``exp(-gamma * p)``, p being the probability that this head gives to their class, and the
    head is retrained on them, drawn back to where it started.

    Parameters
    ----------
    gamma : float or tuple of float, default=(4.0, 8.0, 12.0, 20.0)
        How steeply the weights fall with p; of several, validation samples choose.
    reg : float or tuple of float, default=(0.0, 0.1, 0.3)
        Penalty on the squared distance from the ERM head; of several, validation samples choose.
    class_balance : bool, default=True
        Weight classes equally on top.
    holdout : float, default=0.2
        Part of the training samples that the ERM head does not see and that are reweighted.
    init_head : None, estimator, tuple, torch.nn.Linear or network, default=None
        The ERM head, as in `HSFMClassifier`; one that is fitted already has seen all samples.
    solver : {"gd", "lbfgs"}, default="gd"
        Full-batch descent, as published, with a candidate every fifth step, or the minimum.
    lr : float, default=0.01
        Step of descent.
    steps : int, default=500
        Steps of descent.
    clip_norm : float, default=1.0
        Largest gradient norm of a step of descent.
    selection : str or callable, default="auto"
        How validation samples choose step and setting: a rule of `sklearn_hsfm.selection`, or
        "weighted_accuracy", the accuracy with AFR's own weights, which needs no groups. "auto"
        is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the samples to reweight.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    effective_rows_ : float
        ``1 / sum(mu ** 2)``, samples that the weights of the chosen ``gamma`` amount to.
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
    cv_results_ : dict of list
        Every setting, its best candidate, counted from 1, and score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    Notes
    -----
    Fits without groups. Uses validation labels, and validation groups when given, to select.

    Starts at the ERM head, as the published script; the published notebooks add a randomly
    initialised residual head instead.

    References
    ----------
    .. [1] "Simple and Fast Group Robustness by Automatic Feature Reweighting",
       arXiv:2306.11074, 2023.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import AFRClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = AFRClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.6
    True
    """

    effective_rows_: float

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("gamma", "reg")

    _parameter_constraints: dict = {  # noqa: RUF012
        "gamma": one_or_several(NOT_NEGATIVE),
        "reg": one_or_several(NOT_NEGATIVE),
        "class_balance": ["boolean"],
        "holdout": FRACTION,
        "init_head": [None, *A_HEAD],
        "solver": [StrOptions({"gd", "lbfgs"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "steps": [Interval(Integral, 1, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither")],
        "selection": [StrOptions({"auto", "weighted_accuracy", *rules.RULES}), callable],
        "validation_fraction": FRACTION,
        "random_state": ["random_state"],
        "progress": PROGRESS,
    }

    def __init__(
        self,
        *,
        gamma: OneOrSeveral[float] = (4.0, 8.0, 12.0, 20.0),
        reg: OneOrSeveral[float] = (0.0, 0.1, 0.3),
        class_balance: bool = True,
        holdout: float = 0.2,
        init_head: Head | None = None,
        solver: Literal["gd", "lbfgs"] = "gd",
        lr: float = 0.01,
        steps: int = 500,
        clip_norm: float = 1.0,
        selection: Literal["weighted_accuracy"] | Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.gamma = gamma
        self.reg = reg
        self.class_balance = class_balance
        self.holdout = holdout
        self.init_head = init_head
        self.solver = solver
        self.lr = lr
        self.steps = steps
        self.clip_norm = clip_norm
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _prepare(self, rows, rng):
        """Return the ERM head, the rows to reweight, and what ERM gives to their class."""
        held = stratified_part(rows.y, self.holdout, rng)
        fitted = ~held
        for c in range(len(self.classes_)):  # both sides see every class
            of_class = np.flatnonzero(rows.y == c)
            first = of_class[0]
            if len(of_class) == 1:
                held[first] = fitted[first] = True
            elif held[of_class].all() or not held[of_class].any():
                held[first], fitted[first] = fitted[first], held[first]
        fitted, held = np.flatnonzero(fitted), np.flatnonzero(held)
        W = with_intercept(erm_head(self.init_head, rows, fitted, self.classes_))
        X = np.column_stack([rows.X[held], np.ones(len(held))])
        p = softmax(X @ W.T, axis=1)[np.arange(len(held)), rows.y[held]]
        return W, X, rows.y[held], p

    def _heads(self, rows, shared, setting, rng):
        W, X, y, p = shared
        mu = afr_weights(p, y, setting["gamma"], self.class_balance)
        yield without_intercept(_minimum(W, X, y, mu, setting["reg"]))

    def _stacks(self, rows, shared, settings, seed):
        """Yield the heads of all settings; one product with the rows serves all of them."""
        if self.solver == "lbfgs":
            yield from super()._stacks(rows, shared, settings, seed)
            return
        W, X, y, p = shared
        mu = np.array([afr_weights(p, y, s["gamma"], self.class_balance) for s in settings])
        reg = np.array([s["reg"] for s in settings])[:, None, None]
        heads, Y = np.repeat(W[None], len(settings), axis=0), one_hot(y, len(W))
        for step in range(1, self.steps + 1):
            logits = (heads.reshape(-1, X.shape[1]) @ X.T).reshape(*heads.shape[:2], len(X))
            slope = mu[:, None] * cross_entropy(logits, Y)[1]
            gradient = (slope.reshape(-1, len(X)) @ X).reshape(heads.shape)
            gradient += 2 * reg * (heads - W)
            norm = np.linalg.norm(gradient, axis=(1, 2), keepdims=True)
            clip = np.minimum(1.0, self.clip_norm / np.maximum(norm, np.finfo(float).tiny))
            heads = heads - self.lr * clip * gradient
            if step % _EVERY == 0 or step == self.steps:
                yield heads[..., :-1], heads[..., -1]

    def _rule(self, rows, setting):
        if self.selection != "weighted_accuracy":
            return super()._rule(rows, setting)

        def rule(y, log_proba, groups):
            p = np.exp(log_proba[np.arange(len(y)), y])
            mu = afr_weights(p, y, setting["gamma"], self.class_balance)
            return float(mu @ (log_proba.argmax(axis=1) == y))

        return "weighted_accuracy", rule

    def _report(self, shared, chosen):
        _, _, y, p = shared
        mu = afr_weights(p, y, self.best_params_["gamma"], self.class_balance)
        self.effective_rows_ = float(1 / np.sum(mu**2))


def afr_weights(p, y, gamma, class_balance):
    """Return the weights of samples to whose class ERM gives probability ``p``; they sum to 1."""
    log_mu = -gamma * p
    if class_balance:
        log_mu = log_mu - np.log(np.bincount(y)[y])
    return softmax(log_mu)  # which no gamma makes vanish


def _gradient(W, first, X, y, mu, reg):
    """Return the objective, mu-weighted cross-entropy + reg |W - first|^2, and its gradient."""
    log_P = log_softmax(X @ W.T, axis=1)
    rows = np.arange(len(y))
    loss = -mu @ log_P[rows, y] + reg * np.sum((W - first) ** 2)
    error = mu[:, None] * np.exp(log_P)
    error[rows, y] -= mu
    return loss, error.T @ X + 2 * reg * (W - first)


def _minimum(first, X, y, mu, reg):
    def flat(w):
        loss, gradient = _gradient(w.reshape(first.shape), first, X, y, mu, reg)
        return loss, gradient.ravel()

    options = {"maxiter": 10000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(flat, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(first.shape)
