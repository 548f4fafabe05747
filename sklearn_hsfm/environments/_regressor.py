"""EACS: regression whose covariates are chosen by environment."""

from typing import Literal, Self

import numpy as np
from sklearn.base import RegressorMixin

from sklearn_hsfm._compat import _fit_context, validate_data
from sklearn_hsfm._typing import ArrayLike, OneOrSeveral, RandomStateLike
from sklearn_hsfm.environments._base import EnvironmentAdaptive, finite
from sklearn_hsfm.environments._tasks import Regression


class EnvironmentAdaptiveRegressor(RegressorMixin, EnvironmentAdaptive):
    """Regression that decides for each environment which covariates to use (EACS).

    A covariate that is no cause of the target can stand in for a cause that nobody measured,
    until a shift breaks the link. Which shift there is shows in the covariates alone, so what to
    use is learned as a function of an environment's unlabelled samples.

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
    EnvironmentAdaptiveClassifier : The same with log-loss.

    Notes
    -----
    Uses the environments of the training samples. `predict` takes its samples for a batch of one
    environment, so predictions of parts are not parts of the prediction: searches and scores that
    cut one environment into small pieces see another method. The tag ``transductive`` says so.

    Discrete: on the pooled, standardised samples least squares is fitted on each subset of the
    covariates, the empty one included; the label of an environment is the subset with the least
    squared error in it, and a multinomial regression learns labels from summaries. Soft: the
    prediction is a linear head on ``X * z``, where ``z = sigmoid(gate(summary) / 0.2)`` and the
    gate starts at one half; both descend on the mean over environments of the squared error. The
    published code can embed the samples themselves (deep sets) in the place of moments, which is
    not here.

    References
    ----------
    .. [1] "Environment-Adaptive Covariate Selection: Learning When to Use Spurious Correlations
       for Out-of-Distribution Prediction", arXiv:2601.02322, 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.environments import EnvironmentAdaptiveRegressor
    >>> rng = np.random.RandomState(0)
    >>> hidden, noise = rng.normal(size=(2, 20, 100))
    >>> spread = np.linspace(0, 4, 20)[:, None]  # of the proxy, environment by environment
    >>> proxy = hidden + 0.3 * noise + spread * rng.normal(size=(20, 100))
    >>> X, y, env = proxy.reshape(-1, 1), hidden.ravel(), np.repeat(np.arange(20), 100)
    >>> model = EnvironmentAdaptiveRegressor().fit(X, y, env)
    >>> model.covariate_weights(X[:100]) > model.covariate_weights(X[-100:])
    array([ True])
    """

    environments_: np.ndarray
    summaries_: np.ndarray
    form_: str
    subsets_: np.ndarray
    best_subset_: np.ndarray
    cv_results_: dict[str, list] | None
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(
        self,
        *,
        form: Literal["auto", "discrete", "soft"] = "auto",
        causal: ArrayLike | None = None,
        correlations: Literal["partial", "plain", "none"] = "partial",
        choice: Literal["auto", "hard", "mixture"] = "auto",
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
            Targets.
        environments : array-like of shape (n_samples,), default=None
            The environment of each sample: ids of any kind, two samples or more of each. Without
            them all samples are one environment, which a warning says.

        Returns
        -------
        EnvironmentAdaptiveRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, an environment has one sample,
            there are too many subsets, or the rates of the soft form are so large that it
            overflows.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        y = y.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            self._center, self._scale = y.mean(), y.std() or 1.0
        if not np.isfinite(self._scale):
            raise ValueError(
                f"y has values up to {np.abs(y).max():.3g}, whose spread is not a finite number; "
                "scale it down."
            )
        return self._fit(X, (y - self._center) / self._scale, environments, Regression(), 1)

    def predict(
        self,
        X: ArrayLike,
        *,
        environments: ArrayLike | None = None,
        environment_summary: ArrayLike | None = None,
    ) -> np.ndarray:
        """Predict the samples of one or several environments.

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
            Targets.

        Raises
        ------
        ValueError
            If an environment has fewer than two samples, the summary is of another length, or
            values of ``X`` are so large that a prediction is not a finite number.
        """
        outputs = self._outputs(X, environments, environment_summary)
        with np.errstate(over="ignore", invalid="ignore"):
            return finite(outputs * self._scale + self._center)[:, 0]
