"""repaired: a copy of a network with a repaired head in the place of its last layer."""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_hsfm._linear_head import linear_layer
from sklearn_hsfm._networks import unwrapped
from sklearn_hsfm._typing import Estimator, Module
from sklearn_hsfm.deployment._parts import parts_of
from sklearn_hsfm.extraction._batches import preprocessed
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.extraction._last_layer import Tap, last_layer, tapped, vectors_among

_IMAGES = 32  # of those that are passed, looked at
_OFF = 1e-3  # relative error of the features of one network, computed twice in float32
_DIFFERENT = 1e-4  # relative to the terms of a logit, likewise
_INSIDE = "network."  # what `_Called` puts before the names of modules


def repaired(network: Module | None, clf: Estimator, X: Any) -> Module:
    """Return a copy of a network whose last layer is a repaired head.

    The last layer is the one whose product is the output of the network, as a forward pass
    proves; a network that returns the features, as its head was taken off, gets one behind it.
    The copy is then compared with ``clf`` on the same samples, and is given back only if
    it decides as ``clf`` does on the features that enter that layer.

    Parameters
    ----------
    network : torch.nn.Module or None
        The network; it is left as it is. ``DataParallel`` and ``torch.compile`` are unwrapped.
        None is the network that ``clf`` holds itself.
    clf : estimator
        What was fitted on the network's features: `HSFMClassifier`, `HSFMClassifierCV`, one of
        `sklearn_hsfm.heads`, or any linear classifier; a `Pipeline` of it, in which a
        `FeatureExtractor` may come first and a `StandardScaler` between; or an `ERMClassifier`.
    X : tensor, dict of tensors, or images
        Samples to prove it on, two or more. A tensor is a batch as the network takes it, a dict
        holds the arguments of its forward pass. Where ``clf`` holds the preprocessing, as a
        pipeline from images does, images in any other form that `FeatureExtractor` takes, of
        which the first 32 count.

    Returns
    -------
    torch.nn.Module
        The network in evaluation mode, on its device. It has an output for each class, in the
        order of ``clf.classes_``, whose softmax is ``clf.predict_proba``; a network of one output
        keeps one for two classes, the log-odds of ``clf.classes_[1]``. A softmax, log-softmax or
        sigmoid with which the network ends stays.

    Raises
    ------
    TypeError
        If the network is no torch module, or is scripted; if images come without preprocessing.
    ValueError
        If no last layer is proven; if it is quantised, pruned or otherwise parametrised, has
        another width than the head, or gets other features than ``clf`` was fitted on; if ``clf``
        has a step that is no part of a linear layer; if the copy does not decide as ``clf``.

    See Also
    --------
    sklearn_hsfm.HSFMClassifierCV.to_torch : The head alone.

    Notes
    -----
    Where ``clf`` does not hold its network, nothing shows with which weights its features were
    made: only their number is checked. Then compare the accuracy of the copy with that of
    ``clf`` on a few samples.

    Examples
    --------
    >>> import torch
    >>> from sklearn_hsfm import HSFMClassifierCV, repaired
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> data = load_digit_dominoes(random_state=0)
    >>> stem = torch.nn.Linear(128, 32)
    >>> network = torch.nn.Sequential(stem, torch.nn.ReLU(), torch.nn.Linear(32, 10))
    >>> batch = torch.tensor(data.X_train, dtype=torch.float32)
    >>> features = network[:2](batch).detach().numpy()
    >>> clf = HSFMClassifierCV(random_state=0).fit(features, data.y_train)
    >>> repaired(network, clf, batch)[2]
    Linear(in_features=32, out_features=2, bias=True)
    """
    parts = parts_of(clf)
    network = _checked(parts.network() if network is None else network, parts)
    network = _copied(unwrapped(network)).eval()
    network, batch = _as_called(network, X, parts)
    network, last = _with_last(network, batch, parts)
    layer, name = last.module, last.tap.module
    name = (name.removeprefix(_INSIDE) if isinstance(network, _Called) else name) or "itself"
    _check_kind(layer, name, last.end, len(parts.classes))
    _check_width(layer, name, parts)
    features = _entering(network, last, batch)
    if parts.source is not None:
        _check_features(network, features, batch, name, parts)
    _put(layer, parts)
    _check_decisions(network, batch, features, last, name, parts)
    return network.network if isinstance(network, _Called) else network


