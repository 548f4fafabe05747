"""Backbones by name, file or module, with the preprocessing that belongs to them."""

import copy
import hashlib
import os
import re
import threading
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sklearn_hsfm.extraction._engines import openvino_engine, torch_engine

SEED = 0  # of weights=None: the same random network everywhere


class Backbone:
    """A frozen network that gives features, and what makes it that network.

    Attributes
    ----------
    network : torch.nn.Module
    preprocess : callable
        From a PIL image, or float tensor (3, H, W) in [0, 1], to a tensor.
    identity : str
        Hash of architecture, weights, layer and preprocessing.
    """

    def __init__(self, network, preprocess, layer):
        self.network, self.preprocess = network.eval().requires_grad_(False), preprocess
        self._find = _tap(network, layer)
        self.identity = _identity(network, preprocess, layer)
        self._compiled = {}
        self._alone = threading.Lock()

    def features(self, batch):
        """Return the features of a preprocessed batch, (n, n_features)."""
        out = self._find(batch)
        if out.ndim == 4:  # maps: mean over space
            out = out.mean((2, 3))
        elif out.ndim == 3:  # tokens: mean over them
            out = out.mean(1)
        if out.ndim != 2:
            raise ValueError(
                f"The layer gives shape {tuple(out.shape)} for {len(batch)} images; it must "
                "give vectors, maps or tokens. Choose another layer."
            )
        return out

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


def load_backbone(backbone, weights, layer, preprocess):
    """Return the `Backbone` that the parameters of `FeatureExtractor` name."""
    return Backbone(*load_network(backbone, weights, preprocess), layer)


def load_network(backbone, weights, preprocess):
    """Return a network of one's own and the preprocessing that belongs to it."""
    if hasattr(backbone, "module_"):  # fine-tuned by an estimator
        network, own = copy.deepcopy(backbone.module_).cpu(), backbone.preprocess_
    elif isinstance(backbone, nn.Module):
        network, own = copy.deepcopy(backbone).cpu(), imagenet_preprocessing()
        if weights not in ("DEFAULT", None):
            _load_file(network, weights)
    elif backbone.startswith("timm:"):
        network, own = _timm(backbone.removeprefix("timm:"), weights)
    elif backbone.startswith("open_clip:"):
        network, own = _open_clip(backbone.removeprefix("open_clip:"), weights)
    else:
        network, own = _torchvision(backbone, weights)
    return network, own if preprocess == "auto" else preprocess


def imagenet_preprocessing():
    """Return resize to 256, crop of 224, and the mean and deviation of ImageNet."""
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=224)


def _torchvision(name, weights):
    from torchvision import models

    try:
        default = models.get_model_weights(name).DEFAULT
    except ValueError as error:
        near = [n for n in models.list_models(models) if n.startswith(name[:4].lower())]
        raise ValueError(
            f"backbone={name!r} is not a classification model of torchvision"
            f"{'; near it: ' + ', '.join(near) if near else ''}. Models of other libraries are "
            "'timm:NAME' and 'open_clip:NAME'; any torch module can be passed itself."
        ) from error
    if weights == "DEFAULT":
        try:
            return models.get_model(name, weights=default), default.transforms()
        except OSError as error:
            folder = os.path.join(torch.hub.get_dir(), "checkpoints")
            raise OSError(
                f"The weights of {name} could not be downloaded ({error}). Where there is a "
                f"network, fetch {default.url} and put the file into {folder}, or pass its path "
                "as weights=PATH. weights=None takes random ones."
            ) from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = models.get_model(name, weights=None)
    if weights is not None:
        _load_file(network, weights)
    return network, default.transforms()


def _timm(name, weights):
    timm = _need("timm", "timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        with _fetching(f"timm:{name}", weights):
            network = timm.create_model(name, pretrained=weights == "DEFAULT")
    if weights not in ("DEFAULT", None):
        _load_file(network, weights)
    config = timm.data.resolve_model_data_config(network)
    return network, timm.data.create_transform(**config, is_training=False)


class _ImageTower(nn.Module):
    """The image half of a CLIP model, as a module whose output is the embedding."""

    def __init__(self, model):
        super().__init__()
        self.model = model.visual

    def forward(self, x):
        return self.model(x)


def _open_clip(name, weights):
    open_clip = _need("open_clip", "clip")
    name, _, tag = name.partition("/")
    if weights == "DEFAULT":
        tags = open_clip.list_pretrained_tags_by_model(name)
        weights = tag or (tags[0] if tags else None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        given = None if weights is None else os.fspath(weights)
        with _fetching(f"open_clip:{name}", weights):
            model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=given)
    return _ImageTower(model), preprocess


@contextmanager
def _fetching(name, weights):
    """Say what to do where a library cannot fetch published weights."""
    try:
        yield
    except Exception as error:  # each library and each of its versions raises its own
        if weights is None:
            raise
        raise OSError(
            f"The weights of {name} could not be loaded ({type(error).__name__}: {error}). Where "
            "there is no network, pass the path of a file as weights=PATH, or None for random "
            "ones."
        ) from error


def _need(module, extra):
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(
            f"This backbone needs {module}: pip install 'sklearn_hsfm[{extra}]'."
        ) from error


def _load_file(network, path):
    """Load a state dict, or a checkpoint that holds one; only a head may differ."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={str(path)!r} is no file. Pass the path of a state dict saved by torch, "
            "'DEFAULT' for the published weights, or None for random ones."
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model", "model_state_dict"):
        state = state.get(key, state) if isinstance(state.get(key), dict) else state
    state = {name.removeprefix("module."): value for name, value in state.items()}
    own, head = network.state_dict(), last_linear(network)[0]
    differ = [n for n in own if n not in state or state[n].shape != own[n].shape]
    differ += [n for n in state if n not in own]
    wrong = [n for n in differ if head is None or not n.startswith(head + ".")]
    if wrong:
        raise ValueError(
            f"{path.name} does not fit the backbone: {len(wrong)} of {len(own)} entries are "
            f"missing, unknown or of another shape, first {wrong[:3]}. Was it saved from another "
            "architecture?"
        )
    network.load_state_dict({n: v for n, v in state.items() if n not in differ}, strict=False)


def last_linear(network):
    """Return name and module of the last linear layer, the head; None without one."""
    found = None, None
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            found = name, module
    return found


def _tap(network, layer):
    """Return a function from a batch to what enters the head, or leaves a named layer."""
    if layer == "output":
        return network
    seen = []
    if layer == "pool":
        head = last_linear(network)[1]
        if head is None:  # it gives features already
            return network
        head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    else:
        modules = dict(network.named_modules())
        if layer not in modules:
            raise ValueError(
                f"layer={layer!r} is no module of the backbone. It is 'pool', 'output', or one "
                f"of: {', '.join(n for n in modules if n and '.' not in n)} and what is in them."
            )
        modules[layer].register_forward_hook(lambda module, inputs, output: seen.append(output))

    def tapped(batch):
        seen.clear()
        network(batch)
        if not seen:
            raise ValueError(f"layer={layer!r} took no part in the forward pass; name another.")
        return seen.pop()

    return tapped


def _identity(network, preprocess, layer):
    digest = hashlib.sha256(f"{described(network)}\0{layer}\0{described(preprocess)}".encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def described(part):
    """Return what an object is, alike in every process: no addresses, but a function's code."""
    code = getattr(part, "__code__", None)
    inside = "" if code is None else f"{code.co_code.hex()} {code.co_names} {code.co_consts!r}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{part!r} {inside}")
