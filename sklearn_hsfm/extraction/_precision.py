"""What a network has to prove on one image before its features are taken."""

import numpy as np
import torch

from sklearn_hsfm.extraction._engines import PRECISIONS

_TOLERANCE = 0.01  # relative error that a faster precision or engine may have


def close_precision(of_precision, exact, engine, precision, device):
    """Return the first precision to try whose features of one image are close to exact.

    Parameters
    ----------
    of_precision : callable
        From a precision to these features.
    exact : ndarray of shape (1, n_features)
        Of float32 torch.
    engine, precision : str
        As of `FeatureExtractor`.
    device : torch.device
    """
    for tried in _to_try(engine, precision, device):
        if engine == "torch" and tried == "float32":
            return tried
        if precision == tried != "float32":
            return tried  # asked for, so not judged
        off = _off(of_precision(tried), exact)
        if off <= _TOLERANCE:
            return tried
    raise ValueError(
        f"engine={engine!r} gives features that are {off:.1%} off those of torch on the first "
        "image. Pass engine='torch'."
    )


def depends_on_others(run, batch):
    """Return whether the features of a sample are not its own."""
    return _off(run(batch)[:1], run(batch[:1])) > _TOLERANCE


def check_alone(run, batch):
    """Refuse a network for which the features of an image are not its own."""
    if depends_on_others(run, batch):
        raise ValueError(
            "The features of an image depend on the images beside it in a batch, as with batch "
            "normalisation that keeps no statistics, or are drawn at random. Pass batch_size=1, or "
            "a network that treats each image alone."
        )


def _to_try(engine, precision, device):
    if precision != "auto":
        return [precision]
    lowered = "float16" if device.type == "cuda" else "bfloat16"
    fast = lowered == "float16" or _cpu_has_amx()
    return [lowered, "float32"] if fast and lowered in PRECISIONS[engine] else ["float32"]


def _off(features, exact):
    """Return the relative error of features, in float64, which squares do not overflow."""
    exact = exact.astype(np.float64)
    size = np.linalg.norm(exact)
    return np.linalg.norm(features - exact) / (size if size else 1.0)


def _cpu_has_amx():
    has = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(has and has())
