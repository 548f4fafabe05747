"""Stochastic descent on a linear head, for the methods that are defined by it."""

import numpy as np
import torch

from sklearn_hsfm.heads._base import CHOOSING, COUNT, NOT_NEGATIVE, POSITIVE

# Constraints of the methods that are stochastic descent.
DESCENT: dict = {
    "l2": [NOT_NEGATIVE, tuple, list],
    "lr": [POSITIVE, tuple, list],
    "epochs": COUNT,
    "batch_size": COUNT,
    **CHOOSING,
}


class TorchHead:
    """A linear head in torch, with its rows.

    Parameters
    ----------
    rows : Rows
        What is fitted.
    n_classes : int
    coef, intercept : ndarray, default=0
        Where to start, one row a class.
    """

    def __init__(self, rows, n_classes, coef=0.0, intercept=0.0):
        d = rows.X.shape[1]
        self.X, self.y = torch.from_numpy(rows.X), torch.from_numpy(rows.y)
        self.coef = torch.tensor(np.broadcast_to(coef, (n_classes, d)).astype(float))
        self.intercept = torch.tensor(np.broadcast_to(intercept, n_classes).astype(float))

    def logits(self, X):
        """Return the logits of rows, (rows, n_classes)."""
        return torch.addmm(self.intercept, X, self.coef.T)

    def epochs(self, loss, batches, n_epochs, *, lr, momentum=0.9, l2=0.0, adam=False, beside=()):
        """Minimise ``loss(rows)`` over batches of row indices; yield the head each epoch.

        The heads in ``beside`` take part in the loss and are moved as well.
        """
        heads = [self, *beside]
        coefs = [head.coef.requires_grad_() for head in heads]
        intercepts = [head.intercept.requires_grad_() for head in heads]
        # Intercepts are not penalised, as in scikit-learn.
        groups = [{"params": coefs, "weight_decay": l2}, {"params": intercepts}]
        if adam:
            optimizer = torch.optim.Adam(groups, lr=lr)
        else:
            optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum)
        for _ in range(n_epochs):
            for batch in batches():
                optimizer.zero_grad()
                loss(torch.from_numpy(batch)).backward()
                optimizer.step()
            yield tuple(w.detach().numpy().copy() for w in (self.coef, self.intercept))


def shuffled(n_rows, batch_size, rng):
    """Return a function that draws an epoch of batches: every row once."""

    def batches():
        order = rng.permutation(n_rows)
        return np.split(order, np.arange(batch_size, n_rows, batch_size))

    return batches


def balanced_over(cells, batch_size, rng):
    """Return a function that draws an epoch of batches in which all cells are as likely."""
    weight = 1 / np.bincount(cells)[cells]
    weight /= weight.sum()

    def batches():
        order = rng.choice(len(cells), size=len(cells), p=weight)
        return np.split(order, np.arange(batch_size, len(cells), batch_size))

    return batches
