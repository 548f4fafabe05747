"""uLA: logits adjusted by how often a biased head's answer goes with each class."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm._compat import one_or_several
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import one_row_per_class
from sklearn_hsfm._typing import OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import NOT_NEGATIVE, POSITIVE, LastLayerClassifier
from sklearn_hsfm.heads._descent import DESCENT, cross_entropy, descend, one_hot, shuffled
from sklearn_hsfm.heads._inferred import membership


class ULAClassifier(LastLayerClassifier):
    """Logit adjustment (uLA): train on logits that are adjusted by what a biased head has said.

    A strongly penalised head stands for the shortcut. Training adds ``tau * log P(y | what it
    says)`` to the logits, so that the head that is kept need not learn what the biased one knows.
    Validation samples choose by the mean accuracy over cells of biased answer and class. No group
    label is used anywhere.

    Parameters
    ----------
    tau : float or tuple of float, default=(0.0, 0.5, 1.0)
        Strength of the adjustment; 1 in the paper, and 0 is ERM. Of several, validation samples
        choose.
    biased_C : float, default=1e-4
        Inverse strength of the penalty of the biased head.
    l2 : float or tuple of float, default=1e-2
        Weight decay.
    lr : float or tuple of float, default=(1e-3, 1e-2)
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=50
        Epochs, each a candidate.
    batch_size : int, default=128
        Samples of a batch.
    selection : str or callable, default="auto"
        How validation samples choose epoch and setting. "auto" is the paper's: the mean accuracy
        over cells of biased answer and class. A rule of `sklearn_hsfm.selection` gets these cells
        as groups.
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
    log_prior_ : ndarray of shape (n_classes, n_classes)
        Logarithm of the share of each class, by column, among training samples for which the biased
        head says the class of the sample.
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
    Uses validation labels. Groups are ignored.

    The published biased head is linear, too, but on features of self-supervised training, which
    has seen no label. On the features that the head itself is fitted on, its answers are close to
    those of ERM, and where it is right about nearly all of a class, the adjustment is large and
    leaves the head nothing to learn: the smaller ``tau`` are there for that. One sample is added to
    every count of answer and class, so that no share is 0.

    References
    ----------
    .. [1] "Group Robust Classification Without Any Group Information", arXiv:2310.18555, 2023.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.heads import ULAClassifier
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = ULAClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> clf.score(data.X_test, data.y_test) > 0.5
    True
    """

    log_prior_: np.ndarray

    uses = LabelUse(validation_labels=True)
    _tuned = ("tau", "l2", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        "tau": one_or_several(NOT_NEGATIVE),
        "biased_C": [POSITIVE],
        **DESCENT,
    }

    def __init__(
        self,
        *,
        tau: OneOrSeveral[float] = (0.0, 0.5, 1.0),
        biased_C: float = 1e-4,
        l2: OneOrSeveral[float] = 1e-2,
        lr: OneOrSeveral[float] = (1e-3, 1e-2),
        epochs: int = 50,
        batch_size: int = 128,
        selection: Selection = "auto",
        validation_fraction: float = 0.2,
        random_state: RandomStateLike = None,
        progress: Progress = "auto",
    ):
        self.tau = tau
        self.biased_C = biased_C
        self.l2 = l2
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _fit_head(self, rows, rng):
        model = LogisticRegression(C=self.biased_C, class_weight="balanced", max_iter=1000)
        model.fit(rows.X, rows.y)
        n_classes = len(self.classes_)
        self.log_prior_ = log_prior(model.predict(rows.X), rows.y, n_classes)
        cells = membership(n_classes * model.predict(rows.X_val) + rows.y_val)
        said = one_row_per_class(model.coef_, model.intercept_)
        return self._choose(rows._replace(groups_val=cells), said, rng)

    def _stacks(self, rows, biased, settings, seed):
        rng, n_classes = np.random.RandomState(seed), len(self.classes_)
        coef, intercept = biased
        said, target = (rows.X @ coef.T + intercept).argmax(axis=1), one_hot(rows.y, n_classes)
        tau = np.array([s["tau"] for s in settings])[:, None, None]

        def slopes(logits, batch):
            adjusted = logits + tau * self.log_prior_[said[batch]].T
            return cross_entropy(adjusted, target[:, batch])[1] / len(batch)

        batches = shuffled(rows.X, self.batch_size, rng)
        shape = n_classes, rows.X.shape[1]
        yield from descend(settings, shape, batches, slopes, self.epochs)

    def _rule(self, rows, setting):
        if self.selection != "auto":
            return super()._rule(rows, setting)
        return "mean_cell", mean_cell


def log_prior(said, y, n_classes):
    """Return log P(y | what the biased head says), one row for each answer."""
    counts = np.ones((n_classes, n_classes))
    np.add.at(counts, (said, y), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True))


def mean_cell(y, log_proba, groups):
    """Return the mean over cells, boolean columns, of their accuracy."""
    right = log_proba.argmax(axis=1) == y
    return float(np.mean(groups.T.astype(float) @ right / groups.sum(axis=0)))
