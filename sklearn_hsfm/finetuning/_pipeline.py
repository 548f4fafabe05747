"""From images to a repaired head in one pipeline."""

from typing import Any

from sklearn.pipeline import Pipeline

from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._typing import BackboneLike, Estimator
from sklearn_hsfm.extraction import FeatureExtractor


class OwnHeadPipeline(Pipeline):
    """A pipeline of features and head, whose head starts from that of a fine-tuned network.

    That network is fitted in the first step, so its head can be no parameter of the second. What
    a user passes as ``init_head`` stays.
    """

    def fit(self, X, y=None, **params):
        """Fit the steps, as `Pipeline.fit`."""
        head = self.steps[-1][1]
        before = getattr(head, "init_head", None)
        try:
            return super().fit(X, y, **params)
        finally:
            if hasattr(head, "init_head"):
                head.init_head = before  # fit changes no parameter

    def _fit(self, *args, **kwargs):
        """Fit and apply all steps but the last, which is then told where to start."""
        features = super()._fit(*args, **kwargs)
        extractor, head = self.steps[0][1], self.steps[-1][1]
        backbone = getattr(extractor, "backbone_", None)
        if (
            len(self.steps) == 2  # or what enters the head is not what entered the network's
            and hasattr(backbone, "coef_")
            and getattr(extractor, "layer", None) == "pool"
            and getattr(head, "init_head", False) is None
        ):
            head.init_head = backbone
        return features


def make_hsfm_pipeline(
    backbone: BackboneLike = "resnet50", *, head: Estimator | None = None, **extractor: Any
) -> Pipeline:
    """Return the pipeline from images to a repaired head.

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="resnet50"
        As in `FeatureExtractor`; an `ERMClassifier` that is not fitted is fine-tuned first. Its
        head is what ``head`` starts from, where that takes an ``init_head`` and none is given.
    head : estimator, default=None
        The classifier on features; None is `HSFMClassifierCV()`.
    **extractor
        Parameters of `FeatureExtractor`, such as ``weights`` and ``cache_dir``.

    Returns
    -------
    Pipeline
        Steps "features" and "head". Fitting it with ``X_val`` needs scikit-learn's metadata
        routing switched on.

    See Also
    --------
    sklearn_hsfm.deployment.repaired : The network with the repaired head in place.

    Examples
    --------
    >>> from sklearn_hsfm.finetuning import make_hsfm_pipeline
    >>> pipe = make_hsfm_pipeline("resnet18", weights=None, cache_dir="features")
    >>> [name for name, _ in pipe.steps]
    ['features', 'head']
    """
    steps = [
        ("features", FeatureExtractor(backbone, **extractor)),
        ("head", HSFMClassifierCV() if head is None else head),
    ]
    return OwnHeadPipeline(steps, transform_input=["X_val"])