class _Called(nn.Module):
    """A network that takes several arguments, as one of the numbers of its samples."""

    def __init__(self, network, arguments):
        super().__init__()
        self.network, self.arguments = network, arguments

    def forward(self, rows):
        return self.network(**{name: value[rows] for name, value in self.arguments.items()})


def _checked(network, parts):
    if network is None:
        raise TypeError(
            f"network=None is for classifiers that hold theirs, and the {parts.name} was fitted on "
            "features. Pass the network that gave them."
        )
    if not isinstance(network, nn.Module):
        raise TypeError(f"network is a {type(network).__name__}; it must be a torch module.")
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"{name or 'network'} is scripted or traced, which hides its layers. Pass the "
                "module that it was made from, and script the copy."
            )
    return network


def _copied(network):
    """Return a copy; torch makes none of weights that are computed, or of some classes."""
    try:
        return copy.deepcopy(network)
    except Exception as error:  # of layers of somebody else's
        odd = [
            f"{name or 'itself'}.{key} is a {type(value).__name__}"
            for name, module in network.named_modules()
            for key, value in [*vars(module).items(), *module.named_parameters(recurse=False)]
            if isinstance(value, torch.Tensor)
            and (value.grad_fn is not None or type(value) is not nn.Parameter)
        ]
        raise ValueError(
            f"The {type(network).__name__} cannot be copied ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}). {', '.join(odd[:3]) or 'Some of it'} is quantised, "
            "pruned or otherwise parametrised. Make it plain first, as torch.nn.utils.prune.remove "
            "does, or put the head in before."
        ) from error


def _as_called(network, X, parts):
    """Return the network as it is called, and the batch, on the device of the network."""
    parameter = next(network.parameters(), torch.zeros(0))
    if isinstance(X, Mapping):
        X = {name: value.to(parameter.device) for name, value in X.items()}
        n = len(next(iter(X.values())))
        return _Called(network, X), torch.arange(n, device=parameter.device)
    if isinstance(X, torch.Tensor):
        return network, X.to(parameter.device)
    if parts.preprocess is None:
        raise TypeError(
            f"X is a {type(X).__name__}, and the {parts.name} knows no preprocessing of images. "
            "Pass a tensor, as the network takes it."
        )
    images = Images(X)
    batch = [
        preprocessed(images.load(row), parts.preprocess, images.name(row))
        for row in range(min(len(images), _IMAGES))
    ]
    return network, torch.stack(batch).to(parameter.device, parameter.dtype)


def _with_last(network, batch, parts):
    """Return the network and its last layer; one that returns the features gets one behind it."""
    last = None if parts.tap == Tap("") else last_layer(network, batch)
    if last is None and _returns_features(network, batch, parts):
        head = linear_layer(parts.coef, parts.intercept)
        parameter = next(network.parameters(), torch.zeros(0))
        head = head.to(parameter.device, parameter.dtype).requires_grad_(parameter.requires_grad)
        network = nn.Sequential(OrderedDict(features=network, head=head)).eval()
        last = last_layer(network, batch)
    if last is not None:
        return network, last
    kinds = {n: type(m) for n, m in network.named_modules() if "quant" in type(m).__module__}
    if kinds:
        name = [n for n in kinds if n.rpartition(".")[0] not in kinds][-1]  # and not what is in it
        kind = kinds[name]
        raise ValueError(
            f"{name} is a {kind.__module__}.{kind.__name__}: a quantised layer holds no weights "
            "that could be replaced. Put the head into the network before it is quantised."
        )
    raise ValueError(
        f"No linear layer of the {type(network).__name__} is proven to give its output: something "
        "behind the last one changes it, or there is none. Let the network return logits."
    )


