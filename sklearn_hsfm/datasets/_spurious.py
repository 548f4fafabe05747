"""Gaussian features with a core and a shortcut direction, for tests and examples."""

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sklearn_hsfm._typing import RandomStateLike


def make_spurious_features(
    *,
    n_train: int = 1000,
    n_val: int = 300,
    n_test: int = 600,
    n_features: int = 32,
    n_classes: int = 2,
    correlation: float = 0.95,
    core: float = 2.0,
    shortcut: float = 4.0,
    random_state: RandomStateLike = None,
) -> Bunch:
    """Return Gaussian features in which a shortcut is easier to learn than the class.

    A sample is ``core * u[y] + shortcut * v[attribute] + noise`` for orthonormal directions u
    and v, one a class and one an attribute value, and standard normal noise. In training the
    attribute equals the class with probability ``correlation``, in validation and test it is
    uniform.

    Parameters
    ----------
    n_train, n_val, n_test : int, default=1000, 300, 600
        Samples.
    n_features : int, default=32
        Features, at least ``2 * n_classes``.
    n_classes : int, default=2
        Classes, and values of the attribute.
    correlation : float, default=0.95
        Share of the training samples whose attribute equals their class.
    core, shortcut : float, default=2.0, 4.0
        Lengths of the two signals, in deviations of the noise.
    random_state : int, RandomState instance or None, default=None
        Draws everything.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : ndarray of shape (n, n_features); ``y_*`` : 0 to
        ``n_classes - 1``; ``groups_*`` : ``y * n_classes + attribute``; ``head`` : None.

    Raises
    ------
    ValueError
        If ``n_features`` is less than ``2 * n_classes``, or ``n_classes`` less than 2.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> make_spurious_features(n_classes=3, random_state=0).X_val.shape
    (300, 32)
    """
    if n_classes < 2 or n_features < 2 * n_classes:
        raise ValueError(
            f"n_classes={n_classes}, n_features={n_features}; there must be two classes or "
            "more, and two features or more for each of them."
        )
    rng = check_random_state(random_state)
    directions = np.linalg.qr(rng.normal(size=(n_features, 2 * n_classes)))[0].T
    u, v = core * directions[:n_classes], shortcut * directions[n_classes:]
    bunch = Bunch(head=None)
    for split, n in {"train": n_train, "val": n_val, "test": n_test}.items():
        y = rng.permutation(np.arange(n) % n_classes)
        attribute = rng.randint(n_classes, size=n)
        if split == "train":
            # The exceptions take one of the other values, so the share is as asked.
            other = (y + rng.randint(1, n_classes, size=n)) % n_classes
            attribute = np.where(rng.uniform(size=n) < correlation, y, other)
        bunch[f"X_{split}"] = u[y] + v[attribute] + rng.normal(size=(n, n_features))
        bunch[f"y_{split}"] = y
        bunch[f"groups_{split}"] = y * n_classes + attribute
    return bunch
