"""EACS with log-loss, for classification."""

from typing import Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin

from sklearn_hsfm._compat import _fit_context
from sklearn_hsfm._typing import ArrayLike, OneOrSeveral, RandomStateLike
from sklearn_hsfm._validation_set import check_training_rows
from sklearn_hsfm.environments._base import POSITIVE, EnvironmentAdaptive, finite
from sklearn_hsfm.environments._tasks import Classification


class EnvironmentAdaptiveClassifier(ClassifierMixin, EnvironmentAdaptive):
    """Classification that decides for each environment which covariates to use (EACS).

    As `EnvironmentAdaptiveRegressor`, with logistic regressions and log-loss.

    Parameters
    ----------
    form : {"auto", "discrete", "soft"}, default="auto"
        "discrete" chooses among heads on subsets of the covariates, "soft" scales each covariate
        by a gate. "auto" is discrete where at most eight covariates may be left out.
    causal : array-like, default=None
        Covariates known to be causes, which always stay: names, indices or a mask of columns.
    correlations : {"partial", "plain", "none"}, default="partial"
        Which correlations the summary has; see `environment_summary`.
    choice : {"auto", "hard", "mixture"}, default="auto"
        Of the discrete form: use the most probable subset, or average over subsets by their
        probability. "auto" takes what is better on training environments that are left out.
    C : float, default=1.0
        Of the discrete form: inverse strength of the L2 penalty of the heads.
    selector_C : float or tuple of float, default=1.0
        Inverse strength of the penalty of the regression from summaries to subsets; of several,
        training environments that are left out choose.
    cv : int, default=3
        Folds of environments for these choices; with fewer than four there is no choice, and
        "hard" and the first ``selector_C`` are taken.
    hidden : int, default=128
        Of the soft form: width of the two layers of the gate.
    epochs, warm_up : int, default=120 and 40
        Epochs, of which the first have open gates.
    lr, gate_lr : float, default=5e-2 and 1e-3
        Rates of Adam for the head and the gate.
    clip_norm : float, default=1.0
        Largest gradient norm.
    random_state : int, RandomState instance or None, default=None
        Draws folds and starts the gate.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    environments_ : ndarray of shape (n_environments,)
        Their ids.
    summaries_ : ndarray of shape (n_environments, n_summary)
        Their summaries.
    form_ : str
        The form that was fitted.
    subsets_ : bool ndarray of shape (n_subsets, n_features)
        Of the discrete form: the subsets.
    best_subset_ : bool ndarray of shape (n_environments, n_features)
        Of the discrete form: which was best in each training environment.
    cv_results_ : dict of list or None
        Of the discrete form: settings, and their loss on environments that were left out.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    EnvironmentAdaptiveRegressor : Says how the method works.

    Notes
    -----
    Uses the environments of the training samples. `predict` takes its samples for a batch of one
    environment. The paper is about regression; here log-loss stands for the squared error, and
    a mixture averages probabilities.

    References
    ----------
    .. [1] "Environment-Adaptive Covariate Selection: Learning When to Use Spurious Correlations
       for Out-of-Distribution Prediction", arXiv:2601.02322, 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.environments import EnvironmentAdaptiveClassifier
    >>> rng = np.random.RandomState(0)
    >>> hidden, noise = rng.normal(size=(2, 20, 100))
    >>> spread = np.linspace(0, 4, 20)[:, None]  # of the proxy, environment by environment
    >>> proxy = hidden + 0.3 * noise + spread * rng.normal(size=(20, 100))
    >>> X, y, env = proxy.reshape(-1, 1), hidden.ravel() > 0, np.repeat(np.arange(20), 100)
    >>> model = EnvironmentAdaptiveClassifier().fit(X, y, env)
    >>> model.predict_proba(X[:100]).shape
    (100, 2)
    """

    classes_: np.ndarray
    environments_: np.ndarray
    summaries_: np.ndarray
    form_: str
    subsets_: np.ndarray
    best_subset_: np.ndarray
    cv_results_: dict[str, list] | None
    n_features_in_: int
    feature_names_in_: np.ndarray

    _parameter_constraints: dict = {  # noqa: RUF012
        **EnvironmentAdaptive._parameter_constraints,
        "C": [POSITIVE],
    }

    def __init__(
        self,
        *,
        form: Literal["auto", "discrete", "soft"] = "auto",
        causal: ArrayLike | None = None,
        correlations: Literal["partial", "plain", "none"] = "partial",
        choice: Literal["auto", "hard", "mixture"] = "auto",
        C: float = 1.0,
        selector_C: OneOrSeveral[float] = 1.0,
        cv: int = 3,
        hidden: int = 128,
        epochs: int = 120,
        warm_up: int = 40,
        lr: float = 5e-2,
        gate_lr: float = 1e-3,
        clip_norm: float = 1.0,
        random_state: RandomStateLike = None,
    ):
        self.form = form
        self.causal = causal
        self.correlations = correlations
        self.choice = choice
        self.C = C
        self.selector_C = selector_C
        self.cv = cv
        self.hidden = hidden
        self.epochs = epochs
        self.warm_up = warm_up
        self.lr = lr
        self.gate_lr = gate_lr
        self.clip_norm = clip_norm
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, environments: ArrayLike | None = None) -> Self:
        """Fit on samples of several environments.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.
        y : array-like of shape (n_samples,)
            Labels.
        environments : array-like of shape (n_samples,), default=None
            The environment of each sample: ids of any kind, two samples or more of each. Without
            them all samples are one environment, which a warning says.

        Returns
        -------
        EnvironmentAdaptiveClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, an environment has one sample,
            there are too many subsets, or the rates of the soft form are so large that it
            overflows.
        """
        X, y = check_training_rows(self, X, y)
        n_classes = len(self.classes_)
        n_scores = 1 if n_classes == 2 else n_classes
        return self._fit(X, y, environments, Classification(n_classes, self.C), n_scores)

    def predict_proba(
        self,
        X: ArrayLike,
        *,
        environments: ArrayLike | None = None,
        environment_summary: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Unlabelled samples of one environment, better dozens.
        environments : array-like of shape (n_samples,), default=None
            The environment of each sample, where there are several; ids need not be those of
            ``fit``.
        environment_summary : array-like of shape (n_summary,), default=None
            What `summarize` returned for other samples of the environment; then any number of
            samples can be predicted, each by itself.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If an environment has fewer than two samples, the summary is of another length, or
            values of ``X`` are so large that a prediction is not a finite number.
        """
        return finite(self._outputs(X, environments, environment_summary))

    def predict(
        self,
        X: ArrayLike,
        *,
        environments: ArrayLike | None = None,
        environment_summary: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Unlabelled samples of one environment, better dozens.
        environments : array-like of shape (n_samples,), default=None
            The environment of each sample, where there are several; ids need not be those of
            ``fit``.
        environment_summary : array-like of shape (n_summary,), default=None
            What `summarize` returned for other samples of the environment; then any number of
            samples can be predicted, each by itself.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If an environment has fewer than two samples, the summary is of another length, or
            values of ``X`` are so large that a prediction is not a finite number.
        """
        known = {"environments": environments, "environment_summary": environment_summary}
        index = self.predict_proba(X, **known).argmax(axis=1)
        return self.classes_[index]
