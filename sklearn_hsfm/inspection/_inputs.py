"""What stands in front of a classifier, and what its samples look like."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from torch import nn

from sklearn_hsfm._init_head import given_head
from sklearn_hsfm._linear_head import one_row_for_two_classes
from sklearn_hsfm.discovery._cross_fit import logits_of
from sklearn_hsfm.inspection._cross_fits import is_fitted
from sklearn_hsfm.inspection._pictures import check_images

_LONGEST = 300  # characters of a text that a page shows


def head_and_features(estimator, X):
    """Return the classifier, or None, what reaches it of ``X``, and whether that are images.

    Steps in front that are not fitted are fitted here, without labels: no label of a sample may
    reach the features that it is judged by.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, nn.Module):
        from sklearn_hsfm.extraction import FeatureExtractor

        estimator = FeatureExtractor(estimator)
    front, head = None, estimator
    if isinstance(estimator, Pipeline):
        ends = hasattr(estimator[-1], "predict")
        head = estimator[-1] if ends else None
        front = estimator[:-1] if ends and len(estimator) > 1 else None if ends else estimator
    elif hasattr(estimator, "transform") and not hasattr(estimator, "predict"):
        front, head = estimator, None
    if head is not None and not (hasattr(head, "fit") and hasattr(head, "predict")):
        raise ValueError(
            f"estimator={head!r} is no classifier. Pass None, a classifier with fit and predict, a "
            "transformer, a Pipeline of these, or a torch network."
        )
    if front is None:
        return head, X, False
    if not is_fitted(front):
        front = _fitted_without_labels(front, X)
    steps = [step for _, step in front.steps] if isinstance(front, Pipeline) else [front]
    takes_images = any(type(step).__name__ == "FeatureExtractor" for step in steps)
    return head, front.transform(X), takes_images


def decisions_of_network(network, features, y, classes):
    """Return what the last layer of a network says of its features, (n_samples, R).

    None where that layer is for another number of classes, as that of a backbone.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    rows = {len(classes)} | ({1} if len(classes) == 2 else set())
    if not layers or layers[-1].out_features not in rows:
        return None
    try:
        coef, intercept = given_head(network, features, y, classes, "estimator")
    except ValueError as error:
        raise ValueError(
            f"{error} For its features alone pass FeatureExtractor(network)."
        ) from error
    return logits_of(features, np.column_stack(one_row_for_two_classes(coef, intercept)))


def _fitted_without_labels(front, X):
    try:
        return clone(front).fit(X)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The steps in front of the classifier could not be fitted on X alone ({error}). No "
            "label may reach the features that a sample is judged by, so they are fitted without "
            "y. Fit them on other samples first, or pass features."
        ) from error


def checked_features(features):
    """Return features as a float array; an error says what they are otherwise."""
    if issparse(features):
        raise ValueError(
            "The features are a sparse matrix; put TruncatedSVD in front, or densify them."
        )
    return check_array(features, dtype=[np.float64, np.float32], input_name="X")


def to_look_at(images, X, takes_images, n_samples):
    """Return pictures, texts, both None where samples are numbers."""
    if images is not None:
        return check_images(images, n_samples), None
    if takes_images:
        return check_images(X, n_samples), None
    if not hasattr(X, "shape") or getattr(X, "ndim", 0) == 1:
        texts = list(X)
        if all(isinstance(text, str) for text in texts):
            return None, texts
    return None, None


def shortened(text):
    """Return as much of a text as a page shows."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
