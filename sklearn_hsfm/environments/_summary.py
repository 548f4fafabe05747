"""What is seen of an environment without a label: means, deviations, correlations."""

from typing import Literal

import numpy as np
from sklearn.utils import check_array

from sklearn_hsfm._compat import StrOptions, validate_params
from sklearn_hsfm._typing import ArrayLike

KINDS = ("partial", "plain", "none")
MOST_SHRUNK = 0.3


@validate_params({"correlations": [StrOptions(set(KINDS))]}, prefer_skip_nested_validation=True)
def environment_summary(
    X: ArrayLike, correlations: Literal["partial", "plain", "none"] = "partial"
) -> np.ndarray:
    """Summarise the samples of one environment by moments that need no label.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples of one environment, two or more.
    correlations : {"partial", "plain", "none"}, default="partial"
        Which correlations of each pair of covariates are added: given all others, as they are,
        or none. The covariance is first drawn to its diagonal by ``min(0.3, p / max(n, p + 1))``
        for p covariates and n samples, as published.

    Returns
    -------
    ndarray of shape (n_summary,)
        Means, standard deviations, and correlations in the order of ``np.triu_indices(p, 1)``.
        A constant covariate has correlation 0.

    Raises
    ------
    ValueError
        If ``X`` is no finite matrix of two samples or more, or its squares are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.environments import environment_summary
    >>> environment_summary([[0.0, 1.0], [2.0, 3.0]], correlations="none").round(3).tolist()
    [1.0, 2.0, 1.414, 1.414]
    """
    X = check_array(X, dtype=np.float64, ensure_min_samples=2, input_name="X")
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [X.mean(axis=0), X.std(axis=0, ddof=1)]
    if not np.isfinite(parts).all():
        raise ValueError(
            f"X has values up to {np.abs(X).max():.3g}, whose spread is not a finite number; scale "
            "it down."
        )
    if correlations != "none" and X.shape[1] > 1:
        parts.append(_correlations(X, partial=correlations == "partial"))
    return np.concatenate(parts)


def _correlations(X, partial):
    n, p = X.shape
    drawn = min(MOST_SHRUNK, p / max(n, p + 1))
    matrix = np.cov(X, rowvar=False)
    matrix = (1 - drawn) * matrix + drawn * np.diag(np.diag(matrix))
    if partial:
        constant = np.diag(matrix) <= 0
        matrix[constant, constant] = 1.0  # alone, and so of no partial correlation
        matrix = -np.linalg.pinv(matrix, hermitian=True)
    scale = np.sqrt(np.abs(np.diag(matrix)))
    scale = np.where(scale > 0, scale, 1.0)
    return (matrix / scale / scale[:, None])[np.triu_indices(p, 1)]


def n_summary(n_features, correlations):
    """Return the length of a summary."""
    pairs = n_features * (n_features - 1) // 2
    return 2 * n_features + (0 if correlations == "none" else pairs)
