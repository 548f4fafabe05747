"""Backbones by name, file or module, with the preprocessing that belongs to them."""

import copy
import os
import threading
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from sklearn_hsfm.extraction._engines import openvino_engine, torch_engine
from sklearn_hsfm.extraction._hf import load_vision
from sklearn_hsfm.extraction._identity import Identity, identify
from sklearn_hsfm.extraction._last_layer import find_tap, tapped
from sklearn_hsfm.extraction._need import need
from sklearn_hsfm.extraction._preprocessing import Published, Ready, preprocessing_of
from sklearn_hsfm.extraction._seeds import seeded
from sklearn_hsfm.extraction._weights import load_file

SEED = 0  # of weights=None: the same random network everywhere


class Loaded(NamedTuple):
    """A network of one's own, what belongs before it, and its head if a file had another."""

    network: nn.Module
    preprocess: object
    unread: str | None


class Backbone:
    """A frozen network that gives features, and what makes it that network.

    Attributes
    ----------
    network : torch.nn.Module
    preprocess : callable
        From a PIL image, or a float tensor (3, H, W), to a tensor.
    tap : Tap
        Where the features are.
    network_id : Identity
        Of the network, its weights, and where the features are.
    """

    def __init__(self, loaded, preprocess, tap=None, layer=None, batch=None):
        self.network = loaded.network.eval().requires_grad_(False)
        self.preprocess = preprocess
        own, gaps = identify(self.network)  # before it has run: it may count, or keep things
        if tap is None:
            tap = find_tap(self.network, layer, batch)
            check_head(loaded.unread, tap)
        self.tap = tap
        self.network_id = Identity(identify(own, *map(str, tap)).digest, gaps)
        self._find = tapped(self.network, tap)
        self._compiled = {}
        self._alone = threading.Lock()

    def features(self, batch):
        """Return the features of a preprocessed batch, (n, n_features)."""
        return self._find(batch)

    def runner(self, engine, device, precision):
        """Return a function from a preprocessed batch to its features, an array."""
        if engine == "torch":
            run = torch_engine(self.network, self.features, device, precision)
        elif precision in self._compiled:
            run = self._compiled[precision]
        else:
            run = self._compiled[precision] = openvino_engine(self.features, precision)

        def one_thread_at_a_time(batch):
            with self._alone:  # hooks, and compiled models, mix up what two threads pass
                return run(batch)

        return one_thread_at_a_time


def load_network(backbone, weights, preprocess):
    """Return the `Loaded` network that the parameters of `FeatureExtractor` name."""
    unread = None
    if hasattr(backbone, "module_"):  # fine-tuned by an estimator
        if weights not in ("DEFAULT", None):
            raise ValueError(
                f"weights={str(weights)!r} is for backbones that have none of their own, and the "
                f"{type(backbone).__name__} has been fitted. Leave weights out."
            )
        network = copy.deepcopy(backbone.module_).cpu()
        own = getattr(backbone, "preprocess_", None)
    elif isinstance(backbone, nn.Module):
        if any(isinstance(m, torch.jit.ScriptModule) for m in backbone.modules()):
            raise TypeError(
                "backbone is scripted or traced: it hides its layers, and torch copies it wrongly. "
                "Pass the module that it was made from."
            )
        network, own = copy.deepcopy(backbone).cpu(), None
        if weights not in ("DEFAULT", None):
            unread = load_file(network, weights)
    elif not isinstance(backbone, str):
        raise TypeError(
            f"backbone is a {type(backbone).__name__}; it must be the name of a network, a torch "
            "module, or an estimator with a network as module_, such as ERMClassifier."
        )
    elif backbone.startswith("timm:"):
        network, own, unread = _timm(backbone.removeprefix("timm:"), weights)
    elif backbone.startswith("open_clip:"):
        network, own, unread = _open_clip(backbone.removeprefix("open_clip:"), weights)
    elif backbone.startswith("hf:"):
        name, auto = backbone.removeprefix("hf:"), preprocess == "auto"
        network, own, unread = load_vision(name, weights, auto, SEED)
    else:
        network, own, unread = _torchvision(backbone, weights)
    if preprocess is None:
        preprocess = Ready()
    elif preprocess == "auto":
        preprocess = preprocessing_of(network) if own is None else own
    return Loaded(network, preprocess, unread)


