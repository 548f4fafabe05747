"""What the regressor and the classifier share: environments, summaries, the two forms."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import Interval, Several, StrOptions, validate_data
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._finite import finite_outputs
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import fitted_scaler
from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm._version import VersionMixin
from sklearn_hsfm.environments._gate import Soft
from sklearn_hsfm.environments._subsets import AS_A_RULE, MOST_FREE, chosen_discrete, subsets_of
from sklearn_hsfm.environments._summary import KINDS, environment_summary, n_summary
from sklearn_hsfm.environments._tags import transductive
from sklearn_hsfm.metrics._groups import one_per_id

POSITIVE = Interval(Real, 0, None, closed="neither")
COUNT = Interval(Integral, 1, None, closed="left")


class EnvironmentAdaptive(VersionMixin, DocLinkMixin, BaseEstimator):
    """Base of the two estimators."""

    uses = LabelUse(training_groups=True)

    __metadata_request__fit = {"environments": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "form": [StrOptions({"auto", "discrete", "soft"})],
        "causal": ["array-like", None],
        "correlations": [StrOptions(set(KINDS))],
        "choice": [StrOptions({"auto", "hard", "mixture"})],
        "selector_C": [POSITIVE, Several(Real, 0, None, closed="neither")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "hidden": [COUNT],
        "epochs": [COUNT],
        "warm_up": [Interval(Integral, 0, None, closed="left")],
        "lr": [POSITIVE],
        "gate_lr": [POSITIVE],
        "clip_norm": [POSITIVE],
        "random_state": ["random_state"],
    }

    def _fit(self, X, y, environments, task, n_scores):
        """Fit on checked rows; ``y`` as the task wants it."""
        rng = check_random_state(self.random_state)
        kept = _causal_columns(self.causal, X.shape[1], getattr(self, "feature_names_in_", None))
        self.environments_, env = self._environments(environments, len(y), "environments")
        self._scaler = fitted_scaler(X)
        Z = self._scaler.transform(X).astype(np.float64)
        self.summaries_ = np.array([self._summary(Z[env == e]) for e in np.unique(env)])
        self._units = fitted_scaler(self.summaries_)
        U = self._units.transform(self.summaries_)
        n_free = int((~kept).sum())
        self.form_ = self.form
        if self.form == "auto":
            self.form_ = "discrete" if n_free <= AS_A_RULE else "soft"
        self.cv_results_ = None
        if self.form_ == "soft":
            names = ("hidden", "epochs", "warm_up", "lr", "gate_lr", "clip_norm")
            soft = Soft(task, kept, **{name: getattr(self, name) for name in names})
            self._form = soft.fit(Z, y, env, U, n_scores, rng)
        else:
            if n_free > MOST_FREE:
                raise ValueError(
                    f"form='discrete' fits a head for each subset of the covariates, and {n_free} "
                    f"of them may be left out; {MOST_FREE} is the most. Take form='soft', reduce "
                    "X to a few components, or name columns that must stay in causal."
                )
            Cs = self.selector_C if isinstance(self.selector_C, tuple | list) else [self.selector_C]
            choices = ("hard", "mixture") if self.choice == "auto" else (self.choice,)
            subsets = subsets_of(X.shape[1], kept)
            self._form, self.cv_results_ = chosen_discrete(
                task, subsets, Cs, choices, (Z, y, env, U), self.cv, rng
            )
            self.subsets_ = subsets
            self.best_subset_ = subsets[self._form.best]
        return self

    def covariate_weights(
        self, X: ArrayLike | None = None, *, environment_summary: ArrayLike | None = None
    ) -> np.ndarray:
        """Return how much of each covariate is used in an environment.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Unlabelled samples of the environment.
        environment_summary : array-like of shape (n_summary,), default=None
            Their summary, from `summarize`, in the place of samples.

        Returns
        -------
        ndarray of shape (n_features,)
            From 0 to 1: of the discrete form the weight of the subsets that have the covariate,
            of the soft form its gate.

        Raises
        ------
        ValueError
            If both or neither are given, or the samples are fewer than two.
        """
        check_is_fitted(self)
        if (X is None) == (environment_summary is None):
            raise ValueError("Pass either X, samples of the environment, or environment_summary.")
        if X is not None:
            environment_summary = self.summarize(X)
        return self._form.covariates(self._given(environment_summary))

    def summarize(self, X: ArrayLike) -> np.ndarray:
        """Return the summary of an environment, which `predict` takes in the place of a batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of one environment, two or more.

        Returns
        -------
        ndarray of shape (n_summary,)
            `environment_summary` of the samples, standardised as those of ``fit``.
        """
        return self._summary(self._standardized(X))

    def __sklearn_tags__(self):
        """Return the tags, that predictions depend on the batch among them."""
        return transductive(super().__sklearn_tags__())

    def _outputs(self, X, environments, given):
        """Return the outputs of the task on rows, environment by environment."""
        Z = self._standardized(X)
        with np.errstate(over="ignore", invalid="ignore"):  # what follows says of which row
            return self._outputs_of(Z, environments, given)

    def _outputs_of(self, Z, environments, given):
        if given is not None:
            if environments is not None:
                raise ValueError(
                    "environment_summary is that of one environment, and environments says which "
                    "of several a sample is in. Pass one of them."
                )
            return self._form.outputs(Z, self._given(given))
        _, env = self._environments(environments, len(Z), "environments", of_fit=False)
        parts = {}
        for e in np.unique(env):
            rows = np.flatnonzero(env == e)
            parts[e] = rows, self._form.outputs(Z[rows], self._given(self._summary(Z[rows])))
        outputs = np.empty((len(Z), next(iter(parts.values()))[1].shape[1]))
        for rows, part in parts.values():
            outputs[rows] = part
        return outputs

    def _standardized(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self._scaler.transform(X).astype(np.float64)

    def _summary(self, Z):
        if len(Z) < 2 and len(self.environments_) == 1:
            return np.zeros(n_summary(Z.shape[1], self.correlations))  # nothing depends on it
        if len(Z) < 2:
            raise ValueError(
                "An environment of 1 sample has no deviation and no correlation. Pass two "
                "samples or more of each, better dozens, as one batch, or environment_summary, "
                "of samples that came before."
            )
        return environment_summary(Z, self.correlations)

    def _given(self, summary):
        """Return a summary in units of those of the training environments."""
        summary = check_array(summary, ensure_2d=False, dtype=np.float64)
        if summary.shape != self.summaries_.shape[1:]:
            raise ValueError(
                f"environment_summary has shape {summary.shape}; summarize(X) of this estimator "
                f"returns {self.summaries_.shape[1:]}."
            )
        return self._units.transform(summary[None])[0]

    def _environments(self, environments, n_rows, name, of_fit=True):
        """Return the ids, and the index of each row."""
        if environments is None:
            if of_fit:
                warnings.warn(
                    "fit got no environments, so all samples are one: nothing can be learned of "
                    "when to trust which covariate, and one head is used for every batch. Pass "
                    "environments, one id a sample.",
                    stacklevel=5,
                )
            return np.array([0]), np.zeros(n_rows, dtype=int)
        names, member = one_per_id(environments, name)
        if member.shape[0] != n_rows:
            raise ValueError(
                f"environments has {member.shape[0]} ids, but X has {n_rows} samples; give one "
                "each."
            )
        return names, member.indices.astype(np.intp)


def finite(outputs):
    """Return outputs as they are, if all of them are finite."""
    return finite_outputs(
        outputs,
        lambda row: (
            f"Sample {row} of X has values so large that what is predicted is not a finite number."
        ),
    )


def _causal_columns(causal, n_features, names):
    """Return the columns that must stay, as a mask."""
    kept = np.zeros(n_features, dtype=bool)
    if causal is None or not len(causal):
        return kept
    columns = np.asarray(causal)
    if columns.dtype.kind in "OU":
        known = [] if names is None else list(names)
        unknown = [c for c in columns.tolist() if c not in known]
        if unknown:
            raise ValueError(
                f"causal names {unknown}, which X does not have; its columns are {known[:10]}. "
                "Name columns of a DataFrame, or give their indices."
            )
        columns = np.array([known.index(c) for c in columns.tolist()])
    elif columns.dtype.kind == "b" and columns.shape == kept.shape:
        columns = np.flatnonzero(columns)
    if columns.dtype.kind not in "iu" or columns.min(initial=0) < 0:
        raise ValueError(f"causal={causal!r}; it must be names, indices or a mask of columns.")
    if columns.max(initial=0) >= n_features:
        raise ValueError(f"causal={causal!r} has an index beyond the {n_features} columns of X.")
    kept[columns] = True
    return kept
