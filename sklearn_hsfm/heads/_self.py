"""SELF: fine-tune the head on the held-out rows that training changed its mind about."""

from typing import Literal

import numpy as np
from scipy.special import log_softmax

from sklearn_hsfm._choosing.folds import mined_and_selecting
from sklearn_hsfm._compat import StrOptions, one_or_several
from sklearn_hsfm._init_head import A_HEAD
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import Head, OneOrSeveral, RandomStateLike, Selection
from sklearn_hsfm.heads._base import CHOOSING, COUNT, POSITIVE, LastLayerClassifier, erm_head
from sklearn_hsfm.heads._descent import cross_entropy, descend, one_hot, shuffled


class SELFClassifier(LastLayerClassifier):
    """Selective last-layer finetuning (SELF): refit on few informative held-out samples.

    Half of the validation samples are ranked by how far an early-stopped head and the ERM head
    disagree, or by the loss; the ERM head is fine-tuned on the top ones, balanced over
    classes. The other half chooses.

    Parameters
    ----------
    criterion : {"early_stop", "misclassification"}, default="early_stop"
        What ranks samples: the divergence KL(early-stopped || ERM), which needs no label but
        those of the chosen samples, or the loss of the ERM head.
    n_rows : int or tuple of int, default=(20, 100, 500)
        Samples to fine-tune on; of several, validation samples choose.
    lr : float or tuple of float, default=(1e-4, 1e-3, 1e-2)
        Learning rate of descent; of several, validation samples choose.
    steps : int, default=250
        Full-batch steps, each a candidate.
    early_epochs : int, default=1
        Epochs of descent that make the early-stopped head.
    init_head : None, estimator, tuple, torch.nn.Linear or network, default=None
        The ERM head, as in `HSFMClassifier`.
    selection : str or callable, default="auto"
        How validation samples choose step and setting: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws the halves and the order of descent.

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
        Every setting, its best step and score.
    selection_ : str
        The rule that chose.
    n_features_in_ : int
        Features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names, where ``X`` has them.

    See Also
    --------
    ClassBalancedClassifier : Refits on all of them.

    Notes
    -----
    Uses validation labels to fit and select, and validation groups when given to select.

    On frozen features an early-stopped head is one after few epochs of descent from zero; the
    published code takes checkpoints of the network.

    References
    ----------
    .. [1] "Towards Last-layer Retraining for Group Robustness with Fewer Annotations",
       arXiv:2309.08534, 2023.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import SELFClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = SELFClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("n_rows", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        "criterion": [StrOptions({"early_stop", "misclassification"})],
        "n_rows": one_or_several(*COUNT),
        "lr": one_or_several(POSITIVE),
        "steps": COUNT,
        "early_epochs": COUNT,
        "init_head": [None, *A_HEAD],
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        criterion: Literal["early_stop", "misclassification"] = "early_stop",
        n_rows: OneOrSeveral[int] = (20, 100, 500),
        lr: OneOrSeveral[float] = (1e-4, 1e-3, 1e-2),
        steps: int = 250,
        early_epochs: int = 1,
        init_head: Head | None = None,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
    ):
        self.criterion = criterion
        self.n_rows = n_rows
        self.lr = lr
        self.steps = steps
        self.early_epochs = early_epochs
        self.init_head = init_head
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit_head(self, rows, rng):
        pool, selecting = mined_and_selecting(rows.y_val, rows.groups_val, 0.5, rng)
        groups = None if rows.groups_val is None else rows.groups_val[selecting]
        judges = rows._replace(
            X_val=rows.X_val[selecting], y_val=rows.y_val[selecting], groups_val=groups
        )
        ranked = self._ranked(rows, rows.X_val[pool], rows.y_val[pool], rng)
        return self._choose(judges, ranked, rng)

    def _ranked(self, rows, X, y, rng):
        """Return the ERM head, the rows that may be fitted, and their order of worth."""
        erm = erm_head(self.init_head, rows, slice(None), self.classes_)
        final = log_softmax(X @ erm[0].T + erm[1], axis=1)
        if self.criterion == "misclassification":
            worth = -final[np.arange(len(y)), y]
        else:
            coef, intercept = self._early(rows, rng)
            early = log_softmax(X @ coef.T + intercept, axis=1)
            worth = np.sum(np.exp(early) * (early - final), axis=1)
        return erm, X, y, np.argsort(-worth, kind="stable")

    def _early(self, rows, rng):
        def slopes(logits, batch):
            target = one_hot(rows.y[batch], len(self.classes_))
            return cross_entropy(logits, target)[1] / len(batch)

        shape, batches = (len(self.classes_), rows.X.shape[1]), shuffled(rows.X, 128, rng)
        *_, last = descend([{"lr": 1e-3}], shape, batches, slopes, self.early_epochs)
        return last[0][0], last[1][0]

    def _stacks(self, rows, ranked, settings, seed):
        erm, X, y, order = ranked
        share = np.zeros((len(settings), len(y)))  # of each row in the loss of each setting
        for weight, setting in zip(share, settings, strict=True):
            per_class = max(1, setting["n_rows"] // len(self.classes_))
            of_class = [order[y[order] == c][:per_class] for c in np.unique(y)]
            for chosen in of_class:  # balanced anyway
                weight[chosen] = 1 / len(chosen) / len(of_class)
        some = share.any(axis=0)
        X, share, target = X[some], share[:, some], one_hot(y[some], len(self.classes_))

        def slopes(logits, _):
            return share[:, None] * cross_entropy(logits, target)[1]

        whole = [(X, None)]
        yield from descend(settings, erm[0].shape, lambda: whole, slopes, self.steps, start=erm)
