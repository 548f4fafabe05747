"""Taking a head from elsewhere: an estimator, arrays, a layer or a network; and ERM's."""

import sys
import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import HasMethods
from sklearn_hsfm._linear_head import one_row_per_class, to_standardized

# Constraints of a parameter that is a head: an estimator, a pair of arrays, or of torch.
A_HEAD = [tuple, list, HasMethods("fit"), HasMethods("state_dict")]

_LOOKED_AT = 5000  # training samples, at most
_SURE = 3.0  # standard errors from chance
_GAIN = 0.3  # of balanced accuracy, in another order of the rows, that cannot be noise


def initial_head(init_head, X, y, classes, scaler):
    """Return the head to start from, in the units of the (standardised) features.

    Parameters
    ----------
    init_head : None, estimator, tuple, torch.nn.Linear or network
        As in `HSFMClassifier`.
    X : ndarray of shape (n_samples, n_features)
        Raw training features.
    y : ndarray of shape (n_samples,)
        Training labels as indices into ``classes``.
    classes : ndarray of shape (n_classes,)
    scaler : StandardScaler or None

    Returns
    -------
    coef : ndarray of shape (n_classes, n_features)
    intercept : ndarray of shape (n_classes,)
    """
    if init_head is None:
        model = default_head(standardized=scaler is not None)
        model.fit(X if scaler is None else scaler.transform(X), y)
        return one_row_per_class(model.coef_, model.intercept_)
    return to_standardized(*given_head(init_head, X, y, classes, "init_head"), scaler)


def default_head(*, standardized):
    """Return the unfitted ERM head that ``init_head=None`` stands for."""
    # Standardised features of a deep network separate the training rows, so the penalty
    # sets the norm of the head; raw features keep scikit-learn's default.
    return LogisticRegression(C=0.01 if standardized else 1.0, max_iter=1000)


def cross_fitted_erm(X, y, C, folds, rng):
    """Return what ERM predicts for rows of folds that it did not see, as labels.

    A class of fewer rows lowers the number of folds; of one row, ERM has seen them all.
    """
    folds = min(folds, int(np.bincount(y).min()))
    model = LogisticRegression(C=C, max_iter=1000)
    if folds < 2:
        return model.fit(X, y).predict(X)
    cv = StratifiedKFold(folds, shuffle=True, random_state=rng.randint(np.iinfo(np.int32).max))
    return cross_val_predict(model, X, y, cv=cv)


def given_head(given, X, y, classes, name, **known):
    """Return a head that a user gives, one row a class.

    An estimator that is not fitted yet is cloned and fitted on the rows; ``known`` is for its
    ``fit``. Of heads that come fitted it is said if their rows cannot be in the order of
    ``classes``. ``name`` is the parameter that it came as.
    """
    sizes = len(classes), X.shape[1]
    if isinstance(given, tuple | list):
        head = checked_head(_pair(given, name), *sizes, name)
    elif _of_torch(given):
        head = _of_network(given, X, y, sizes, name)
    else:
        fitted = hasattr(given, "coef_")
        given = given if fitted else _fitted(given, X, classes[y], name, known)
        head = checked_head(_of_estimator(given, classes, name), *sizes, name)
        _check_same_decisions(given, head, X, classes, name)
        if not fitted:
            return head
    _warn_of_order(_recall(head, X, y), classes, name)
    return head


def _of_torch(given):
    torch = sys.modules.get("torch")  # where it was not imported nothing comes from it
    return torch is not None and isinstance(given, torch.nn.Module)


def _of_network(network, X, y, sizes, name):
    """Return the head of a layer, or of a network whose last layer shows itself to be one."""
    from torch import nn

    from sklearn_hsfm._networks import layer_of_size, unwrapped, weights_of

    layer = unwrapped(network)
    if isinstance(layer, nn.Linear):
        return checked_head(weights_of(layer), *sizes, name)
    try:
        layer = layer_of_size(network, *sizes)
    except ValueError as error:
        raise ValueError(f"{name} is {error} Pass that layer itself as {name}.") from error
    head = checked_head(weights_of(layer), *sizes, name)
    accuracy, error = _balanced_accuracy(*_recall(head, X, y))
    if accuracy <= 1 / sizes[0] + _SURE * error:
        raise ValueError(
            f"{name} is a {type(network).__name__} whose last layer has the shape of a head on X, "
            f"but reads the training samples with a balanced accuracy of {accuracy:.3f}, which is "
            "chance: X are not what enters it, or its rows are not in the order of np.unique(y). "
            f"If it is the head all the same, pass that layer itself as {name}."
        )
    return head


def _pair(pair, name):
    if len(pair) != 2:
        raise ValueError(
            f"{name} has {len(pair)} elements; as a tuple it must be (coef, intercept)."
        )
    return pair


def _fitted(estimator, X, y, name, known):
    """Return a clone that is fitted; one that is fitted, and not linear, is refused."""
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError, AttributeError):  # of what only looks like an estimator
        return clone(estimator).fit(X, y, **known)
    raise ValueError(
        f"{name}={estimator!r} is fitted and has no coef_; it must be a linear classifier, such as "
        "LogisticRegression. Of a pipeline, a search or a calibrated classifier pass the linear "
        "one in it, if it is on the features of X."
    )


