"""LISA in feature space: mix rows across the shortcut, or across the classes."""

import warnings
from numbers import Real

import numpy as np

from sklearn_hsfm._compat import Interval
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._typing import OneOrSeveral, Progress, RandomStateLike, Selection
from sklearn_hsfm.heads._base import NOT_NEGATIVE, LastLayerClassifier
from sklearn_hsfm.heads._descent import DESCENT, balanced_over, cross_entropy, descend, one_hot
from sklearn_hsfm.heads._jtt import cross_fitted_errors


class LISAClassifier(LastLayerClassifier):
    """LISA on features: selective mixup, within a class across attributes or the reverse.

    Parameters
    ----------
    alpha : float, default=2.0
        Mixing shares are drawn from Beta(alpha, alpha); 0 leaves samples as they are.
    p_sel : float, default=0.5
        Probability that a batch mixes samples of one class and different attributes; otherwise
        of one attribute and different classes.
    l2 : float or tuple of float, default=(1e-4, 1e-2, 1.0)
        Weight decay; of several, validation samples choose.
    lr : float or tuple of float, default=1e-3
        Learning rate of SGD with momentum 0.9.
    epochs : int, default=50
        Epochs, each a candidate.
    batch_size : int, default=128
        Samples of a batch, drawn such that all combinations of class and attribute are as likely.
    selection : str or callable, default="auto"
        How validation samples choose epoch and setting: a rule of `sklearn_hsfm.selection`;
        "auto" is the worst group, without groups the worst class.
    validation_fraction : float, default=0.2
        Part of ``X`` that is held out to choose when ``fit`` gets no ``X_val``.
    random_state : int, RandomState instance or None, default=None
        Draws batches, partners and shares.
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

    Notes
    -----
    Uses training groups to fit; validation labels, and validation groups when given, to
    select. As ``groups`` pass the attribute (land, water), which classes share: from ids that
    name class and attribute together one cannot tell which samples of two classes share theirs,
    so then all mixing is within classes. Without groups, samples that cross-fitted ERM gets right
    and wrong stand in for the attribute. Both are said in a warning.

    A sample without a partner stays as it is.

    References
    ----------
    .. [1] "Improving Out-of-Distribution Robustness via Selective Augmentation",
       arXiv:2201.00299, 2022.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.heads import LISAClassifier
    >>> data = make_spurious_features(random_state=0)
    >>> attribute = data.groups_train % 2
    >>> clf = LISAClassifier(epochs=10, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups=attribute)
    >>> clf.score(data.X_test, data.y_test) > 0.6
    True
    """

    uses = LabelUse(training_groups=True, validation_labels=True, validation_groups_select=True)
    _tuned = ("l2", "lr")

    _parameter_constraints: dict = {  # noqa: RUF012
        "alpha": [NOT_NEGATIVE],
        "p_sel": [Interval(Real, 0, 1, closed="both")],
        **DESCENT,
    }

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        p_sel: float = 0.5,
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
        self.p_sel = p_sel
        self.l2 = l2
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def _prepare(self, rows, rng):
        attribute = rows.groups
        if attribute is None:
            warnings.warn(
                "fit got no groups of the training samples, across which LISAClassifier mixes: "
                "samples that cross-fitted ERM gets right and wrong stand in for them.",
                stacklevel=4,
            )
            attribute = cross_fitted_errors(rows, 1e-3, 5, rng).astype(int)
        elif all(len(np.unique(rows.y[attribute == a])) == 1 for a in np.unique(attribute)):
            warnings.warn(
                "Every group lies within one class, so samples of two classes share none and all "
                "mixing is within classes. Pass the attribute alone as groups to mix both ways.",
                stacklevel=4,
            )
        return Partners(rows.y, attribute)

    def _stacks(self, rows, partners, settings, seed):
        rng, n_classes = np.random.RandomState(seed), len(self.classes_)
        # Of their own, so that batches are drawn as without mixing.
        mixing = np.random.RandomState(rng.randint(np.iinfo(np.int32).max))
        batches = balanced_over(partners.cell, rows.X, self.batch_size, rng)

        def mixed():
            for X, batch in batches():
                within = not partners.across_classes or mixing.uniform() < self.p_sel
                other = partners.draw(batch, within, mixing)
                share = np.ones(len(batch))
                if self.alpha > 0:
                    share = mixing.beta(self.alpha, self.alpha, size=len(batch))
                X_other = rows.X[other]
                X *= share[:, None]  # in place: what is mixed is what a step costs
                X_other *= 1 - share[:, None]
                X += X_other
                Y, Y_other = (one_hot(rows.y[index], n_classes) for index in (batch, other))
                yield X, share * Y + (1 - share) * Y_other

        def slopes(logits, target):
            return cross_entropy(logits, target)[1] / target.shape[1]

        shape = n_classes, rows.X.shape[1]
        yield from descend(settings, shape, mixed, slopes, self.epochs)


class Partners:
    """Draw, for each sample, one to mix it with.

    Parameters
    ----------
    y, attribute : ndarray of shape (n_samples,)
        Class and attribute of each sample.
    """

    def __init__(self, y, attribute):
        cells, self.cell = np.unique(np.column_stack([y, attribute]), axis=0, return_inverse=True)
        self.cell = self.cell.ravel()
        self.order = np.argsort(self.cell, kind="stable")  # cell after cell
        self.size = np.bincount(self.cell)
        self.start = np.cumsum(self.size) - self.size
        same = cells[:, None] == cells  # (n_cells, n_cells, 2)
        self.within = [np.flatnonzero(s[:, 0] & ~s[:, 1]) for s in same]
        self.across = [np.flatnonzero(~s[:, 0] & s[:, 1]) for s in same]
        self.across_classes = any(len(cells) for cells in self.across)

    def draw(self, rows, within, rng):
        """Return a partner for each sample: of a uniformly drawn cell that qualifies, or itself."""
        other = rows.copy()
        for k in np.unique(self.cell[rows]):
            choices = (self.within if within else self.across)[k]
            if len(choices):
                here = np.flatnonzero(self.cell[rows] == k)
                drawn = rng.choice(choices, size=len(here))
                other[here] = self.order[self.start[drawn] + rng.randint(self.size[drawn])]
        return other
