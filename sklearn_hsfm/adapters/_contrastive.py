"""Correct-n-contrast on features: samples of a class closer, whatever ERM takes them for."""

import warnings
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import Interval, StrOptions, _fit_context, validate_data
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._finite import finite_outputs
from sklearn_hsfm._init_head import A_HEAD, cross_fitted_erm, initial_head
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import fitted_scaler
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import ArrayLike, Head, Progress, RandomStateLike
from sklearn_hsfm._validation_set import check_training_rows
from sklearn_hsfm._version import VersionMixin

_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_NOT_NEGATIVE = [Interval(Real, 0, None, closed="left")]
_COUNT = [Interval(Integral, 1, None, closed="left")]


class ContrastiveAdapter(
    VersionMixin, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Correct-n-contrast (CnC) on frozen features: a transformer to put before any head.

    What ERM predicts for a training sample stands in for the shortcut. A residual map learns to
    bring samples together that are of one class though ERM predicts different ones (an anchor and
    its positives), and apart those of different classes for which it predicts the same (its
    negatives). The published method trains the whole network by this loss; here the features
    stay, and what is trained is a map behind them that starts as the identity.

    Parameters
    ----------
    n_hidden : int, default=64
        Width of the map ``X + act(X V' + b) U' + c``, or, with the identity as ``act``, its rank.
    activation : {"identity", "relu"}, default="identity"
        A linear map, or a network of one hidden layer.
    temperature : float, default=0.1
        What cosines are divided by.
    contrastive_weight : float, default=0.75
        Weight of the contrastive loss; cross-entropy, of a linear head that is trained beside
        the map and then forgotten, has the rest. With 0 there is no contrast.
    n_anchors : int, default=32
        Anchors of a step, and positives.
    n_negatives : int, default=32
        Negatives of the anchors, and as many of the positives.
    epochs : int, default=10
        Epochs; in each every anchor takes its turn.
    lr : float, default=1e-3
        Learning rate of Adam.
    l2 : float, default=10.0
        Decay of the map towards the identity, by ``lr * l2`` a step: features of a deep network
        have more columns than there are positives, which a free map learns by heart.
    init_head : None, estimator, tuple (coef, intercept), torch.nn.Linear or network, default=None
        The ERM head whose predictions count, as in `HSFMClassifier`, such as that of the network
        that made the features. None takes what a regression predicts for samples of folds that it
        did not see: a head that has seen them is seldom wrong on frozen features.
    C : float, default=0.001
        Inverse strength of the penalty of that regression, on standardised features.
    cv : int, default=5
        Its folds; fewer where a class has fewer samples.
    random_state : int, RandomState instance or None, default=None
        Draws the folds, where the map starts, and the batches.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    hidden_weight_ : ndarray of shape (n_hidden, n_features)
        V, on raw features.
    hidden_bias_ : ndarray of shape (n_hidden,)
        b.
    weight_ : ndarray of shape (n_features, n_hidden)
        U.
    bias_ : ndarray of shape (n_features,)
        c.
    erm_predictions_ : ndarray of shape (n_samples,)
        What ERM predicts for the training samples.
    losses_ : ndarray of shape (n_epochs, 2)
        Contrastive loss and cross-entropy, means of each epoch; no row where nothing was learnt.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    sklearn_hsfm.heads.JTTClassifier : Weighs up what ERM gets wrong instead.

    Notes
    -----
    Uses class labels alone. The published figures select by validation groups: a search over a
    pipeline, with a scorer of `sklearn_hsfm.metrics`, does.

    Anchors are the samples that ERM gets right, and each positive is an anchor as well, whose
    positives are the anchors ("two-sided" in [1]_). Loss of an anchor ``z``, all vectors of unit
    length, with M positives ``p`` and N negatives ``n``: minus the mean over positives of
    ``log(exp(z'p / t) / (sum exp(z'p / t) + sum exp(z'n / t)))``. A class without samples that ERM
    gets wrong has no positives and gives no anchors; where that is so of every class, a warning
    says that the map is the identity.

    References
    ----------
    .. [1] M. Zhang et al.: "Correct-N-Contrast: A Contrastive Approach for Improving Robustness to
       Spurious Correlations", ICML 2022.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_hsfm.adapters import ContrastiveAdapter
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> data = load_digit_dominoes(random_state=0)
    >>> adapter = ContrastiveAdapter(epochs=3, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), adapter, LogisticRegression(C=0.01))
    >>> pipe.fit(data.X_train, data.y_train).score(data.X_test, data.y_test) > 0.6
    True
    """

    classes_: np.ndarray
    hidden_weight_: np.ndarray
    hidden_bias_: np.ndarray
    weight_: np.ndarray
    bias_: np.ndarray
    erm_predictions_: np.ndarray
    losses_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray

    uses = LabelUse()

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_hidden": _COUNT,
        "activation": [StrOptions({"identity", "relu"})],
        "temperature": _POSITIVE,
        "contrastive_weight": [Interval(Real, 0, 1, closed="both")],
        "n_anchors": _COUNT,
        "n_negatives": _COUNT,
        "epochs": _COUNT,
        "lr": _POSITIVE,
        "l2": _NOT_NEGATIVE,
        "init_head": [None, *A_HEAD],
        "C": _POSITIVE,
        "cv": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    }

    def __init__(
        self,
        n_hidden: int = 64,
        *,
        activation: Literal["identity", "relu"] = "identity",
        temperature: float = 0.1,
        contrastive_weight: float = 0.75,
        n_anchors: int = 32,
        n_negatives: int = 32,
        epochs: int = 10,
        lr: float = 1e-3,
        l2: float = 10.0,
        init_head: Head | None = None,
        C: float = 1e-3,
        cv: int = 5,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.n_hidden = n_hidden
        self.activation = activation
        self.temperature = temperature
        self.contrastive_weight = contrastive_weight
        self.n_anchors = n_anchors
        self.n_negatives = n_negatives
        self.epochs = epochs
        self.lr = lr
        self.l2 = l2
        self.init_head = init_head
        self.C = C
        self.cv = cv
        self.random_state = random_state
        self.progress = progress

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the map.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        ContrastiveAdapter
            The fitted transformer.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, ``y`` has one class, or the map
            stops being finite.

        Warns
        -----
        UserWarning
            If ERM is right about every sample, or wrong about every one: nothing is contrasted.
        """
        X, y = check_training_rows(self, X, y)
        rng = check_random_state(self.random_state)
        scaler = fitted_scaler(X)
        Z = scaler.transform(X).astype(np.float64)
        predicted = self._erm(X, Z, y, scaler, rng)
        self.erm_predictions_ = self.classes_[predicted]
        width = X.shape[1]
        start = 1 / np.sqrt(width)
        V, b = rng.uniform(-start, start, size=(self.n_hidden, width)), np.zeros(self.n_hidden)
        U, c = np.zeros((width, self.n_hidden)), np.zeros(width)
        steps = contrastive_steps(y, predicted, len(self.classes_))
        if not steps:
            warnings.warn(
                "No class has both samples that ERM gets right and samples that it gets wrong, so "
                "there is nothing to contrast and the features stay as they are. Try a smaller C, "
                "or an init_head that is not fitted to these samples.",
                stacklevel=2,
            )
            self.losses_ = np.empty((0, 2))
        else:
            from sklearn_hsfm.adapters._contrastive_loss import learnt_map  # torch is for fitting

            (V, b, U, c), self.losses_ = learnt_map(
                Z, y, predicted, (V, b, U, c), steps, self.get_params(deep=False), rng
            )
        V = V / scaler.scale_
        self.hidden_weight_, self.hidden_bias_ = V, b - V @ scaler.mean_
        self.weight_, self.bias_ = U * scaler.scale_[:, None], c * scaler.scale_
        self._n_features_out = width
        return self

    def _erm(self, X, Z, y, scaler, rng):
        """Return what ERM predicts for the training samples, as indices into the classes."""
        if self.init_head is not None:
            coef, intercept = initial_head(self.init_head, X, y, self.classes_, scaler)
            return (Z @ coef.T + intercept).argmax(axis=1)
        return cross_fitted_erm(Z, y, self.C, self.cv, rng)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the features as the map has them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Features, in the units of ``X``.

        Raises
        ------
        ValueError
            If values of ``X`` are so large that what they are mapped to is not a finite number.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        with np.errstate(over="ignore", invalid="ignore"):
            hidden = X @ self.hidden_weight_.T + self.hidden_bias_
            if self.activation == "relu":
                hidden = np.maximum(hidden, 0)
            mapped = (X + hidden @ self.weight_.T + self.bias_).astype(X.dtype, copy=False)
        return finite_outputs(
            mapped,
            lambda row: (
                f"X has values up to {np.abs(X[row]).max():.3g} in sample {row}, which the map "
                "takes to what is not a finite number."
            ),
        )


def contrastive_steps(y, predicted, n_classes):
    """Return, for each class that can be contrasted, its anchors and positives, as samples."""
    right, rows = y == predicted, np.arange(len(y))
    both = ((rows[right & (y == c)], rows[~right & (y == c)]) for c in range(n_classes))
    return [(anchors, positives) for anchors, positives in both if len(anchors) and len(positives)]