def _of_estimator(estimator, classes, name):
    """Return coef and intercept of a fitted linear classifier, at least two-dimensional."""
    advice = ", or pass a tuple (coef, intercept) in the order of np.unique(y)"
    if not (hasattr(estimator, "coef_") and hasattr(estimator, "classes_")):
        raise ValueError(
            f"{name}={estimator!r} has no coef_ and classes_ after fit; it must be a linear "
            f"classifier, such as LogisticRegression{advice}."
        )
    seen = np.asarray(estimator.classes_)
    if not np.array_equal(seen, classes):
        raise ValueError(
            f"{name} was fitted on the classes {seen.tolist()}, but y has {classes.tolist()}. "
            f"Fit it on the same labels{advice}."
        )
    coef, intercept = estimator.coef_, estimator.intercept_
    if np.ndim(coef) == 1:  # of two classes, in some versions of some
        coef = np.reshape(coef, (1, -1))
    if np.ndim(intercept) == 0 and not np.any(intercept):  # fit_intercept=False
        intercept = np.zeros(coef.shape[0])
    return coef, intercept


def _check_same_decisions(estimator, head, X, classes, name):
    """Refuse an estimator that does not decide by the largest of one logit a class."""
    if not (isinstance(estimator, BaseEstimator) and hasattr(estimator, "predict")):
        return
    if not get_tags(estimator).input_tags.two_d_array:  # as one of images
        return
    rows = X[:: max(1, len(X) // 1000)]
    coef, intercept = head
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        own = np.asarray(estimator.predict(rows))
    differ = own != classes[(rows @ coef.T + intercept).argmax(axis=1)]
    if differ.mean() > 0.01:  # ties, and rounding
        raise ValueError(
            f"{name}={estimator!r} does not decide by coef_ and intercept_ with one row a class: "
            f"these give another class for {differ.mean():.0%} of the samples, as of a classifier "
            "whose rows are pairs of classes. Fit a LogisticRegression instead."
        )


def _recall(head, X, y):
    """Return how a head reads samples of each class, (n_classes, n_classes), and how many."""
    coef, intercept = head
    n_classes = len(coef)
    most = max(1, _LOOKED_AT // n_classes)
    recall, sizes = np.zeros((n_classes, n_classes)), np.zeros(n_classes)
    for c in range(n_classes):
        rows = np.flatnonzero(y == c)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
        with np.errstate(over="ignore", invalid="ignore"):
            read = (X[rows] @ coef.T + intercept).argmax(axis=1)
        recall[c] = np.bincount(read, minlength=n_classes) / len(rows)
        sizes[c] = len(rows)
    return recall, sizes


def _balanced_accuracy(recall, sizes):
    """Return it, and its standard error were predictions drawn without regard to the class."""
    share = recall.mean(axis=0)
    error = np.sqrt(np.sum(share * (1 - share) / sizes)) / len(sizes)
    return recall.trace() / len(sizes), error


def _warn_of_order(read, classes, name):
    """Say so where the rows of a head cannot be in the order of the classes."""
    accuracy, error = _balanced_accuracy(*read)
    chance, (recall, _) = 1 / len(classes), read
    order = linear_sum_assignment(-recall)[1]  # the row that reads each class best
    best = recall[np.arange(len(classes)), order].mean()
    worse = accuracy < chance - _SURE * error - 1e-9
    if worse or best - accuracy > max(_GAIN, _SURE * error):
        better = f", and {best:.3f} with its rows in the order {order.tolist()}"
        warnings.warn(
            f"{name} reads the training samples with a balanced accuracy of {accuracy:.3f}, where "
            f"chance is {chance:.3f}{better if best > accuracy else ''}. Its rows must be in the "
            f"order of np.unique(y), {_few(classes)}; most likely they are in another, or X is "
            "not what the head was trained on.",
            stacklevel=6,
        )


def _few(classes):
    shown = [repr(c) for c in classes.tolist()[:10]]
    return f"[{', '.join(shown)}{', ...' if len(classes) > 10 else ''}]"


def checked_head(pair, n_classes, n_features, name):
    """Return (coef, intercept), one row a class, after checking that they are such a head."""
    coef, intercept = _as_numbers(pair, name)
    _check_shapes(coef, intercept, n_classes, n_features, name)
    return one_row_per_class(coef, intercept)


def _as_numbers(pair, name):
    """Return (coef, intercept) as arrays of finite numbers."""
    try:
        coef, intercept = (np.asarray(_plain(a), dtype=np.float64) for a in pair)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{name} is no head (coef, intercept) of numbers: {error}") from error
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(f"{name} contains NaN or infinity; give finite coef, intercept.")
    return coef, intercept


def _plain(part):
    if issparse(part):  # as scikit-learn's sparsify() makes coef_
        return part.toarray()
    if hasattr(part, "detach"):  # a tensor, which may be tracked or on a GPU
        from sklearn_hsfm._networks import array_of

        return array_of(part)
    return part


def _check_shapes(coef, intercept, n_classes, n_features, name):
    rows = {n_classes} | ({1} if n_classes == 2 else set())
    intercept = np.atleast_1d(intercept)
    if coef.ndim != 2 or coef.shape[1] != n_features or len(coef) not in rows:
        raise ValueError(
            f"{name} has coef of shape {coef.shape}; X and y want "
            f"({n_classes}, {n_features}): one row a class, one column a feature."
        )
    if intercept.shape != (len(coef),):
        raise ValueError(
            f"{name} has intercept of shape {intercept.shape}; its coef of shape "
            f"{coef.shape} wants ({len(coef)},). For a head without one pass zeros."
        )
