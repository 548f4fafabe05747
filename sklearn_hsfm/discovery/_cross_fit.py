"""Linear heads that judge only samples which they did not see."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm._parallel import one_blas_thread

MAX_ITER, TOL = 1000, 1e-3  # scores need an order, not the last digit


def class_balanced(y):
    """Return weights with which every class weighs the same."""
    return 1 / np.bincount(y)[y]


def cell_balanced(cells):
    """Return weights, (n_samples,), with which all cells (n_samples, n_cells) weigh the same."""
    return cells @ (1 / np.maximum(cells.sum(axis=0), 1))


def fitted_head(Z, y, weight, C, tol=TOL):
    """Return the weighted logistic regression as (R, n_features + 1), intercept last.

    Samples of weight 0 are left out; two classes have R = 1 row.
    """
    used = weight > 0
    model = LogisticRegression(C=C, max_iter=MAX_ITER, tol=tol)
    with one_blas_thread():
        model.fit(Z[used], y[used], sample_weight=weight[used] * (used.sum() / weight[used].sum()))
    return np.column_stack([model.coef_, model.intercept_])


def logits_of(Z, head):
    """Return the logits, (n_samples, R), of a head (R, n_features + 1)."""
    return Z @ head[:, :-1].T + head[:, -1]


def cross_fitted(Z, y, weight, C, folds):
    """Return out-of-fold logits (n_samples, R), the mean over repeats, and `heads_of_folds`."""
    heads = heads_of_folds(Z, y, weight, C, folds)
    return out_of_fold(Z, heads, folds), heads


def heads_of_folds(Z, y, weight, C, folds):
    """Return heads (n_repeats, cv, R, n_features + 1); that of a fold did not see it."""
    return np.array(
        [
            [fitted_head(Z, y, np.where(fold == k, 0, weight), C) for k in range(fold.max() + 1)]
            for fold in folds
        ]
    )


def out_of_fold(Z, heads, folds):
    """Return the logits, (n_samples, R), of the heads that did not see a sample, averaged."""
    logits = np.zeros((len(Z), heads.shape[2]))
    for of_repeat, fold in zip(heads, folds, strict=True):
        for k, head in enumerate(of_repeat):
            logits[fold == k] += logits_of(Z[fold == k], head)
    return logits / len(folds)


def mean_logits(Z, heads):
    """Return the logits, (n_samples, R), of samples that no head saw, averaged over all."""
    return logits_of(Z, heads.reshape(-1, *heads.shape[2:]).mean(axis=0))
