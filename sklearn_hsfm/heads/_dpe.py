"""DPE: an ensemble of prototypes, each on fresh balanced rows and unlike those before."""

from numbers import Integral
from typing import Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm import selection as rules
from sklearn_hsfm._choosing.folds import strata
from sklearn_hsfm._compat import Interval, _fit_context, validate_data
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._progress import PROGRESS, bar
from sklearn_hsfm._typing import ArrayLike, Progress, RandomStateLike, Selection
from sklearn_hsfm._validation_set import ValidationSet
from sklearn_hsfm._version import VersionMixin
from sklearn_hsfm.heads._base import (
    CHOOSING,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    balanced_rows,
    checked_split,
)
from sklearn_hsfm.heads._descent import shuffled


class DPEClassifier(VersionMixin, DocLinkMixin, ClassifierMixin, BaseEstimator):
    """Diversified prototypical ensemble (DPE): distances to prototypes, many times, averaged.

    Each member has a prototype a class, and the nearer one of two points on a sphere wins. It is
    fitted on validation samples that are balanced anew, over groups where they are known, and is
    penalised for looking like the members before it. Probabilities are averaged.

    Distances are not linear in the features: there is no ``coef_``, and the head cannot take the
    place of a network's last layer.

    Parameters
    ----------
    n_members : int, default=15
        Members.
    entropic_scale : float, default=30.0
        Factor of the distances in the loss; in predictions it is 1, as published.
    covariance_penalty : float, default=5e4
        Penalty on the mean product with the prototypes of earlier members.
    covariance_decay : float, default=0.05
        Member k has the penalty divided by ``1 + covariance_decay * k``.
    norm_penalty : float, default=10.0
        Penalty on the mean squared norm of the prototypes.
    lr : float, default=1e-3
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=20
        Epochs of a member, each a candidate.
    batch_size : int, default=256
        Samples of a batch.
    selection : str or callable, default="auto"
        How validation samples choose the epoch of each member: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws samples and starts prototypes.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    prototypes_ : ndarray of shape (n_members, n_classes, n_features)
        Prototypes, of samples that are centred and scaled each by itself.
    distance_scales_ : ndarray of shape (n_members,)
        Factor of the distances of each member.
    scores_ : ndarray of shape (n_members,)
        What the validation samples say of the epoch that was chosen.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    DFRClassifier : Linear heads on balanced samples.

    Notes
    -----
    Uses validation labels, and validation groups when given, to fit and to select. As published,
    the validation samples do both. Of the training samples nothing is used if there is ``X_val``.

    A sample is centred and scaled by its own mean and deviation, which features of a network bear
    and unrelated columns do not. A batch that is not full is used; the published code drops it.

    References
    ----------
    .. [1] "Diversified Prototypical Ensemble Improves Robustness to Subpopulation Shift", ICML
       2025, arXiv:2505.23027.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import DPEClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = DPEClassifier(n_members=3, lr=0.01, random_state=0).fit(
    ...     data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val
    ... )
    >>> clf.score(data.X_test, data.y_test) > 0.7
    True
    """

    classes_: np.ndarray
    prototypes_: np.ndarray
    distance_scales_: np.ndarray
    scores_: np.ndarray
    selection_: str
    n_features_in_: int
    feature_names_in_: np.ndarray

    uses = LabelUse(
        validation_labels=True, validation_groups_fit=True, validation_groups_select=True
    )

    __metadata_request__fit = {  # noqa: RUF012
        "X_val": True,
        "y_val": True,
        "groups": True,
        "groups_val": True,
    }

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "entropic_scale": [POSITIVE],
        "covariance_penalty": [NOT_NEGATIVE],
        "covariance_decay": [NOT_NEGATIVE],
        "norm_penalty": [NOT_NEGATIVE],
        "lr": [POSITIVE],
        "epochs": COUNT,
        "batch_size": COUNT,
        "progress": PROGRESS,
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        n_members: int = 15,
        entropic_scale: float = 30.0,
        covariance_penalty: float = 5e4,
        covariance_decay: float = 0.05,
        norm_penalty: float = 10.0,
        lr: float = 1e-3,
        epochs: int = 20,
        batch_size: int = 256,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.n_members = n_members
        self.entropic_scale = entropic_scale
        self.covariance_penalty = covariance_penalty
        self.covariance_decay = covariance_decay
        self.norm_penalty = norm_penalty
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
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
        """Fit the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training features; looked at where there is no ``X_val``.
        y : array-like of shape (n_samples,)
            Training labels.
        X_val : array-like of shape (n_val, n_features) or ValidationSet, default=None
            Validation features; without them ``validation_fraction`` of ``X`` is held out,
            with its groups.
        y_val : array-like of shape (n_val,), default=None
            Validation labels, of every class.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
            Groups of the training samples, for those that are held out.
        groups_val : array-like of shape (n_val,) or (n_val, n_groups), default=None
            Groups of the validation samples.

        Returns
        -------
        DPEClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, or a member is not finite.
        """
        rng = check_random_state(self.random_state)
        split, _ = checked_split(self, X, y, X_val, y_val, groups, groups_val, rng)
        known = split.groups_val
        self.selection_, rule = rules.resolve_rule(self.selection, known)
        U, cells = on_sphere(split.X_val), strata(split.y_val, known)
        members, self.scores_ = [], np.empty(self.n_members)
        for k in bar(self.progress, range(self.n_members), unit=" members", desc="DPEClassifier"):
            member, self.scores_[k] = self._member(U, split.y_val, known, cells, members, rule, rng)
            members.append(member)
        self.prototypes_, scales = map(np.stack, zip(*members, strict=True))
        self.distance_scales_ = scales[:, 0]
        return self

    def _member(self, U, y, groups, cells, earlier, rule, rng):
        """Return (prototypes, scale) of the next member, and its score."""
        import torch

        rows = balanced_rows(cells, rng)
        start = 0.01 * rng.normal(size=(len(self.classes_), U.shape[1]))
        prototypes = torch.tensor(start, requires_grad=True)
        scale = torch.ones(1, dtype=torch.float64, requires_grad=True)
        before = None
        if earlier:
            before = torch.tensor(np.sum([p for p, _ in earlier], axis=0))
        penalty = self.covariance_penalty / (1 + self.covariance_decay * max(len(earlier) - 1, 0))
        sgd = torch.optim.SGD([prototypes, scale], lr=self.lr, momentum=0.9)
        best, kept = -np.inf, None
        epoch, labels = shuffled(U[rows], self.batch_size, rng), y[rows]
        for _ in range(self.epochs):
            for X, batch in epoch():
                distance = scale.abs() * torch.cdist(
                    torch.tensor(X),
                    torch.nn.functional.normalize(prototypes),
                    compute_mode="donot_use_mm_for_euclid_dist",
                )
                logits = -self.entropic_scale * distance
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[batch]))
                loss = loss + self.norm_penalty * prototypes.square().sum(dim=1).mean()
                if before is not None:
                    product = (prototypes * before).sum(dim=1) / (U.shape[1] - 1 or 1)
                    loss = loss + penalty * (product.mean() / (len(earlier) + 1)).abs()
                sgd.zero_grad()
                loss.backward()
                sgd.step()
            now = prototypes.detach().numpy().copy(), scale.detach().numpy().copy()
            with np.errstate(over="ignore"):
                finite = all(np.isfinite(np.linalg.norm(part)) for part in now)
            if not finite:
                break
            logits = -_distances(U, *now)
            log_proba = logits - logsumexp(logits, axis=1, keepdims=True)
            score = float(rule(y, log_proba, groups))
            if score >= best:
                best, kept = score, now
        if kept is None:
            raise ValueError(
                "No epoch of a member of DPE has finite prototypes. Lower lr or the penalties."
            )
        return kept, best

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class, averaged over members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        U = on_sphere(validate_data(self, X, reset=False, dtype=[np.float64, np.float32]))
        members = zip(self.prototypes_, self.distance_scales_, strict=True)
        return np.mean([softmax(-_distances(U, *member), axis=1) for member in members], axis=0)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        index = self.predict_proba(X).argmax(axis=1)
        return self.classes_[index]

    def __sklearn_tags__(self):
        """Return the tags: columns that are no features of one network are read badly."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # scaling a row takes the length from two columns
        return tags


def on_sphere(X):
    """Return samples, each centred, scaled and of length 1; a constant one as zeros."""
    X = np.asarray(X, dtype=np.float64)
    # By a power of two, which rounds nothing, so that no square overflows or vanishes.
    X = np.ldexp(X, -np.frexp(np.abs(X).max(axis=1, keepdims=True))[1])
    if X.shape[1] > 1:  # one feature, centred, would be nothing
        X = X - X.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norm > 0, norm, 1.0)


def _distances(U, prototypes, scale):
    norm = np.linalg.norm(prototypes, axis=1, keepdims=True)
    P = prototypes / np.maximum(norm, 1e-12)
    squares = (U**2).sum(axis=1)[:, None] + (P**2).sum(axis=1) - 2 * U @ P.T
    return np.abs(scale) * np.sqrt(np.maximum(squares, 0))
