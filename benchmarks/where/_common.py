"""What the tables share: images of Dominoes, the network, a head, an area with its interval."""

import importlib

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.columns import DOMINOES_IMAGES, arrays_of
from benchmarks.from_images import network
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.metrics import group_scores


def dominoes_images(args):
    """Return the arrays of the file by name, or None and where it was looked for."""
    path = args.data_dir / DOMINOES_IMAGES
    if not path.is_file():
        return None, f"**Dominoes: absent.** Looked for {path}."
    return arrays_of(path), ""


def extractor_of(args, preprocess):
    """Return an extractor that is to be fitted; ``preprocess`` is that of a network by name."""
    module, _, function = args.network.partition(":")
    if function:
        model, preprocess = getattr(importlib.import_module(module), function)()
    else:
        model = network(args.network)
    return FeatureExtractor(
        model,
        preprocess=preprocess,
        precision="float32",
        engine=args.engine,
        cache_dir=args.cache_dir,
    )


def erm():
    """Return a head that is to be fitted."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def worst_and_average(clf, X, y, groups):
    """Return the accuracy of the worst group and of all samples, as text."""
    scores = group_scores(y, clf.predict(X), groups)
    return f"{scores.worst:.3f}", f"{scores.average:.3f}"


def area(told, k):
    """Return the AUC of a condition of `masked_sensitivity` and its interval, as text."""
    return f"{told.auc[k]:.2f} [{told.auc_low[k]:.2f}, {told.auc_high[k]:.2f}]"
