"""EVaLS: rows of high and of low loss retrain the head, inferred environments choose."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.special import log_softmax

from sklearn_hsfm._choosing.folds import mined_and_selecting
from sklearn_hsfm._compat import Interval, one_or_several
from sklearn_hsfm._init_head import A_HEAD
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import Estimator, Head, OneOrSeveral, RandomStateLike, Selection
from sklearn_hsfm.heads._base import CHOOSING, FRACTION, LastLayerClassifier, erm_head
from sklearn_hsfm.heads._dfr import sparse_logistic
from sklearn_hsfm.heads._inferred import A_FINDER, cells_of, fitted_finder, membership


class EVaLSClassifier(LastLayerClassifier):
    """EVaLS: retrain the head on samples of high and of low loss, choose by inferred environments.

    Samples of high loss are mostly those that a shortcut hurts, samples of low loss
    those that it helps; as many of either, of each class, are close to balanced. They come from one
    part of the validation samples. The other part, split into environments by EIIL, chooses: the
    worst accuracy over environment and class. No group label is used anywhere.

    Parameters
    ----------
    n_rows : int or tuple of int, default=(25, 50, 100)
        Samples of highest and samples of lowest loss of each class, no more than half of the
        smallest class; of several, the environments choose.
    C : float or tuple of float, default=(1.0, 0.1, 0.03)
        Inverse strength of the L1 penalty; of several, the environments choose.
    selection_fraction : float, default=0.5
        Part of the validation samples that chooses; the others retrain.
    init_head : None, estimator, tuple, torch.nn.Linear or network, default=None
        The ERM head whose losses count, as in `HSFMClassifier`.
    finder : None or estimator, default=None
        What infers the environments: an estimator with ``fit(X, y)`` and ``predict(X, y)``, the
        cell of each sample, as `~sklearn_hsfm.discovery.ShortcutFinder`. None is EIIL, its method
        "environments". It is fitted on the training samples, standardised.
    selection : str or callable, default="auto"
        How the environments choose: a rule of `sklearn_hsfm.selection`, to which the cells are
        the groups. "auto" is the worst cell.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the parts.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights on raw features.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    finder_ : estimator
        What inferred the environments.
    cell_sizes_ : ndarray of shape (n_cells,)
        Samples of each cell that chose.
    best_params_, best_epoch_, best_score_
        What the environments chose, and its score.
    cv_results_ : dict of list
        Every setting and its score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    DFRClassifier : Knows the groups.
    AFRClassifier : Weighs samples by how unsure ERM is of them.

    Notes
    -----
    Uses validation labels. Groups are ignored.

    EIIL is fitted on cross-fitted margins of training samples, and a validation sample gets the
    environment of training samples with a margin like its own; the paper fits it on the samples
    that choose. There are fewer of these, and where they are balanced ERM says less about them.

    References
    ----------
    .. [1] "Trained Models Tell Us How to Make Them Robust to Spurious Correlation without Group
       Annotation", arXiv:2410.05345, 2024.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import EVaLSClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = EVaLSClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.7
    True
    """

    finder_: Any
    cell_sizes_: np.ndarray

    uses = LabelUse(validation_labels=True)
    _tuned = ("n_rows", "C")

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_rows": one_or_several(Interval(Integral, 1, None, closed="left")),
        "C": one_or_several(Interval(Real, 0, None, closed="neither")),
        "selection_fraction": FRACTION,
        "init_head": [None, *A_HEAD],
        "finder": A_FINDER,
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        n_rows: OneOrSeveral[int] = (25, 50, 100),
        C: OneOrSeveral[float] = (1.0, 0.1, 0.03),
        selection_fraction: float = 0.5,
        init_head: Head | None = None,
        finder: Estimator | None = None,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.n_rows = n_rows
        self.C = C
        self.selection_fraction = selection_fraction
        self.init_head = init_head
        self.finder = finder
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit_head(self, rows, rng):
        retrain, choose = mined_and_selecting(rows.y_val, None, self.selection_fraction, rng)
        coef, intercept = erm_head(self.init_head, rows, slice(None), self.classes_)
        X, y = rows.X_val[retrain], rows.y_val[retrain]
        losses = -log_softmax(X @ coef.T + intercept, axis=1)[np.arange(len(y)), y]
        self.finder_ = fitted_finder(self.finder, "environments", rows, rng)
        X_val, y_val = rows.X_val[choose], rows.y_val[choose]
        cells = membership(cells_of(self.finder_, X_val, y_val))
        self.cell_sizes_ = cells.sum(axis=0)
        rows = rows._replace(X_val=X_val, y_val=y_val, groups_val=cells)
        return self._choose(rows, (X, y, losses), rng)

    def _heads(self, rows, shared, setting, rng):
        X, y, losses = shared
        part = high_and_low(losses, y, setting["n_rows"])
        yield sparse_logistic(X[part], y[part], len(self.classes_), setting["C"], 100, rng)


def high_and_low(losses, y, n_rows):
    """Return the rows of highest and of lowest loss, ``n_rows`` of either from each class.

    Fewer where half of the smallest class is less; a class of one sample gives it twice.
    """
    n_rows = min(n_rows, max(1, np.bincount(y)[np.unique(y)].min() // 2))
    parts = []
    for c in np.unique(y):
        of_class = np.flatnonzero(y == c)
        order = of_class[np.argsort(losses[of_class], kind="stable")]
        parts += [order[:n_rows], order[-n_rows:]]
    return np.concatenate(parts)
