"""Regression and classification by linear scores, (n_samples, R): what both forms ask of a task."""

import numpy as np
from scipy.special import expit, softmax
from sklearn.linear_model import LinearRegression, LogisticRegression


class Regression:
    """Squared loss; the outputs are the scores, (n_samples, 1)."""

    def fitted(self, X, y):
        """Return (coef, intercept) of pooled least squares, (1, n_columns) and (1,)."""
        if not X.shape[1]:
            return np.zeros((1, 0)), np.array([y.mean()])
        model = LinearRegression().fit(X, y)
        return model.coef_[None], np.array([model.intercept_])

    def outputs(self, scores):
        """Return what is averaged over subsets."""
        return scores

    def losses(self, outputs, y):
        """Return the loss of each sample."""
        return (outputs[:, 0] - y) ** 2

    def torch_losses(self, scores, y):
        """Return the loss of each sample of tensors."""
        return (scores[:, 0] - y).square()


class Classification:
    """Log-loss; the outputs are probabilities, (n_samples, n_classes)."""

    def __init__(self, n_classes, C):
        self.n_classes, self.C = n_classes, C

    def fitted(self, X, y):
        """Return (coef, intercept) of the pooled regression, one row for two classes."""
        rows = 1 if self.n_classes == 2 else self.n_classes
        if not X.shape[1]:
            share = np.bincount(y, minlength=self.n_classes) / len(y)
            log = np.log(np.maximum(share, np.finfo(float).tiny))
            return np.zeros((rows, 0)), log[1:] - log[:1] if rows == 1 else log
        model = LogisticRegression(C=self.C, max_iter=1000).fit(X, y)
        if len(model.classes_) == self.n_classes:
            return model.coef_, model.intercept_
        coef, intercept = np.zeros((self.n_classes, X.shape[1])), np.full(self.n_classes, -50.0)
        seen = model.classes_  # a fold of environments may lack a class
        both = len(seen) == 2
        coef[seen] = np.vstack([-model.coef_, model.coef_]) / 2 if both else model.coef_
        own = model.intercept_
        intercept[seen] = np.r_[-own, own] / 2 if both else own
        return coef, intercept

    def outputs(self, scores):
        """Return what is averaged over subsets."""
        if scores.shape[1] > 1:
            return softmax(scores, axis=1)
        positive = expit(scores)
        return np.hstack([1 - positive, positive])

    def losses(self, outputs, y):
        """Return the loss of each sample."""
        own = outputs[np.arange(len(y)), y]
        return -np.log(np.maximum(own, np.finfo(float).tiny))

    def torch_losses(self, scores, y):
        """Return the loss of each sample of tensors."""
        from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

        if scores.shape[1] > 1:
            return cross_entropy(scores, y.long(), reduction="none")
        return binary_cross_entropy_with_logits(scores[:, 0], y, reduction="none")
