"""From images to a repaired head in one pipeline."""

from sklearn.pipeline import Pipeline

from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm.extraction import FeatureExtractor


def make_hsfm_pipeline(backbone="resnet50", *, head=None, **extractor):
    """Return the pipeline from images to a repaired head.

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="resnet50"
        As in `FeatureExtractor`; an `ERMClassifier` that is not fitted is fine-tuned first.
    head : estimator, default=None
        The classifier on features; None is `HSFMClassifierCV()`.
    **extractor
        Parameters of `FeatureExtractor`, such as ``weights`` and ``cache_dir``.

    Returns
    -------
    Pipeline
        Steps "features" and "head". Fitting it with ``X_val`` needs scikit-learn's metadata
        routing switched on.

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
    return Pipeline(steps, transform_input=["X_val"])
