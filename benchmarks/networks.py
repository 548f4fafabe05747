"""From images to a file of features, with the network frozen or fine-tuned by ERM."""

import numpy as np
import torch
from torch import nn
from torchvision.transforms.v2 import functional as F

from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import ERMClassifier

# The recipe of the fine-tuned networks; the paper names none, this is what its baselines use.
ERM = {"epochs": 100, "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3, "random_state": 0}
SMALL = {
    "epochs": 4,
    "lr": 0.05,
    "batch_size": 64,
    "weight_decay": 1e-3,
    "schedule": "one-cycle",
    "augment": None,
}


def extract(images, path, network, tuned, device="auto", weights="DEFAULT", **settings):
    """Write the features of images, and the head of a fine-tuned network, to a ``.npz`` file.

    What was computed is kept beside it, and a call that was interrupted goes on there.

    Parameters
    ----------
    images : Bunch
        Images and labels of the splits, as the loaders of `sklearn_hsfm.datasets` return them.
    path : Path
        The file.
    network : str
        Name as `FeatureExtractor` takes it.
    tuned : bool
        Fine-tune it first.
    device, weights
        As of `FeatureExtractor`.
    **settings
        Settings of `ERMClassifier` in the place of `ERM`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    extractor = FeatureExtractor(network, weights=weights)
    arrays = {}
    if tuned:
        erm = ERMClassifier(
            network,
            weights=weights,
            device=device,
            checkpoint_dir=path.parent / f"{path.stem}_checkpoints",
            verbose=1,
            **{**ERM, **settings},
        )
        validation = () if images.X_val is None else (images.X_val, images.y_val)
        erm.fit(images.X_train, images.y_train, *validation)
        arrays = {"head_weight": erm.coef_, "head_bias": erm.intercept_}
        extractor = FeatureExtractor(erm)
    extractor.set_params(device=device, cache_dir=path.parent).fit(images.X_train)
    for split in ("train", "val", "test"):
        if images[f"X_{split}"] is None:
            continue
        arrays[f"X_{split}"] = extractor.transform(images[f"X_{split}"]).astype(np.float16)
        arrays[f"y_{split}"] = images[f"y_{split}"]
        if images.get(f"groups_{split}") is not None:
            arrays[f"group_{split}"] = images[f"groups_{split}"]
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, **arrays)
    unfinished.rename(path)


def small_network(seed):
    """Return a network of three convolutions for two classes, with weights of its own.

    It tells above from below, so that it can learn which half of an image to read.
    """
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((4, 2)),
        nn.Flatten(),
        nn.Linear(512, 2),
    )


def small_erm(seed, **settings):
    """Return an `ERMClassifier` of `small_network`, to be fitted on small images."""
    return ERMClassifier(
        small_network(seed),
        preprocess=scaled,
        **{**SMALL, **settings},
        random_state=seed,
        device="cpu",
    )


def scaled(image):
    """Return an image with pixels from -1 to 1."""
    if isinstance(image, torch.Tensor):
        return 2 * image - 1
    return F.pil_to_tensor(image).float() / 127.5 - 1
