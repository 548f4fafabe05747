"""HSFMClassifier: Algorithm 1 of the HSFM paper behind fit and predict."""

import warnings
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sklearn_hsfm import selection as rules
from sklearn_hsfm._choosing.folds import mined_and_selecting
from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._init_head import A_HEAD, initial_head
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import (
    LinearHeadMixin,
    finite_head,
    fitted_scaler,
    one_row_for_two_classes,
    to_raw,
)
from sklearn_hsfm._typing import ArrayLike, Device, Head, RandomStateLike, Selection
from sklearn_hsfm._validation_set import ValidationSet, check_training_rows, split_validation

_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_COUNT = [Interval(Integral, 1, None, closed="left")]
_FRACTION = Interval(Real, 0, 1, closed="neither")


class HSFMClassifier(LinearHeadMixin, ClassifierMixin, BaseEstimator):
    """Linear classifier, trained on edited samples such that hard samples come out right.

    HSFM [1]_ repairs the last layer of a network that relies on a shortcut. It takes a few
    training samples of each class, the support set, and learns *edits* of their features: such
    that the head, after ``T`` gradient steps on the edited support, has a lower loss on the
    hardest validation samples of each class. Then the head takes ``T`` steps on the support,
    hard samples are chosen anew, and so on (Algorithm 1). Choosing them is called mining.

    Parameters
    ----------
    support_per_class : int, default=32
        Support samples of each class, ``|S|`` per class in the paper, drawn from ``X``. A class
        with fewer samples gives each of them several times, as evenly as possible.
    T : int, default=15
        Inner gradient steps that an edit looks ahead, and steps of the head an epoch.
    KH : int, default=15
        Edits of the support an epoch.
    Khard : int, default=64
        Hard validation samples of each class; a class with fewer gives all.
    epochs : int, default=40
        Rounds of mining, editing and moving the head.
    inner_lr : float, default=3e-4
        Alpha: the rate of the inner gradient steps, and of Adam on the head.
    outer_lr : float, default=0.1
        Eta: the rate of Adam on the support, in units of (standardised) features: about
        how far one edit moves each coordinate.
    standardize : bool, default=True
        Standardise the features with the mean and deviation of ``X``, and fold the scaler
        into ``coef_``. The rates then mean the same for features of any scale. The published
        procedure works on raw features: False.
    init_head : None, estimator, tuple, torch.nn.Linear or network, default=None
        The ERM head to start from. None fits a `LogisticRegression`, with ``C=0.01`` on
        standardised and ``C=1`` on raw features. A linear classifier is taken as it is when
        fitted, else cloned and fitted on ``X, y``; inside a search wrap a fitted one in
        `sklearn.frozen.FrozenEstimator`, since searches clone. A tuple ``(coef, intercept)``
        of shapes (n_classes, n_features) and (n_classes,), arrays or tensors, and an
        ``nn.Linear`` are the last layer of a network. Of a network that is passed itself, the
        last linear layer must be the only one of that shape, and classify ``X`` better than chance.
        Rows are in the order of ``classes_``; those that cannot be are warned of.
    selection : {"auto", "worst_group", "worst_class", "accuracy", "tail_loss", "last"} \
or callable, default="auto"
        The rule of `sklearn_hsfm.selection` that chooses the epoch to keep; of equal epochs
        the last. "auto" is the worst group where ``groups_val`` is given, as published, else
        the worst class. A callable is called as ``rule(y, log_proba, groups)``.
    selection_fraction : float or None, default=1/3
        The part of the validation samples that choose the epoch and are never mined, stratified
        by class and group; a class with one validation sample uses it for both. None lets all
        samples do both, as published: they are memorised, and their scores say little.
    place_threshold : bool, default=True
        For two classes, move the intercept to where the worst class of the samples that choose is
        best, the worst group where ``groups_val`` is given, and choose among the heads so
        moved. It needs 10 such samples of each class, and leaves out samples whose label is likely
        to be wrong, as `HSFMClassifierCV` does. The published procedure has no such step: False.
    validation_fraction : float, default=0.2
        The part of ``X`` that is held out, stratified by class, when ``fit`` gets no
        ``X_val``.
    clip_norm : float or None, default=10.0
        Largest Frobenius norm of the gradient of the support; None never clips.
    device : str or torch.device, default="auto"
        Where to solve: "auto" is the first CUDA device if there is one, else the CPU.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the solve.
    random_state : int, RandomState instance or None, default=None
        Draws the support, and the samples that are held out or choose.
    verbose : int, default=0
        Print a line every ``verbose`` epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights of the chosen epoch, on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts of the chosen epoch, moved by the threshold if that is placed.
    init_coef_, init_intercept_ : ndarray
        The head that the fit started from, in the shapes of ``coef_`` and ``intercept_``.
    support_ : ndarray of shape (n_support, n_features)
        The edited support of the chosen epoch, on the scale of ``X``.
    support_init_ : ndarray of shape (n_support, n_features)
        The samples of ``X`` that it was edited from.
    support_y_ : ndarray of shape (n_support,)
        Their labels.
    support_indices_ : ndarray of shape (n_support,)
        Their indices in ``X``.
    hard_indices_ : ndarray of shape (n_epochs, n_hard)
        The hard set of each epoch: indices into ``X_val``, or into ``X`` where none was given.
    history_ : dict of ndarray of shape (n_epochs + 1,)
        "epoch", "inner_loss" (support, after the head moved), "outer_loss" (hard set, under
        the head that the last edit looked ahead to), "score" (by ``selection_``), "accuracy",
        "worst_class" and, with groups, "worst_group", on the samples that choose, each head at its
        threshold. Epoch 0 is the initial head; it is no candidate.
    best_epoch_ : int
        The chosen epoch, from 1.
    selection_ : str
        The rule that chose it.
    n_iter_ : int
        Epochs that ran.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    paper_settings : Published hyper-parameters.
    sklearn_hsfm.metrics.worst_group_accuracy : Scorer for searches.

    Notes
    -----
    Validation *labels* are used to mine and to choose; validation *groups* only to choose,
    and only when given. The scores of ``history_`` chose the epoch and are optimistic: a
    little with ``selection_fraction``, without bound when the mined samples choose, since with
    more features than hard samples the edits memorise them.

    No pair of rates serves all data. The defaults are gentle: they suit standardised deep
    features. `HSFMClassifierCV` tries several, and averages what is good.

    With ``paper_settings`` and ``standardize=False`` the fit equals the published procedure:
    gradient descent inside, Adam on the support with clipping, one Adam state of the head
    over all epochs. The gradient is exact and in closed form, without automatic
    differentiation.

    References
    ----------
    .. [1] "HSFM: Hard-Set-Guided Feature-Space Meta-Learning for Robust Classification under
       Spurious Correlations", arXiv:2603.29313, 2026.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.metrics import worst_group_accuracy_score
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = HSFMClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> pred = clf.predict(data.X_test)
    >>> worst_group_accuracy_score(data.y_test, pred, data.groups_test) > 0.6
    True
    """

    init_coef_: np.ndarray
    init_intercept_: np.ndarray
    support_: np.ndarray
    support_init_: np.ndarray
    support_y_: np.ndarray
    support_indices_: np.ndarray
    hard_indices_: np.ndarray
    history_: dict[str, np.ndarray]
    best_epoch_: int
    selection_: str
    n_iter_: int

    uses = LabelUse(validation_labels=True, validation_groups_select=True)

    # Requested by default, so that users of metadata routing need no set_fit_request.
    __metadata_request__fit = {"X_val": True, "y_val": True, "groups_val": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "support_per_class": _COUNT,
        "T": _COUNT,
        "KH": _COUNT,
        "Khard": _COUNT,
        "epochs": _COUNT,
        "inner_lr": _POSITIVE,
        "outer_lr": _POSITIVE,
        "standardize": ["boolean"],
        "init_head": [None, *A_HEAD],
        "selection": [StrOptions({"auto", *rules.RULES}), callable],
        "selection_fraction": [None, _FRACTION],
        "place_threshold": ["boolean"],
        "validation_fraction": [_FRACTION],
        "clip_norm": [None, *_POSITIVE],
        "device": "no_validation",  # resolve_device says more
        "dtype": [StrOptions({"float32", "float64"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        support_per_class: int = 32,
        T: int = 15,
        KH: int = 15,
        Khard: int = 64,
        epochs: int = 40,
        inner_lr: float = 3e-4,
        outer_lr: float = 0.1,
        standardize: bool = True,
        init_head: Head | None = None,
        selection: Selection = "auto",
        selection_fraction: float | None = 1 / 3,
        place_threshold: bool = True,
        validation_fraction: float = 0.2,
        clip_norm: float | None = 10.0,
        device: Device = "auto",
        dtype: Literal["float32", "float64"] = "float32",
        random_state: RandomStateLike = None,
        verbose: int = 0,
    ):
        self.support_per_class = support_per_class
        self.T = T
        self.KH = KH
        self.Khard = Khard
        self.epochs = epochs
        self.inner_lr = inner_lr
        self.outer_lr = outer_lr
        self.standardize = standardize
        self.init_head = init_head
        self.selection = selection
        self.selection_fraction = selection_fraction
        self.place_threshold = place_threshold
        self.validation_fraction = validation_fraction
        self.clip_norm = clip_norm
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | ValidationSet | None = None,
        y_val: ArrayLike | None = None,
        *,
        groups_val: ArrayLike | None = None,
    ) -> Self:
        """Edit a support set drawn from ``X`` for the hard samples of ``X_val``.

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
        groups_val : array-like of shape (n_val,) or (n_val, n_groups), default=None
            Validation groups, used to choose the epoch and to stratify the samples that do.

        Returns
        -------
        HSFMClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, ``X_val`` has as many samples
            as ``X`` (see `ValidationSet`), ``y_val`` misses a class or has one more, a rule
            lacks its groups, or ``device`` cannot be used.

        Warns
        -----
        UserWarning
            If ``X_val`` does not look like ``X``, as where it has missed a step of a pipeline.
        ConvergenceWarning
            If the rates are so large that the numbers overflow.
        UserWarning
            If the validation samples are a part of ``X``, in which a shortcut holds as in training.
        """
        from sklearn_hsfm._core.device import resolve_device  # torch is for fitting alone

        X, y = check_training_rows(self, X, y)
        device = resolve_device(self.device)
        rng = check_random_state(self.random_state)
        split = split_validation(
            self, X, y, X_val, y_val, groups_val, self.validation_fraction, rng
        )
        mined, selecting = mined_and_selecting(
            split.y_val, split.groups_val, self.selection_fraction, rng
        )
        record = rules.EpochRecord(
            self.selection,
            split.y_val,
            split.groups_val,
            np.flatnonzero(selecting),
            self.verbose,
            self.place_threshold,
        )
        if X_val is None:
            warnings.warn(
                "HSFMClassifier got no X_val, so the validation samples are a part of X. A "
                "shortcut that holds in X holds in them, and edits that are learned on them may "
                "do harm. Pass samples in which the shortcut often fails, or fit "
                "HSFMClassifierCV, which looks for who is hurt in X alone.",
                stacklevel=3,
            )
        scaler = fitted_scaler(split.X) if self.standardize else None
        head = initial_head(self.init_head, split.X, split.y, self.classes_, scaler)
        support = draw_support(split.y, len(self.classes_), self.support_per_class, rng)
        solution = self._solve(split, support, head, scaler, mined, record, device)
        self._store(solution, split, support, head, scaler, record)
        return self

    def _solve(self, split, support, head, scaler, mined, record, device):
        from sklearn_hsfm._core.problem import Problem
        from sklearn_hsfm._core.rows import rows_of, standardized
        from sklearn_hsfm._core.solve import solve

        problem = Problem.from_arrays(
            standardized(split.X[support], scaler)[None],
            split.y[support],
            [part[None] for part in one_row_for_two_classes(*head)],
            rows_of(split.X_val, scaler, dtype=self.dtype, device=device),
            split.y_val,
            mined[None],
            dtype=self.dtype,
            device=device,
        )
        return solve(
            problem,
            T=[self.T],
            KH=self.KH,
            Khard=[self.Khard],
            epochs=self.epochs,
            inner_lr=[self.inner_lr],
            outer_lr=[self.outer_lr],
            clip_norm=self.clip_norm,
            score=record,
        )

    def _store(self, solution, split, support, head, scaler, record):
        if solution.diverged:
            warnings.warn(
                f"The head stopped being finite in epoch {solution.n_epochs + 1} of "
                f"{self.epochs}; the best epoch before is kept. Lower inner_lr="
                f"{self.inner_lr} or outer_lr={self.outer_lr}, or set standardize=True.",
                ConvergenceWarning,
                stacklevel=3,
            )
        d, dtype = split.X.shape[1], split.X.dtype
        W, H = (t[0].cpu().numpy().astype(np.float64) for t in (solution.W, solution.H))
        threshold = record.thresholds[solution.best_epoch[0]]
        kept = to_raw(W[:, :d], W[:, -1] - threshold, scaler)
        start = to_raw(*one_row_for_two_classes(*head), scaler)
        with np.errstate(over="ignore", invalid="ignore"):
            edited = H[:, :d] if scaler is None else H[:, :d] * scaler.scale_ + scaler.mean_
            self.support_ = edited.astype(dtype)
        self.coef_, self.intercept_ = finite_head(*kept, dtype)
        self.init_coef_, self.init_intercept_ = finite_head(*start, dtype)
        if not np.isfinite(self.support_).all():
            raise ValueError(
                f"The edited support is beyond what {dtype}, the type of X, holds. Lower outer_lr="
                f"{self.outer_lr}, or scale X."
            )
        self.support_init_ = split.X[support]
        self.support_y_ = self.classes_[split.y[support]]
        self.support_indices_ = split.index[support]
        self.hard_indices_ = split.index_val[solution.hard[:, 0].cpu().numpy()]
        self.history_ = {
            "epoch": np.arange(solution.n_epochs + 1),
            "inner_loss": solution.inner_loss[:, 0].cpu().numpy(),
            "outer_loss": solution.outer_loss[:, 0].cpu().numpy(),
            **{name: np.array(values) for name, values in record.values.items()},
        }
        self.best_epoch_ = solution.best_epoch[0]
        self.selection_ = record.name
        self.n_iter_ = solution.n_epochs


def draw_support(y, n_classes, per_class, rng):
    """Return the samples of a class-balanced support set, class after class.

    A class with fewer than ``per_class`` samples gives each as often as any other, give or
    take one: the support stays balanced, and equal samples stay equal under every edit.
    """
    drawn = []
    for c in range(n_classes):
        rows = rng.permutation(np.flatnonzero(y == c))
        drawn.append(np.resize(rows, int(per_class)))
    return np.concatenate(drawn)
