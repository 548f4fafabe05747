"""ShortcutFinder: which samples a shortcut helps and hurts, and whether there is one."""

from numbers import Integral, Real
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._linear_head import fitted_scaler
from sklearn_hsfm._typing import ArrayLike, RandomStateLike
from sklearn_hsfm._validation_set import check_training_rows, class_indices
from sklearn_hsfm._version import VersionMixin
from sklearn_hsfm.discovery import _clusters, _environments, _mistakes, _residual
from sklearn_hsfm.discovery._evidence import (
    CERTAIN_FROM,
    NONE_BELOW,
    Evidence,
    evidence_of,
)
from sklearn_hsfm.discovery._split import MIN_CLASS, as_cells

_METHODS = {  # how to split samples, and how to score new ones
    "residual": (_residual.margin_and_residual, _residual.score),
    "mistakes": (_mistakes.held_out_mistakes, _mistakes.score),
    "iterated_mistakes": (_mistakes.iterated_mistakes, _mistakes.score),
    "environments": (_environments.environments, _environments.score),
    "clusters": (_clusters.clusters, _clusters.score),
}


class ShortcutFinder(VersionMixin, DocLinkMixin, BaseEstimator):
    """Find the samples that a shortcut hurts, from class labels alone.

    A classifier that leans on a shortcut, such as the background, is wrong where the shortcut
    misleads: on few samples of each class. Cross-fitted linear heads, none of which judges a
    sample that it saw, tell these from the others. Whether there are such samples at all is
    asked separately, and the answer may be no.

    Parameters
    ----------
    method : str, default="auto"
        "residual": what ERM says beyond what a repaired head explains, found in turn with the
        repaired head; see Notes. "mistakes": what held-out ERM gets wrong, as in [1]_ and [2]_.
        "iterated_mistakes": in rounds, each of which learns the labels that the one before
        predicted, as in [3]_. "environments": EIIL [4]_ on the logits of held-out ERM.
        "clusters": of the clusters of each class the one on which held-out ERM is worst, as in
        [5]_ and [6]_. "auto" is "residual" where the evidence is for a shortcut, and else finds
        nobody hurt; the others always find somebody.
    share : float, default=0.03
        Part of each class that "residual" takes for surely hurt, 8 samples at least.
    C : float, default=0.001
        Inverse strength of the penalty of the heads, on standardised features.
    cv : int, default=2
        Folds.
    n_repeats : int, default=3
        Times that folds are drawn.
    random_state : int, RandomState instance or None, default=None
        Draws the folds, and starts "environments" and "clusters".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    labels_ : ndarray of shape (n_samples,)
        For each sample of class number ``c`` the integer ``2 * c``, or ``2 * c + 1`` where it
        is hurt. What ``groups`` of a method in `sklearn_hsfm.heads` may be.
    cells_ : bool ndarray of shape (n_samples, 2 * n_classes)
        The samples that are clearly helped and hurt, in columns numbered likewise; "residual"
        leaves those in between out of both.
    scores_ : ndarray of shape (n_samples,)
        The higher, the more a shortcut hurts the sample; comparable within a class.
    threshold_ : ndarray of shape (n_classes,)
        A sample is hurt if its score is this or more; infinite where nobody of the class is.
    found_ : bool
        Whether the evidence is for a shortcut; None where the samples are too few to tell.
    evidence_ : dict of ndarray of shape (n_classes,)
        "skewness" along what hurts the other classes, "error", its standard error,
        "informedness" of a repaired head about hurt and helped, and "n_hurt", the samples that
        are hurt.
    strength_ : float
        How much of a repair the evidence warrants, from 0 to 1.
    reason_ : str
        The answer in words.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    sklearn_hsfm.HSFMClassifierCV : Repairs a classifier by what is found.

    Notes
    -----
    Uses class labels alone.

    "residual" starts from the margins of class-balanced ERM, out of fold. Four times, the
    samples with the highest scores of each class are taken for hurt, its lowest 70 % for helped,
    and a head is fitted on which these cells weigh the same. What ERM says less for a sample than
    its margin under that head explains, and the margin, are the next score, each standardised
    within the class. At the end the samples are hurt that are three quarters of the way or
    more from the median of the helped to the mean of the surely hurt: of a population of its own
    all, however many, of a tail a few per cent.

    The evidence is a test of transfer. The attribute that misleads in one class is there in the
    others, too, where it usually helps. So a head that tells hurt from helped in the other
    classes is applied to a class that it never saw: a shortcut shows as a heavy upper tail,
    whose measure is the skewness. Below a mean of 0.5 over classes nothing is found, from 1.2
    a repair is fully warranted; `benchmarks family` has the sixty data sets on which this was
    settled. Samples with a wrong label are a tail as well, but like the helped of another class:
    a head on which the cells weigh the same cannot get both right. Its informedness, accuracy on
    the hurt plus accuracy on the helped less one, out of fold, has to be 0.3 on the mean over two
    classes, and 0.6 over their number for more; with a tenth of the labels of our sets wrong it
    was 0.24 at most, with a shortcut 0.38 at least. A hidden subpopulation that is hard for its
    own reasons, such as a species that looks like the other class, can pass the test.

    A class of fewer than 32 samples is not split.

    References
    ----------
    .. [1] E. Liu et al.: "Just Train Twice: Improving Group Robustness without Training Group
       Information", ICML 2021.
    .. [2] T. LaBonte, V. Muthukumar, A. Kumar: "Towards Last-layer Retraining for Group Robustness
       with Fewer Annotations", NeurIPS 2023.
    .. [3] M. Pezeshki et al.: "Discovering Environments with XRM", ICML 2024.
    .. [4] E. Creager, J.-H. Jacobsen, R. Zemel: "Environment Inference for Invariant Learning",
       ICML 2021.
    .. [5] N. Sohoni et al.: "No Subclass Left Behind: Fine-Grained Robustness in Coarse-Grained
       Classification Problems", NeurIPS 2020.
    .. [6] Y. Yang et al.: "Identifying Spurious Biases Early in Training through the Lens of
       Simplicity Bias", AISTATS 2024.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.discovery import ShortcutFinder
    >>> data = load_digit_dominoes(random_state=0)
    >>> finder = ShortcutFinder(random_state=0).fit(data.X_train, data.y_train)
    >>> finder.found_
    True
    >>> finder.predict(data.X_val[:3], data.y_val[:3]).shape
    (3,)
    """

    classes_: np.ndarray
    labels_: np.ndarray
    cells_: np.ndarray
    scores_: np.ndarray
    threshold_: np.ndarray
    found_: bool
    evidence_: dict[str, np.ndarray]
    strength_: float
    reason_: str
    n_features_in_: int
    feature_names_in_: np.ndarray

    _parameter_constraints: dict = {  # noqa: RUF012
        "method": [StrOptions({"auto", *_METHODS})],
        "share": [Interval(Real, 0, 0.3, closed="neither")],
        "C": [Interval(Real, 0, None, closed="neither")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        method: str = "auto",
        *,
        share: float = 0.03,
        C: float = 1e-3,
        cv: int = 2,
        n_repeats: int = 3,
        random_state: RandomStateLike = None,
    ):
        self.method = method
        self.share = share
        self.C = C
        self.cv = cv
        self.n_repeats = n_repeats
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find the samples that are hurt.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        ShortcutFinder
            The fitted finder.

        Raises
        ------
        ValueError
            If the arrays are not finite or do not fit together, or ``y`` has one class.
        """
        X, y = check_training_rows(self, X, y)
        rng = check_random_state(self.random_state)
        self._scaler = fitted_scaler(X)
        sizes = np.bincount(y)
        if sizes.min() < 2 * self.cv or sizes.max() < MIN_CLASS:
            return self._too_few(y, sizes)
        Z = self._scaler.transform(X)
        split, _ = _METHODS[self._name]
        found = split(Z, y, rng, C=self.C, share=self.share, cv=self.cv, n_repeats=self.n_repeats)
        hurt = found.scores >= found.threshold[y]
        evidence = evidence_of(Z, y, found.helped, found.surely, found.logits, self.C, rng)
        self._answer(evidence, np.bincount(y[hurt], minlength=len(sizes)))
        self._state, self.scores_, self.threshold_ = found.state, found.scores, found.threshold
        helped = found.helped
        if self.method == "auto" and not self.found_:
            self.threshold_, helped = np.full(len(sizes), np.inf), np.ones(len(y), dtype=bool)
        hurt = self.scores_ >= self.threshold_[y]
        self.labels_, self.cells_ = 2 * y + hurt, as_cells(y, helped, hurt, len(sizes))
        return self

    def predict(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return which samples are hurt, numbered as in ``labels_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        ndarray of shape (n_samples,)
            ``2 * c``, or ``2 * c + 1`` where a sample of class number ``c`` is hurt.
        """
        scores = self.score_samples(X, y)
        index = np.searchsorted(self.classes_, y)
        return 2 * index + (scores >= self.threshold_[index])

    def score_samples(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return how much a shortcut hurts each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        ndarray of shape (n_samples,)
            Scores, as in ``scores_``; 0 where the samples of ``fit`` were too few to tell.
        """
        check_is_fitted(self)
        X, y = validate_data(self, X, y, reset=False, dtype=[np.float64, np.float32])
        y = class_indices(column_or_1d(y), self.classes_, "y")
        if self._state is None:
            return np.zeros(len(y))
        return _METHODS[self._name][1](self._scaler.transform(X), y, self._state)

    @property
    def _name(self):
        return "residual" if self.method == "auto" else self.method

    def _answer(self, evidence, n_hurt):
        """Store the evidence, and what follows from it."""
        mean, error = evidence.mean
        self.evidence_ = {**evidence._asdict(), "n_hurt": n_hurt}
        self.strength_ = evidence.strength
        shown = (
            f"skewness {mean:.2f} ± {error:.2f}; a repair begins at {NONE_BELOW} and is whole from "
            f"{CERTAIN_FROM}"
        )
        if np.isnan(mean):
            self.found_ = None
            self.reason_ = "No class could be compared with another."
            return
        self.found_ = bool(mean > NONE_BELOW and evidence.readable)
        if mean > NONE_BELOW and not evidence.readable:
            self.reason_ = (
                "What sets samples apart may be wrong labels: no head that is told of them reads "
                "them without misreading others (informedness "
                f"{np.nanmean(evidence.informedness):.2f}; {evidence.least:.2f} is needed)."
            )
            return
        self.reason_ = (
            "A second population: what hurts one class sets a few samples of the others apart "
            f"({shown})."
            if self.found_
            else "No second population: what hurts one class sets nobody in the others apart "
            f"({shown})."
        )

    def _too_few(self, y, sizes):
        """Store that nothing can be told."""
        n_classes = len(sizes)
        nothing = np.full((3, n_classes), np.nan)
        self._answer(Evidence(*nothing), np.zeros(n_classes, dtype=int))
        self.reason_ = (
            f"The classes have {sizes.min()} to {sizes.max()} samples; {2 * self.cv} of each and "
            f"{MIN_CLASS} of one are needed."
        )
        self._state, self.scores_ = None, np.zeros(len(y))
        self.threshold_ = np.full(n_classes, np.inf)
        every = np.ones(len(y), dtype=bool)
        self.labels_, self.cells_ = 2 * y, as_cells(y, every, ~every, n_classes)
        return self
