"""Group DRO on the last layer, and CVaR DRO, its twin without groups."""

import warnings
from numbers import Real

import numpy as np
from scipy.special import logsumexp

from sklearn_hsfm._choosing.folds import strata
from sklearn_hsfm._compat import Interval, one_or_several
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import NOT_NEGATIVE, LastLayerClassifier
from sklearn_hsfm.heads._descent import (
    DESCENT,
    balanced_over,
    cross_entropy,
    descend,
    one_hot,
    shuffled,
)


class GroupDROClassifier(LastLayerClassifier):
    """Group DRO: stochastic descent on the loss of the worst training group.

    Each batch moves the weight of a group up by its loss, and the head down the weighted loss.

    Parameters
    ----------
    eta : float, default=0.01
        How fast the weights of groups move.
    size_adjustment : float, default=0.0
        C of the adjustment ``C / sqrt(n_g)`` that is added to the loss of a group of n_g samples.
    l2 : float or tuple of float, default=(1e-4, 1e-2, 1.0)
        Weight decay; of several, validation samples choose.
    lr : float or tuple of float, default=1e-3
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=50
        Epochs, each a candidate.
    batch_size : int, default=128
        Samples of a batch.
    balanced_sampling : bool, default=True
        Draw samples such that all groups are as likely.
    selection : str or callable, default="auto"
        How validation samples choose epoch and setting: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches.
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
    group_weights_ : ndarray of shape (n_groups,)
        Weights of the training groups after the last epoch of the chosen setting.
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
    cv_results_ : dict of list
        Every setting, its best epoch and score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    CVaRDROClassifier : Needs no groups.

    Notes
    -----
    Uses training groups to fit; validation labels, and validation groups when given, to
    select. Without training groups the classes are the groups, which a warning says.

    References
    ----------
    .. [1] "Distributionally Robust Neural Networks for Group Shifts", arXiv:1911.08731, 2020.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import GroupDROClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = GroupDROClassifier(random_state=0).fit(
    ...     data.X_train, data.y_train, data.X_val, data.y_val, groups=data.groups_train
    ... )
    >>> clf.score(data.X_test, data.y_test) > 0.6
    True
    """

    group_weights_: np.ndarray

    uses = LabelUse(training_groups=True, validation_labels=True, validation_groups_select=True)
    _tuned = ("l2", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        "eta": [NOT_NEGATIVE],
        "size_adjustment": [NOT_NEGATIVE],
        "balanced_sampling": ["boolean"],
        **DESCENT,
    }

    def __init__(
        self,
        *,
        eta: float = 0.01,
        size_adjustment: float = 0.0,
        l2: OneOrSeveral[float] = (1e-4, 1e-2, 1.0),
        lr: OneOrSeveral[float] = 1e-3,
        epochs: int = 50,
        batch_size: int = 128,
        balanced_sampling: bool = True,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.eta = eta
        self.size_adjustment = size_adjustment
        self.l2 = l2
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.balanced_sampling = balanced_sampling
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _prepare(self, rows, rng):
        """Return the group of each row."""
        if rows.groups is None:
            warnings.warn(
                "fit got no groups of the training samples, whose worst GroupDROClassifier "
                "minimises: the classes stand in for them. Pass groups, or take "
                "CVaRDROClassifier, which needs none.",
                stacklevel=4,
            )
        return np.unique(strata(rows.y, rows.groups), return_inverse=True)[1]

    def _stacks(self, rows, group, settings, seed):
        rng, n_classes, n = np.random.RandomState(seed), len(self.classes_), np.bincount(group)
        log_q = np.full((len(settings), len(n)), -np.log(len(n)))
        adjustment = self.size_adjustment / np.sqrt(n)

        def slopes(logits, batch):
            losses, slope = cross_entropy(logits, one_hot(rows.y[batch], n_classes))
            member = one_hot(group[batch], len(n))
            # An absent group has loss 0, as in the published code.
            count = np.maximum(member.sum(axis=1), 1)
            of_group = losses @ member.T / count + adjustment
            log_q[:] = updated_log_weights(log_q, of_group, self.eta)
            return (np.exp(log_q) / count)[:, None, group[batch]] * slope

        if self.balanced_sampling:
            batches = balanced_over(group, rows.X, self.batch_size, rng)
        else:
            batches = shuffled(rows.X, self.batch_size, rng)
        shape = n_classes, rows.X.shape[1]
        yield from descend(settings, shape, batches, slopes, self.epochs)
        self.group_weights_ = np.exp(log_q)

    def _report(self, group, chosen):
        self.group_weights_ = self.group_weights_[chosen].copy()


def updated_log_weights(log_q, losses, eta):
    """Return the group weights after one exponentiated step: q_g exp(eta l_g), normalised.

    As logarithms, which no eta makes overflow; a weight that has all but vanished can return.
    """
    log_q = log_q + eta * losses
    return log_q - logsumexp(log_q, axis=-1, keepdims=True)


class CVaRDROClassifier(LastLayerClassifier):
    """CVaR DRO: stochastic descent on the mean of each batch's largest losses, no groups.

    Parameters
    ----------
    alpha : float or tuple of float, default=(0.1, 0.3)
        Part of a batch whose losses count; of several, validation samples choose.
    l2 : float or tuple of float, default=(1e-4, 1e-2, 1.0)
        Weight decay; of several, validation samples choose.
    lr : float or tuple of float, default=1e-3
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=50
        Epochs, each a candidate.
    batch_size : int, default=128
        Samples of a batch.
    selection : str or callable, default="auto"
        As in `GroupDROClassifier`.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches.
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
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
    cv_results_ : dict of list
        Every setting, its best epoch and score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    GroupDROClassifier : Uses training groups.

    Notes
    -----
    Fits without groups. Uses validation labels, and validation groups when given, to select.

    References
    ----------
    .. [1] "Large-Scale Methods for Distributionally Robust Optimization", arXiv:2010.05893,
       2020.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import CVaRDROClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = CVaRDROClassifier(epochs=10, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("alpha", "l2", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        "alpha": one_or_several(Interval(Real, 0, 1, closed="right")),
        **DESCENT,
    }

    def __init__(
        self,
        *,
        alpha: OneOrSeveral[float] = (0.1, 0.3),
        l2: OneOrSeveral[float] = (1e-4, 1e-2, 1.0),
        lr: OneOrSeveral[float] = 1e-3,
        epochs: int = 50,
        batch_size: int = 128,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.alpha = alpha
        self.l2 = l2
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _stacks(self, rows, shared, settings, seed):
        import torch  # for fitting alone

        n_classes = len(self.classes_)

        def slopes(logits, batch):
            losses, slope = cross_entropy(logits, one_hot(rows.y[batch], n_classes))
            weights = np.zeros_like(losses)
            for weight, loss, setting in zip(weights, losses, settings, strict=True):
                k = max(1, round(setting["alpha"] * len(batch)))
                weight[torch.from_numpy(loss).topk(k).indices.numpy()] = 1 / k
            return weights[:, None] * slope

        batches = shuffled(rows.X, self.batch_size, np.random.RandomState(seed))
        shape = n_classes, rows.X.shape[1]
        yield from descend(settings, shape, batches, slopes, self.epochs)
