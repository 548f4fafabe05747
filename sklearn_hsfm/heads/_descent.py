"""Stochastic descent on linear heads, for the methods that are defined by it."""

import numpy as np
from scipy.special import log_softmax

from sklearn_hsfm._compat import one_or_several
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm.heads._base import CHOOSING, COUNT, NOT_NEGATIVE, POSITIVE

# Constraints of the methods that are stochastic descent.
DESCENT: dict = {
    "l2": one_or_several(NOT_NEGATIVE),
    "lr": one_or_several(POSITIVE),
    "epochs": COUNT,
    "batch_size": COUNT,
    "progress": PROGRESS,
    **CHOOSING,
}


def descend(settings, shape, batches, slopes, n_epochs, *, start=(0.0, 0.0), adam=False):
    """Move a stack of heads down, one for each setting; yield it after every epoch.

    All heads see the same batches, so that gathering the samples and the two products with them,
    which is what a step costs, are paid once.

    Parameters
    ----------
    settings : list of dict
        ``lr`` and, where there is a penalty, ``l2`` of each head.
    shape : tuple of int
        Classes and features.
    batches : callable
        Returns the batches of an epoch: features (n_rows, n_features), and what ``slopes`` is
        to know of them.
    slopes : callable
        ``slopes(logits, known)`` is the gradient of each head's loss in its logits, both
        (n_heads, n_classes, n_rows).
    n_epochs : int
    start : tuple, default=(0.0, 0.0)
        Coefficients and intercepts to start at; what broadcasts to those of the stack.
    adam : bool, default=False
        Adam instead of SGD with momentum 0.9.

    Yields
    ------
    coef : ndarray of shape (n_heads, n_classes, n_features)
    intercept : ndarray of shape (n_heads, n_classes)
    """
    coef, intercept = (
        np.array(np.broadcast_to(part, (len(settings), *size)), dtype=float)
        for part, size in zip(start, (shape, shape[:1]), strict=True)
    )
    intercept = intercept[..., None]
    lr, l2 = (np.array([s.get(n, 0.0) for s in settings])[:, None, None] for n in ("lr", "l2"))
    moved = [(part, Adam() if adam else Momentum()) for part in (coef, intercept)]
    for _ in range(n_epochs):
        for X, known in batches():
            slope = slopes(logits_of_stack(coef, intercept[..., 0], X), known)
            # Intercepts are not penalised, as in scikit-learn.
            of_coef = (slope.reshape(-1, len(X)) @ X).reshape(coef.shape) + l2 * coef
            gradients = of_coef, slope.sum(axis=2, keepdims=True)
            for (part, step), gradient in zip(moved, gradients, strict=True):
                part -= lr * step(gradient)
        yield coef.copy(), intercept[..., 0].copy()


def logits_of_stack(coef, intercept, X):
    """Return the logits of a stack of heads, (n_heads, n_classes, n_rows), in one product."""
    logits = (coef.reshape(-1, coef.shape[2]) @ X.T).reshape(*coef.shape[:2], len(X))
    return logits + intercept[..., None]


class Momentum:
    """The direction of SGD with momentum 0.9."""

    def __init__(self):
        self.sum = 0.0

    def __call__(self, gradient):
        self.sum = 0.9 * self.sum + gradient
        return self.sum


class Adam:
    """The direction of Adam."""

    def __init__(self):
        self.steps, self.mean, self.square = 0, 0.0, 0.0

    def __call__(self, gradient):
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        root = np.sqrt(self.square / (1 - 0.999**self.steps))
        return self.mean / (1 - 0.9**self.steps) / (root + 1e-8)


def cross_entropy(logits, target):
    """Return the loss of each sample, (n_heads, n_rows), and its gradient in the logits.

    ``target`` are probabilities, (n_classes, n_rows).
    """
    log_proba = log_softmax(logits, axis=1)
    return -(target * log_proba).sum(axis=1), np.exp(log_proba) - target


def one_hot(index, n):
    """Return the indicators of ``n`` classes or groups, (n, n_rows)."""
    return (np.arange(n)[:, None] == index).astype(float)


def shuffled(X, batch_size, rng):
    """Return a function that draws an epoch of batches, samples and their indices: each once."""
    return lambda: _batches(X, rng.permutation(len(X)), batch_size)


def balanced_over(cells, X, batch_size, rng):
    """Return a function that draws an epoch of batches in which all cells are as likely."""
    weight = 1 / np.bincount(cells)[cells]
    weight /= weight.sum()
    return lambda: _batches(X, rng.choice(len(X), size=len(X), p=weight), batch_size)


def _batches(X, order, batch_size):
    for batch in np.split(order, np.arange(batch_size, len(order), batch_size)):
        yield X[batch], batch
