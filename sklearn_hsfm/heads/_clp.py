"""Causal logit perturbation on features: a network learns which rows to make harder."""

from numbers import Integral
from typing import Literal

import numpy as np

from sklearn_hsfm._choosing.folds import strata
from sklearn_hsfm._compat import Interval, StrOptions, one_or_several
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import (
    CHOOSING,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    LastLayerClassifier,
    balanced_rows,
)


class CLPClassifier(LastLayerClassifier):
    """Causal logit perturbation (CLP) on frozen features, without its pixels.

    A perturbation network looks at ten characteristics of a training sample and shifts the logit
    of its class. It learns, batch by batch, to make shifts after which a step of the head does
    better on balanced validation samples.

    What of the paper needs pixels is absent: metadata with replaced foregrounds and
    backgrounds, their factual and counterfactual losses, and the saliency term. What is left is
    a learned logit adjustment, with plain cross-entropy on the metadata.

    Parameters
    ----------
    meta_balance : {"class", "group"}, default="class"
        What metadata, drawn from the validation samples, are balanced over.
    meta_rows : int, default=1000
        Samples of metadata at most.
    lr : float or tuple of float, default=(1e-3, 1e-2)
        Learning rate of the head, SGD with Nesterov momentum 0.9; of several, validation samples
        choose.
    l2 : float or tuple of float, default=5e-4
        Weight decay of the head.
    perturbation_lr : float, default=1e-3
        Learning rate of the perturbation network, Adam with weight decay 1e-4.
    epochs : int, default=20
        Epochs, each a candidate.
    batch_size : int, default=128
        Samples of a batch, of training samples and of metadata.
    selection : str or callable, default="auto"
        How validation samples choose epoch and setting: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches, metadata, and where the network starts.
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
    perturbations_ : ndarray of shape (n_samples,)
        Shifts of the training samples' own logits, when last seen in the chosen setting.
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

    Notes
    -----
    Uses validation labels, as metadata and to select; validation groups when given to select,
    and with ``meta_balance="group"`` to fit. Metadata also choose, which flatters them.

    The shift goes to the logit of the sample's class: added to all of them, softmax would not see
    it. The network persists through training, and class means are those of the last epoch.

    References
    ----------
    .. [1] "Mitigating Spurious Correlations with Causal Logit Perturbation",
       arXiv:2505.15246, 2025.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import CLPClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = CLPClassifier(epochs=5, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    perturbations_: np.ndarray

    uses = LabelUse(validation_labels=True, validation_groups_select=True)
    _tuned = ("lr", "l2")

    _parameter_constraints: dict = {  # noqa: RUF012
        "meta_balance": [StrOptions({"class", "group"})],
        "meta_rows": COUNT,
        "lr": one_or_several(POSITIVE),
        "l2": one_or_several(NOT_NEGATIVE),
        "perturbation_lr": [POSITIVE],
        "epochs": COUNT,
        "progress": PROGRESS,
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        **CHOOSING,
    }

    def __init__(
        self,
        *,
        meta_balance: Literal["class", "group"] = "class",
        meta_rows: int = 1000,
        lr: OneOrSeveral[float] = (1e-3, 1e-2),
        l2: OneOrSeveral[float] = 5e-4,
        perturbation_lr: float = 1e-3,
        epochs: int = 20,
        batch_size: int = 128,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.meta_balance = meta_balance
        self.meta_rows = meta_rows
        self.lr = lr
        self.l2 = l2
        self.perturbation_lr = perturbation_lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _prepare(self, rows, rng):
        """Return rows and metadata, and the shifts of every setting."""
        cells = rows.y_val
        if self.meta_balance == "group":
            if rows.groups_val is None:
                raise ValueError(
                    "CLPClassifier(meta_balance='group') balances its metadata over the groups "
                    "of the validation samples, and fit got none. Pass groups_val, or take "
                    "meta_balance='class'."
                )
            cells = strata(rows.y_val, rows.groups_val)
        meta = balanced_rows(cells, rng, at_most=self.meta_rows)
        return rows.X, rows.X_val[meta], rows.y, rows.y_val[meta], []

    def _heads(self, rows, shared, setting, rng):
        from sklearn_hsfm.heads._perturbation import perturbed_heads  # torch is for fitting alone

        *data, shifts_of = shared
        shifts_of.append(np.zeros(len(rows.y)))
        rates = {**setting, "perturbation_lr": self.perturbation_lr}
        size = {"epochs": self.epochs, "batch_size": self.batch_size}
        yield from perturbed_heads(
            *data, shifts_of[-1], len(self.classes_), **rates, **size, rng=rng
        )

    def _report(self, shared, chosen):
        self.perturbations_ = shared[-1][chosen]