def check_head(unread, tap):
    """Refuse features that a layer makes which the file of weights had not."""
    if unread is not None and not (tap.before and tap.module == unread):
        raise ValueError(
            f"The file of weights has no {unread!r} of this shape, so that layer is random, and "
            f"the features depend on it. Pass layer='pool', if {unread!r} is the head, or weights "
            "of this network."
        )


def _torchvision(name, weights):
    from torchvision import models

    if name not in models.list_models(models):
        near = [n for n in models.list_models(models) if n.startswith(name[:4].lower())]
        raise ValueError(
            f"backbone={name!r} is not a classification model of torchvision"
            f"{'; near it: ' + ', '.join(near) if near else ''}. Models of other libraries are "
            "'timm:NAME', 'open_clip:NAME' and 'hf:NAME'; any torch module can be passed itself."
        )
    default = models.get_model_weights(name).DEFAULT
    if weights == "DEFAULT":
        try:
            with seeded(SEED):  # layers are drawn before they are read
                network = models.get_model(name, weights=default)
            return network, Published(default.transforms()), None
        except OSError as error:
            folder = os.path.join(torch.hub.get_dir(), "checkpoints")
            raise OSError(
                f"The weights of {name} could not be downloaded ({error}). Where there is a "
                f"network, fetch {default.url} and put the file into {folder}, or pass its path "
                "as weights=PATH. weights=None takes random ones."
            ) from error
    with seeded(SEED):
        network = models.get_model(name, weights=None)
    unread = None if weights is None else load_file(network, weights)
    return network, Published(default.transforms()), unread


def _timm(name, weights):
    timm = need("timm", "timm")
    with seeded(SEED), _fetching(f"timm:{name}", weights):
        network = timm.create_model(name, pretrained=weights == "DEFAULT")
    unread = None if weights in ("DEFAULT", None) else load_file(network, weights)
    config = timm.data.resolve_model_data_config(network)
    return network, Published(timm.data.create_transform(**config, is_training=False)), unread


class _ImageTower(nn.Module):
    """The image half of a CLIP model, as a module whose output is the embedding."""

    def __init__(self, model):
        super().__init__()
        self.model = model.visual

    def forward(self, x):
        return self.model(x)


def _open_clip(name, weights):
    open_clip = need("open_clip", "clip")
    name, _, tag = name.partition("/")
    if weights == "DEFAULT":
        tags = open_clip.list_pretrained_tags_by_model(name)
        if tag and tag not in tags:  # it would take a path, and may unpickle what is there
            raise ValueError(
                f"backbone='open_clip:{name}/{tag}': the published weights of {name} are "
                f"{', '.join(tags) or 'none'}. Files are passed as weights=PATH."
            )
        if not tags:
            raise ValueError(
                f"backbone='open_clip:{name}' has no published weights. Pass weights=PATH, or None "
                "for random ones."
            )
        tag = tag or tags[0]
    published = tag if weights == "DEFAULT" else None
    with seeded(SEED), _fetching(f"open_clip:{name}", weights):
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=published)
    tower = _ImageTower(model)
    unread = None if weights in ("DEFAULT", None) else load_file(tower.model, weights)
    return tower, Published(preprocess), unread and f"model.{unread}"


@contextmanager
def _fetching(name, weights):
    """Say what to do where a library cannot fetch published weights."""
    try:
        yield
    except Exception as error:  # each library and each of its versions raises its own
        if weights != "DEFAULT":
            raise
        raise OSError(
            f"The weights of {name} could not be loaded ({type(error).__name__}: {error}). Where "
            "there is no network, pass the path of a file as weights=PATH, or None for random "
            "ones."
        ) from error
