"""What a fitted classifier is made of: a network in front, maybe, and one linear head."""

from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_hsfm._linear_head import one_row_per_class, to_raw
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.extraction._backbones import load_network
from sklearn_hsfm.extraction._last_layer import Tap


class Parts(NamedTuple):
    """A classifier, taken apart."""

    coef: np.ndarray  # (n_classes, n_features), of features as a network gives them
    intercept: np.ndarray  # (n_classes,)
    decide: object  # from such features to labels, as the classifier itself does
    classes: np.ndarray
    source: object  # the FeatureExtractor or ERMClassifier with the network, or None
    name: str

    @property
    def preprocess(self):
        """What images go through before the network, or None where nobody knows."""
        return getattr(self.source, "preprocess_", None)

    def network(self):
        """Return the network of the classifier itself, a new one, or None."""
        if isinstance(self.source, FeatureExtractor):
            self.source._loaded()  # which says if its weights are others by now
            return load_network(self.source.backbone_, self.source.weights, None).network
        return None if self.source is None else load_network(self.source, None, None).network

    @property
    def tap(self):
        """Where in that network the features are."""
        own = getattr(self.source, "_tap", None)
        name = getattr(self.source, "_head_name", None)
        return own if name is None else Tap(name, before=True)


def parts_of(clf):
    """Return the `Parts` of a fitted classifier.

    Raises
    ------
    ValueError
        If it has a step that cannot become part of a linear head; by name.
    """
    clf = _inside(clf)
    check_is_fitted(clf)
    if isinstance(getattr(clf, "module_", None), nn.Module):  # fine-tuned with its network
        head = one_row_per_class(clf.coef_, clf.intercept_)
        return Parts(*head, None, clf.classes_, clf, type(clf).__name__)
    steps = [step for _, step in clf.steps] if isinstance(clf, Pipeline) else [clf]
    steps = [_inside(step) for step in steps if step is not None and step != "passthrough"]
    source = steps.pop(0) if isinstance(steps[0], FeatureExtractor) else None
    if source is None and len(steps) > 1 and not get_tags(steps[0]).input_tags.two_d_array:
        raise ValueError(
            f"The first step is a {type(steps[0]).__name__}, which holds no network that could be "
            "repaired. Pass what is behind it, as clf=pipe[1:], with the network and a batch."
        )
    *between, head = steps or [source]
    if not all(hasattr(head, a) for a in ("coef_", "intercept_", "classes_")):
        raise ValueError(
            f"The classifier ends in a {type(head).__name__}, which is no linear head; it must "
            "have coef_, intercept_ and classes_, as HSFMClassifierCV."
        )
    coef, intercept = one_row_per_class(head.coef_, head.intercept_)
    for step in reversed(between):
        coef, intercept = _folded(coef, intercept, step)

    def decide(features):
        for step in between:
            features = step.transform(features)
        return head.predict(features)

    return Parts(coef, intercept, decide, head.classes_, source, type(head).__name__)


def _inside(estimator):
    """Return the estimator in a search, or in what keeps it from being fitted again."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif type(estimator).__name__ == "FrozenEstimator":
            estimator = estimator.estimator
        else:
            return estimator


def _folded(coef, intercept, step):
    """Return the head that does on what enters a step what this one does on what leaves it."""
    if type(step) is not StandardScaler:
        raise ValueError(
            f"Between network and head there is a {type(step).__name__}, which a last layer cannot "
            "do; a StandardScaler is folded into it. Fit the head on features that are as the "
            "network gives them, or put that step into the network as a layer."
        )
    scaler = StandardScaler()
    scaler.mean_ = step.mean_ if step.with_mean else np.zeros(coef.shape[1])
    scaler.scale_ = step.scale_ if step.with_std else np.ones(coef.shape[1])
    return to_raw(coef, intercept, scaler)