def _returns_features(network, batch, parts):
    """Return whether what a network returns are the features, as where its head was taken off."""
    with torch.no_grad():
        out = network(batch)
    if not isinstance(out, torch.Tensor) or out.shape != (len(batch), parts.coef.shape[1]):
        return False
    linear = (m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    # Where a linear layer gives as many numbers, they may be scores; only an extractor knows.
    return parts.source is not None or all(len(m.weight) != out.shape[1] for m in linear)


def _check_kind(layer, name, end, n_classes):
    kind = type(layer.weight)
    extra = sorted({n for n, _ in layer.named_parameters()} - {"weight", "bias"})
    if kind is not nn.Parameter or not layer.weight.is_floating_point() or extra:
        made_of = f"its weights are made of {', '.join(extra)}" if extra else f"a {kind.__name__}"
        raise ValueError(
            f"The last layer, {name!r}, is quantised, pruned or otherwise parametrised: {made_of}. "
            "Make it a plain layer first, as torch.nn.utils.parametrize.remove_parametrizations or "
            "torch.nn.utils.prune.remove do, or put the head in before."
        )
    if end == "sigmoid" and (len(layer.weight) > 1 or n_classes > 2):
        raise ValueError(
            f"Behind the last layer, {name!r}, the network takes the sigmoid of each output, which "
            f"are no probabilities of {n_classes} classes. Take it off."
        )


def _check_width(layer, name, parts):
    width, wanted = layer.weight.shape[1], parts.coef.shape[1]
    if width != wanted:
        raise ValueError(
            f"{width} features enter the last layer of the network, {name!r}, but the {parts.name} "
            f"was fitted on {wanted}. Pass the network that gave these features."
        )


def _entering(network, last, batch):
    """Return the features that enter the last layer, averaged as its output is, in float64."""
    seen = []
    hook = last.module.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((*args, *kwargs.values())[0]), with_kwargs=True
    )
    with torch.no_grad():
        network(batch)
    hook.remove()
    x = seen[-1].double()
    return x.mean(last.tap.space) if last.tap.space else x


def _check_features(network, features, batch, name, parts):
    """Refuse a network that does not give the features that the head was fitted on."""
    theirs, tap = parts.network().eval(), parts.tap
    dtype = next(theirs.parameters()).dtype
    if isinstance(network, _Called):
        theirs = _Called(theirs, {name: x.cpu() for name, x in network.arguments.items()})
        tap = tap._replace(module=_INSIDE + tap.module)
    batch = batch.to("cpu", dtype if batch.is_floating_point() else batch.dtype)
    with torch.no_grad():
        own = tapped(theirs, tap)(batch).double()
    features = features.cpu()
    off = ((features - own).norm() / own.norm()).item() if own.shape == features.shape else 1.0
    if not off <= max(_OFF, 8 * torch.finfo(dtype).eps):
        raise ValueError(
            f"What enters the last layer of the network, {name!r}, are not the features that the "
            f"{parts.name} was fitted on: they are {off:.1%} off those of its own "
            f"{type(parts.source).__name__}. Pass the network with the weights that it has, or "
            "network=None; its features must be those of layer='pool', or what it returns."
        )


def _put(layer, parts):
    """Give a layer the head, one row a class; a layer of one row gets the log-odds."""
    coef, intercept = (torch.tensor(a, dtype=torch.float64) for a in (parts.coef, parts.intercept))
    if len(layer.weight) == 1 and len(coef) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    old = layer.weight
    coef = coef.reshape(*coef.shape, *old.shape[2:])  # of a convolution
    for name, part in [("weight", coef), ("bias", intercept)]:
        part = part.to(old.device, old.dtype)
        setattr(layer, name, nn.Parameter(part, requires_grad=old.requires_grad))
    setattr(layer, "out_channels" if isinstance(layer, nn.Conv2d) else "out_features", len(coef))


def _check_decisions(network, batch, features, last, name, parts):
    """Refuse a copy that does not say of the batch what the classifier says."""
    weight, bias = (p.detach().double() for p in (last.module.weight, last.module.bias))
    weight = weight.flatten(1)
    logits = features @ weight.T + bias
    with torch.no_grad():
        outputs = vectors_among(network(batch), len(batch))
    close = max(_DIFFERENT, 8 * torch.finfo(last.module.weight.dtype).eps)
    slack = close * (features.abs() @ weight.abs().T + bias.abs()).max(1, keepdim=True).values
    wanted = last.output(logits)
    fits = [
        out.shape == wanted.shape and bool(((out.double() - wanted).abs() <= slack).all())
        for out in outputs
    ]
    if not any(fits):
        raise ValueError(
            f"With the head in the place of {name!r} the network does not give the logits of the "
            f"{parts.name}: what follows that layer, such as a ReLU, changes them. Let the network "
            "return what the layer gives."
        )
    if parts.decide is not None:
        _check_labels(logits, slack, features, parts)


def _check_labels(logits, slack, features, parts):
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    (first, second), index = logits.topk(2).values.T, logits.argmax(1).cpu().numpy()
    sure = (first - second > 2 * slack[:, 0]).cpu().numpy()
    own = parts.decide(features.float().cpu().numpy())
    differ = sure & (parts.classes[index] != own)
    if differ.any():
        raise ValueError(
            f"The copy decides otherwise than the {parts.name} on {np.count_nonzero(differ)} of "
            f"{len(own)} samples; its coef_ and intercept_ are not what it predicts by."
        )
