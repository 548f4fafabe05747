"""HSFMClassifierCV: cross-fitted settings, the good ones averaged, nothing to tune."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm import selection
from sklearn_hsfm._choosing.candidates import (
    OF_CELLS,
    choose,
    default_judge,
    doubts,
    normalized,
)
from sklearn_hsfm._choosing.cells import class_cells
from sklearn_hsfm._choosing.folds import cross_fit_folds
from sklearn_hsfm._choosing.offsets import best_offset
from sklearn_hsfm._choosing.race import EVERY, Race
from sklearn_hsfm._classifier import draw_support
from sklearn_hsfm._compat import Interval, StrOptions, _fit_context, validate_data
from sklearn_hsfm._init_head import A_HEAD, initial_head
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import (
    LinearHeadMixin,
    finite_head,
    fitted_scaler,
    one_row_for_two_classes,
)
from sklearn_hsfm._parallel import one_blas_thread
from sklearn_hsfm._param_grid import settings_of
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._refit import RefitMixin, placed, raw_heads
from sklearn_hsfm._reweighting import (
    BALANCED,
    balanced_regressions,
    pooled,
    repair_by_finding,
    repair_by_groups,
    validation_differs,
)
from sklearn_hsfm._typing import ArrayLike, Device, Head, Progress, RandomStateLike
from sklearn_hsfm._validation_set import ValidationSet, check_training_rows, split_validation
from sklearn_hsfm._verdict import VerdictMixin
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.metrics._groups import group_membership

_COUNT = [Interval(Integral, 1, None, closed="left")]
_DEFAULT_GRID = {"C": [1e-3, 1e-2, 1e-1], "inner_lr": [1e-3, 1e-2], "outer_lr": [0.2]}
_REQUIRED = {"C", "inner_lr", "outer_lr"}


class HSFMClassifierCV(RefitMixin, VerdictMixin, LinearHeadMixin, ClassifierMixin, BaseEstimator):
    """HSFM with nothing to tune: finds the samples that a shortcut hurts, and repairs the head.

    What is done depends on the data:

    * *Validation samples in which the shortcut often fails*, so that ERM is worse on them than on
      training samples. They are cut into folds. Every setting of ``param_grid`` is a fit of
      `HSFMClassifier` whose hard samples are of all folds but one, and its heads are scored on
      the fold that is left out, at every second epoch: what was mined is memorised, so it judges
      no head. Repeats draw new folds and support sets. All heads within half a standard error of
      the best are averaged, which is exact since heads are linear, and the intercept of the
      average is placed on out-of-fold logits.
    * *No validation samples, or ones on which ERM is as good as on training samples.* A
      `sklearn_hsfm.discovery.ShortcutFinder` looks for samples that a shortcut hurts. As far as
      the evidence warrants, these and the others of their class get the same weight in a
      logistic regression.
    * *Groups of the training samples.* Regressions on group-balanced subsets of these are averaged.

    Where nothing can be shown to help, an unrepaired head is kept and a warning says so;
    ``verdict_`` and `summary` have the reasons and numbers.

    Without group labels, heads are scored on validation samples by the accuracy in the worst
    *shortcut slice*. Each class is split at the median of what the ERM head says beyond what the
    repaired head explains; one half is what the shortcut helps, the other what it hurts. Slices
    and repaired head are found in turn, three times.

    Parameters
    ----------
    param_grid : dict, list of dict or "default", default="default"
        Settings: "C" (of the `LogisticRegression` to start from, on standardised features;
        None is ``init_head``), "inner_lr" and "outer_lr", as in `HSFMClassifier`, and "T" and
        "Khard" where they are not to be those below. "default" is 3 x 2 x 1 settings, and two
        more that start from ``init_head`` when it is given.
    cv : int, default=2
        Folds of the validation samples, stratified by class and group.
    n_repeats : int, default=3
        Times that folds and supports are drawn; fewer where they take long, see Notes.
    scoring : str, scorer or callable, default="auto"
        What a candidate is judged by on samples that it did not mine: "worst_group",
        "worst_slice", "worst_class" or "balanced", the mean over classes. "auto" is the worst
        group where ``groups_val`` is given, else the worst slice. All others need validation
        samples. Also a rule of `sklearn_hsfm.selection` by name, a scorer of scikit-learn by
        name or as an object, such as "roc_auc" or `worst_class_accuracy`, or a callable
        ``rule(y, log_proba, groups)``;
        with these the best tenth of the candidates is averaged and the intercept left as it is.
    support_per_class : int or "auto", default="auto"
        Support samples of each class; "auto" is 32 over the number of classes, 2 at least.
    T, KH, Khard, epochs : int, default=5, 5, 32, 30
        As in `HSFMClassifier`. Many short fits make a better average than a few long ones.
    init_head : None, estimator, tuple, torch.nn.Linear or network, default=None
        As in `HSFMClassifier`: one more head to start from.
    device, dtype : default="auto", "float32"
        As in `HSFMClassifier`.
    n_jobs : int or None, default=None
        Batches of fits that are solved at once, with joblib.
    random_state : int, RandomState instance or None, default=None
        Draws folds and supports, before any of them is solved: ``n_jobs`` changes nothing.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Mean of the selected heads, on raw features; its length is calibrated.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts: their threshold for two classes, and for more their balance over classes, is
        placed on out-of-fold logits; see Notes.
    init_coef_, init_intercept_ : ndarray
        The head without a repair, in the shapes of ``coef_`` and ``intercept_``: the mean of heads
        of plain regressions, placed as the repaired one is.
    heads_ : ndarray of shape (n_heads, 1 or n_classes, n_features + 1)
        The selected heads, each at the scale at which it enters the mean, intercept last.
    verdict_ : str
        "repaired", "no shortcut found", "no repair shown to help" or "too few samples to tell".
    reason_ : str
        Why, in words.
    cell_scores_ : dict of ndarray
        What `summary` prints: "cell", "n_samples", accuracy "before" a repair and "after",
        and the ends "low" and "high" of its 95 % interval. Heads judge samples that they did not
        see; but who is hurt was inferred from what heads get wrong, so the accuracies of hurt
        cells are lower than a sample with the attribute would have.
    best_score_ : float
        With edits, the score of the mean on out-of-fold logits; else the lowest accuracy
        after the repair. It chose what it scores: a little optimistic about its cell. That cell
        is a class where nothing was found, and who was not found may do worse. Of a network that
        was trained on ``X`` the features of ``X`` tell more than those of new samples will.
    best_cell_ : str
        The cell with the lowest accuracy after the repair.
    best_score_interval_ : tuple of float
        The 95 % interval of that accuracy.
    labels_used_ : str
        The labels that were used.
    finder_ : ShortcutFinder or None
        What looked for a second population, where it was asked.
    cv_results_ : dict of ndarray
        As in `GridSearchCV`: "params", "param_*", "mean_test_score", "rank_test_score" and
        "n_selected", how many of a setting's candidates are in the mean. With edits also
        "split*_test_score", "std_test_score", "epoch", the best of each setting, and
        "n_epochs", how many it ran. Splits that a setting did not run are NaN; settings
        without rates are regressions on group-balanced validation samples.
    best_params_ : dict
        The setting of the best candidate, its epoch included; `refit_best` fits it alone.
    scoring_ : str
        The judge that was used.
    slices_ : ndarray of shape (n_val or n_samples, n_cells)
        The cells of the judge, as masks of the samples that judge: slices, groups or classes;
        the classes also where nothing is found to repair. Doubtful samples are in none.
    doubtful_ : ndarray of shape (n_val or n_samples,)
        The validation samples whose label is likely to be wrong, as a mask; see Notes.
    n_splits_ : int
        Folds times repeats that were run.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    HSFMClassifier : One setting, as published.
    sklearn_hsfm.discovery.ShortcutFinder : Finds who is hurt.

    Notes
    -----
    Uses validation labels to mine and to judge, validation groups to judge and to fit when given,
    and training groups to fit when given.

    Whether validation samples show more than training samples is tested: within each class the
    margins of cross-fitted ERM are compared by their ranks, at a level of 0.01. Where they do not
    differ, edits would be learned and judged where the shortcut holds, which makes heads worse.
    A ``scoring`` other than "auto", or ``groups_val``, asks for edits all the same. With
    ``groups_val``, regressions on group-balanced samples are among the candidates, as DFR fits
    them, and win ties with edits; without, unedited heads do.

    Wrong validation labels do more harm than others, for they are what every head gets wrong. A
    sample judges nothing if, out of fold, it speaks more for another class than half of that
    class's own samples do: what confident learning [2]_ asks of mean probabilities. What the first
    repeat finds doubtful, the others do not mine. Rules and scorers see all samples.

    More than two classes get intercepts of least class-balanced log-loss [3]_ where every class has
    10 validation samples or more, and where intercepts that are found on one half of these score
    better on the other half; else those of the average.

    The time is that of a few hundred short fits. Where they would take more than some 10^11
    multiplications, as with fifty classes, the settings race: all run a quarter of the epochs on
    the first repeat, and only those within one standard error of the best go on, to half of the
    epochs and to the end; the race is over when no edited head is ahead of the unedited ones. The
    other repeats are for the settings that are still near the best, if they are not much work
    either. Racing makes worse averages, so small problems do without. Rules and scorers, whose
    error is not known, do without, too.

    Small validation sets degrade in steps, each with a warning. A class with fewer samples than
    ``cv`` lowers the number of folds to its samples; a class with one sample leaves nothing to hold
    out, and all samples both mine and judge. Slices of fewer than 10 samples make the judge the
    worst class, classes of fewer than 10 the mean over classes ("balanced").

    References
    ----------
    .. [1] "HSFM: Hard-Set-Guided Feature-Space Meta-Learning for Robust Classification under
       Spurious Correlations", arXiv:2603.29313, 2026.
    .. [2] C. Northcutt, L. Jiang, I. Chuang: "Confident Learning: Estimating Uncertainty in
       Dataset Labels", Journal of Artificial Intelligence Research 70, 2021.
    .. [3] A. Alexandari, A. Kundaje, A. Shrikumar: "Maximum Likelihood with Bias-Corrected
       Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifierCV
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.metrics import worst_group_accuracy_score
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = HSFMClassifierCV(random_state=0).fit(data.X_train, data.y_train)
    >>> clf.verdict_
    'repaired'
    >>> pred = clf.predict(data.X_test)
    >>> worst_group_accuracy_score(data.y_test, pred, data.groups_test) > 0.7
    True
    >>> clf = HSFMClassifierCV(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> pred = clf.predict(data.X_test)
    >>> worst_group_accuracy_score(data.y_test, pred, data.groups_test) > 0.8
    True
    """

    init_coef_: np.ndarray
    init_intercept_: np.ndarray
    heads_: np.ndarray
    verdict_: str
    reason_: str
    cell_scores_: dict[str, np.ndarray]
    best_score_: float
    best_cell_: str
    best_score_interval_: tuple[float, float]
    labels_used_: str
    finder_: ShortcutFinder | None
    cv_results_: dict[str, np.ndarray]
    best_params_: dict[str, Any]
    scoring_: str
    slices_: np.ndarray
    doubtful_: np.ndarray
    n_splits_: int

    uses = LabelUse(training_groups=True, validation_labels=True, validation_groups_select=True)

    # Requested by default, so that users of metadata routing need no set_fit_request.
    # Groups are not: a search that passes them for its scorer must not change what is fitted.
    __metadata_request__fit = {  # noqa: RUF012
        "X_val": True,
        "y_val": True,
        "groups_val": True,
        "groups": False,
    }

    _parameter_constraints: dict = {  # noqa: RUF012
        "param_grid": [StrOptions({"default"}), dict, list],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "n_repeats": _COUNT,
        "scoring": [str, callable],
        "support_per_class": [StrOptions({"auto"}), *_COUNT],
        "T": _COUNT,
        "KH": _COUNT,
        "Khard": _COUNT,
        "epochs": [Interval(Integral, EVERY, None, closed="left")],
        "init_head": [None, *A_HEAD],
        "device": "no_validation",  # resolve_device says more
        "dtype": [StrOptions({"float32", "float64"})],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    }

    def __init__(
        self,
        param_grid: dict[str, Any] | list[dict[str, Any]] | Literal["default"] = "default",
        *,
        cv: int = 2,
        n_repeats: int = 3,
        scoring: str | Callable[..., Any] = "auto",
        support_per_class: int | Literal["auto"] = "auto",
        T: int = 5,
        KH: int = 5,
        Khard: int = 32,
        epochs: int = 30,
        init_head: Head | None = None,
        device: Device = "auto",
        dtype: Literal["float32", "float64"] = "float32",
        n_jobs: int | None = None,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.param_grid = param_grid
        self.cv = cv
        self.n_repeats = n_repeats
        self.scoring = scoring
        self.support_per_class = support_per_class
        self.T = T
        self.KH = KH
        self.Khard = Khard
        self.epochs = epochs
        self.init_head = init_head
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress

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
        """Repair by the validation samples where they show what hurts, else by all samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features.
        y : array-like of shape (n_samples,)
            Training labels.
        X_val : array-like of shape (n_val, n_features) or ValidationSet, default=None
            Validation features.
        y_val : array-like of shape (n_val,), default=None
            Validation labels, of every class.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
            Groups of the training samples. In a search they do not come here unless
            ``set_fit_request(groups=True)`` asks for them. Where they are given without
            ``groups_val``, validation samples are not used.
        groups_val : array-like of shape (n_val,) or (n_val, n_groups), default=None
            Validation groups.

        Returns
        -------
        HSFMClassifierCV
            The fitted classifier.

        Raises
        ------
        ValueError
            As `HSFMClassifier.fit`, for settings that ``param_grid`` cannot hold, or if a
            ``scoring`` other than "auto" has no validation samples to score.

        Warns
        -----
        UserWarning
            If no repair can be shown to help, or the validation set is too small for the folds
            or the judge; see Notes.
        """
        from sklearn_hsfm._core.device import resolve_device  # torch is for fitting alone

        settings = self._settings()
        X, y = check_training_rows(self, X, y)
        if groups is not None:
            names, member = group_membership(groups, len(y))
            groups = names, member.toarray()
        device = resolve_device(self.device)
        rng = check_random_state(self.random_state)
        split = split_validation(self, X, y, X_val, y_val, groups_val, None, rng)
        scaler = fitted_scaler(X)
        if self._shows_what_hurts(split, groups, scaler, rng):
            self._fit_edits(settings, split, groups, scaler, device, rng)
        else:
            self._fit_weights(X, y, split, groups, scaler, rng)
        self._say()
        return self

    def decision_spread(self, X: ArrayLike) -> np.ndarray:
        """Return how far the selected heads disagree on each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Standard deviation over ``heads_`` of what `decision_function` averages: where it
            is as large as the decision itself, the validation samples do not settle the class.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        logits = X @ self.heads_[..., :-1].mT + self.heads_[:, None, :, -1]
        spread = logits.std(axis=0)  # (n_samples, 1 or n_classes)
        return spread[:, 0] if len(self.classes_) == 2 else spread

    def _shows_what_hurts(self, split, groups, scaler, rng):
        """Return whether validation samples are to be mined and to judge."""
        if split is None:
            if self.scoring != "auto":
                raise ValueError(
                    f"scoring={self.scoring!r} judges validation samples, and fit got none. Pass "
                    "X_val and y_val, or leave scoring at 'auto'."
                )
            return False
        if split.groups_val is not None or self.scoring != "auto":
            return True
        if groups is not None:
            return False
        return validation_differs(split, scaler, rng)

    def _fit_edits(self, settings, split, groups, scaler, device, rng):
        """Cross-fit every setting on the validation samples and average the good heads."""
        self.scoring_, judge = self._judge(split)
        held_out = cross_fit_folds(split.y_val, split.groups_val, self.cv, self.n_repeats, rng)
        supports = [self._draw_support(split.y, rng) for _ in held_out]
        starts = self._starts(settings, split.X, split.y, scaler)
        race = self._race(settings, starts, split, supports, held_out, scaler, judge, device)
        may_drop = isinstance(judge, str)  # a rule knows no error
        heat, final = race.run(self.epochs, len(held_out) // self.n_repeats, may_drop)
        if split.groups_val is not None:
            known = split.X_val, split.y_val, split.groups_val
            others = balanced_regressions(*known, race.mined, scaler, rng)
            if groups is not None:  # these see no validation sample: one for all splits
                every = np.ones((1, len(split.y)), dtype=bool)
                of_X = balanced_regressions(split.X, split.y, groups[1], every, scaler, rng)
                others = np.concatenate([others, np.repeat(of_X, len(held_out), axis=1)])
            final = race.with_others(final, others)
            none = dict.fromkeys(settings[0])
            settings = settings + [{**none, "C": C} for C in BALANCED] * (
                len(others) // len(BALANCED)
            )
        before = self._average(final, split, scaler)
        self._report(settings, heat, final, split, held_out, judge, groups is not None, before)

    def _fit_weights(self, X, y, split, groups, scaler, rng):
        """Fit regressions on all samples, in which known or inferred cells weigh the same."""
        self.finder_ = None
        if groups is not None:
            repair = repair_by_groups(X, y, groups[1], scaler, self.cv, rng)
        else:
            X, y = pooled(X, y, split, rng)
            self.finder_ = ShortcutFinder(random_state=rng.randint(np.iinfo(np.int32).max))
            self.finder_.fit(X, self.classes_[y])
            repair = repair_by_finding(scaler.transform(X), y, self.finder_, self.cv, rng)
        self._keep(repair.heads[repair.chosen], repair.after, repair.offset, y, scaler, X.dtype)
        self._keep_unrepaired(repair.unrepaired, scaler, X.dtype)
        self._report_weights(repair, y, groups, split)

    def _settings(self):
        grid = self.param_grid
        if isinstance(grid, str):
            grid = [_DEFAULT_GRID]
            if self.init_head is not None:
                grid = [{**_DEFAULT_GRID, "C": [*_DEFAULT_GRID["C"], None]}]
        may_be_none = set() if self.init_head is None else {"C"}  # which stands for init_head
        return settings_of(grid, _REQUIRED, {"T": self.T, "Khard": self.Khard}, may_be_none)

    def _judge(self, split):
        """Return the name of what scores candidates, and its key or rule for `choose`."""
        scoring = self.scoring
        if scoring == "auto":
            scoring = default_judge(split.y_val, split.groups_val)
        if isinstance(scoring, str) and scoring in OF_CELLS:
            if scoring == "worst_group":
                selection.resolve_rule(scoring, split.groups_val)  # says if groups are missing
            return scoring, scoring
        if isinstance(scoring, str) and scoring not in selection.RULES:
            scoring = get_scorer(scoring)
        if hasattr(scoring, "get_metadata_routing"):  # a scorer; rules are plain functions
            return repr(self.scoring), selection.rule_of_scorer(scoring, self.classes_)
        return selection.resolve_rule(scoring, split.groups_val)

    def _draw_support(self, y, rng):
        per_class = self.support_per_class
        if per_class == "auto":
            per_class = max(2, 32 // len(self.classes_))
        return draw_support(y, len(self.classes_), per_class, rng)

    def _starts(self, settings, X, y, scaler):
        """Return the head that each setting starts from, on standardised rows.

        The array is of shape (settings, R, n_features + 1), intercepts last; two classes have
        R = 1 row.
        """
        strengths, heads = {s["C"] for s in settings}, {}
        if None in strengths:
            head = initial_head(self.init_head, X, y, self.classes_, scaler)
            heads[None] = np.column_stack(one_row_for_two_classes(*head))
        if strengths := sorted(strengths - {None}):
            # A path from strong to weak penalties, each from where the one before ended.
            erm, Z = LogisticRegression(max_iter=1000, warm_start=True), scaler.transform(X)
            for C in strengths:
                with one_blas_thread():
                    erm.set_params(C=C).fit(Z, y)
                heads[C] = np.column_stack([erm.coef_, erm.intercept_])
        return np.stack([heads[s["C"]] for s in settings])

    def _race(self, settings, starts, split, supports, held_out, scaler, judge, device):
        """Return the race of the settings."""
        from sklearn_hsfm._core.rows import rows_of

        penalties = [np.inf if s["C"] is None else s["C"] for s in settings]
        most_penalised = np.argmin(penalties)

        def chosen(candidates):
            leaning = (candidates.setting == most_penalised) & (candidates.epoch == 0)
            return choose(
                candidates.logits,
                candidates.logits[leaning.argmax()],
                split.y_val,
                len(self.classes_),
                # What is simpler wins ties.
                candidates.epoch == min(0, candidates.epoch.min()),
                rule=judge,
                cells=split.groups_val,
            )

        def doubt(candidates):
            known = split.y_val, len(self.classes_)
            return doubts(candidates.logits, *known, rule=judge, cells=split.groups_val)

        return Race(
            settings=[{"T": self.T, "Khard": self.Khard, **s} for s in settings],
            starts=starts,
            supports=np.stack([scaler.transform(split.X[rows]) for rows in supports]),
            # A split that holds out every row, for want of rows, mines them as well.
            mined=np.where(held_out.all(axis=1, keepdims=True), True, ~held_out),
            held_out=held_out,
            X_val=split.X_val,
            scaler=scaler,
            shared={
                "y": split.y[supports[0]],
                "rows": rows_of(split.X_val, scaler, dtype=self.dtype, device=device),
                "y_val": split.y_val,
                "dtype": self.dtype,
                "device": device,
            },
            steps={"KH": self.KH, "clip_norm": None},  # a rate of Adam bounds the edits already
            judge=chosen,
            doubt=doubt,
            n_jobs=self.n_jobs,
            progress=self.progress,
        )

    def _average(self, final, split, scaler):
        """Store the average of the chosen heads, and that of unedited ones, whose logits return."""
        candidates, choice = final.candidates.take(final.choice.chosen), final.choice
        average = candidates.logits.mean(axis=0) - choice.offset
        heads = normalized(candidates.heads.astype(np.float64))
        heads = heads.reshape(-1, *heads.shape[2:])  # (n_heads, R, d + 1)
        self._keep(heads, average, choice.offset, split.y_val, scaler, split.X.dtype)
        unedited = final.candidates.take(final.candidates.epoch == 0)
        before, heads = unedited.logits.mean(axis=0), normalized(unedited.heads)
        of_class = class_cells(split.y_val, len(self.classes_))
        offset = best_offset(before, split.y_val, of_class, np.min)
        before = before - offset
        head = placed(heads.mean(axis=(0, 1), dtype=np.float64), before, offset, split.y_val)
        self._keep_unrepaired(head, scaler, split.X.dtype)
        return before

    def _keep(self, heads, average, offset, y, scaler, dtype):
        """Store heads (n_heads, R, d + 1), and their mean, of calibrated length, placed."""
        raw = raw_heads(placed(heads, average, offset, y), scaler)
        coef, intercept = raw[..., :-1], raw[..., -1]
        self.heads_ = np.dstack(finite_head(coef, intercept[..., None], dtype))
        mean = coef.mean(axis=0), intercept.mean(axis=0)
        self.coef_, self.intercept_ = finite_head(*mean, dtype)

    def _keep_unrepaired(self, head, scaler, dtype):
        """Store the head (R, d + 1) that repairs are compared with."""
        raw = raw_heads(head, scaler)
        self.init_coef_, self.init_intercept_ = finite_head(raw[:, :-1], raw[:, -1], dtype)
