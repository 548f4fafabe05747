"""FG-CCDB: weights on which what a biased head says is distributed alike in every class."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm._choosing.folds import stratified_part
from sklearn_hsfm._compat import one_or_several
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, RandomStateLike, Selection
from sklearn_hsfm.heads._base import (
    CHOOSING,
    COUNT,
    FRACTION,
    POSITIVE,
    LastLayerClassifier,
    weighted_regression,
)


class FGCCDBClassifier(LastLayerClassifier):
    """MST and FG-CCDB: retrain a head on what it is sure of, then balance what it says.

    A head that starts on a tenth of the samples and is retrained, three times, on the half of each
    class that it is surest of, says what the shortcut says. Its answer s and the class y are the
    cells, and samples are weighted such that s is distributed alike in every class.

    Parameters
    ----------
    first_fraction : float, default=0.1
        Part of the samples that the biased head starts on.
    sure_fraction : float, default=0.5
        Part of each class, the surest, that it is retrained on.
    n_stages : int, default=3
        Times that it is retrained.
    biased_C : float, default=1e-3
        Inverse strength of its penalty.
    C : float or tuple of float, default=(0.001, 0.01, 0.1)
        Inverse strength of the L2 penalty of the head; of several, validation samples choose.
    selection : str or callable, default="worst_class"
        How validation samples choose: a rule of `sklearn_hsfm.selection`; the paper's is the worst
        class, which needs no groups. "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the first part.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    cells_ : ndarray of shape (n_classes, n_classes)
        Samples that trained for which the biased head says the class of the sample and the label is
        that of the column.
    best_params_, best_epoch_, best_score_
        What the validation samples chose, and its score.
    cv_results_ : dict of list
        Every setting and its score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    Notes
    -----
    Uses validation labels to select; their groups only where ``selection`` is a rule that does.

    With q(s) the share of an answer among all samples and P(s | y) that among the samples of a
    class, a sample has the weight ``q(s) / P(s | y)``, divided by the samples of its class: then
    answers have the distribution q in every class that has samples of all of them, and classes
    weigh the same. The paper's own code could not be read, and its biased network is deep and
    overfits its tenth; a penalised linear head does not, so its mistakes are those of a simple
    rule, too.

    References
    ----------
    .. [1] "Fine-Grained Class-Conditional Distribution Balancing for Debiased Learning",
       arXiv:2505.06831, 2026.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import FGCCDBClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = FGCCDBClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    cells_: np.ndarray

    uses = LabelUse(validation_labels=True)
    _tuned = ("C",)

    _parameter_constraints: dict = {  # noqa: RUF012
        **CHOOSING,
        "first_fraction": FRACTION,
        "sure_fraction": FRACTION,
        "n_stages": COUNT,
        "biased_C": [POSITIVE],
        "C": one_or_several(POSITIVE),
    }

    def __init__(
        self,
        *,
        first_fraction: float = 0.1,
        sure_fraction: float = 0.5,
        n_stages: int = 3,
        biased_C: float = 1e-3,
        C: OneOrSeveral[float] = (0.001, 0.01, 0.1),
        selection: Selection = "worst_class",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.first_fraction = first_fraction
        self.sure_fraction = sure_fraction
        self.n_stages = n_stages
        self.biased_C = biased_C
        self.C = C
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _prepare(self, rows, rng):
        part = stratified_part(rows.y, self.first_fraction, rng)
        for c in range(len(self.classes_)):  # every class is seen
            of_class = np.flatnonzero(rows.y == c)
            if not part[of_class].any():
                part[of_class[0]] = True
        for _ in range(self.n_stages + 1):
            model = LogisticRegression(C=self.biased_C, max_iter=1000)
            model.fit(rows.X[part], rows.y[part])
            part = surest(model.predict_proba(rows.X), rows.y, self.sure_fraction)
        weight, self.cells_ = ccdb_weights(model.predict(rows.X), rows.y, len(self.classes_))
        return weight

    def _heads(self, rows, weight, setting, rng):
        yield weighted_regression(rows, setting["C"], weight)


def surest(proba, y, fraction):
    """Return the part of each class to which a head gives its class most surely, as a mask."""
    p, mask = proba[np.arange(len(y)), y], np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        of_class = np.flatnonzero(y == c)
        order = of_class[np.argsort(-p[of_class], kind="stable")]
        mask[order[: max(1, round(fraction * len(order)))]] = True
    return mask


def ccdb_weights(said, y, n_classes):
    """Return weights of mean 1, and the counts of cells (what is said, class).

    Weighted, what is said is distributed in each class as it is in all samples.
    """
    M = np.zeros((n_classes, n_classes))
    np.add.at(M, (said, y), 1)
    J = M / len(y)
    P, q = J / J.sum(axis=0), J.sum(axis=1)
    weight = q[said] / P[said, y] / np.bincount(y)[y]
    return weight * len(y) / weight.sum(), M.astype(int)
