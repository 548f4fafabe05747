"""What enters the last layer of a network: found by running it on an image, and proven there."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

_CLOSE = 1e-3  # relative error of one product computed twice
_NORMS = nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm
_SPACE_LAST = (  # layers whose channels are axis 1
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_DOCUMENTED = ("logits", "image_embeds", "pooler_output")  # of transformers' outputs, best first
_ENDS = {  # what may follow the last layer
    "none": lambda logits: logits,
    "log_softmax": lambda logits: F.log_softmax(logits, dim=1),
    "softmax": lambda logits: F.softmax(logits, dim=1),
    "sigmoid": torch.sigmoid,
}


class Tap(NamedTuple):
    """Where features are taken: before or behind a module, and over which axes they are averaged.

    The module named "" is the network.
    """

    module: str
    before: bool = False
    space: tuple = ()

    def described(self):
        """Return it in words."""
        what = "input" if self.before else "output"
        over = f", mean over axes {self.space}" if self.space else ""
        return f"{what} of {self.module or 'the network'}{over}"


class LastLayer(NamedTuple):
    """A layer that was proven to give a network's output."""

    tap: Tap
    module: nn.Module
    end: str  # what follows it, a key of _ENDS

    def output(self, logits):
        """Return what the network makes of what the layer gives, averaged over space."""
        return _ENDS[self.end](logits)


class _Call(NamedTuple):
    name: str
    module: nn.Module
    entered: object
    left: object


def proof_batch(image):
    """Return an image and noise beside it, (2, ...): of a black image all layers may give zeros."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([image, torch.randn(image.shape, generator=generator, dtype=image.dtype)])


def find_tap(network, layer, batch):
    """Return where the features of ``layer`` are, as one batch shows."""
    calls = calls_of(network, batch)
    if layer == "pool":
        return _pool(network, calls, batch)
    name = "" if layer == "output" else layer
    modules = dict(network.named_modules())
    if not layer or name not in modules:
        raise ValueError(
            f"layer={layer!r} is no module of the backbone. It is 'pool', 'output', or one "
            f"of: {_names(modules)} and what is in them."
        )
    left = [call.left for call in calls if call.name == name]
    if not left:
        raise ValueError(f"layer={layer!r} took no part in the forward pass; name another.")
    return Tap(name, space=space_of(tensor_of(left[-1], layer), calls, batch, layer))


def last_layer(network, batch):
    """Return the `LastLayer` of a network, or None where no layer gives its output."""
    return _proven(calls_of(network, batch), len(batch))


def tensor_of(output, layer="output"):
    """Return the tensor among what a network or module returns."""
    named = [output.get(n) for n in _DOCUMENTED] if isinstance(output, Mapping) else []
    for found in (output, *named, getattr(output, "logits", None)):
        if isinstance(found, torch.Tensor):
            return found
    tensors = _tensors(output)
    if len(tensors) != 1:
        raise ValueError(
            f"layer={layer!r} gives a {type(output).__name__} of {len(tensors)} tensors; features "
            "are one. Name the module that gives it as layer, or wrap the network into one "
            "that returns it."
        )
    return tensors[0]


def vectors_among(output, n):
    """Return those of the tensors of an output that have a vector for each sample, (n, ...)."""
    return [out.reshape(n, -1) for out in _tensors(output) if out.shape[:1] == (n,)]


def tapped(network, tap):
    """Return a function from a batch to its features, (n, n_features)."""
    seen = []
    module = network.get_submodule(tap.module)
    if tap.before:
        module.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(_first(args, kwargs)), with_kwargs=True
        )
    else:
        module.register_forward_hook(lambda module, args, output: seen.append(output))

    def features(batch):
        seen.clear()
        network(batch)
        if not seen:
            raise ValueError(f"The module {tap.module!r} took no part in this forward pass.")
        out = tensor_of(seen.pop(), tap.module)
        out = out.mean(tap.space) if tap.space else out
        if out.ndim != 2 or len(out) != len(batch):
            raise ValueError(
                f"The layer gives shape {tuple(out.shape)} for {len(batch)} images; it gave "
                "one vector each for the image of fit. Choose another layer."
            )
        return out

    return features


def calls_of(network, batch):
    """Return what entered and left each module, in the order in which they ended."""
    calls, handles = [], []
    for name, module in network.named_modules():
        handles.append(module.register_forward_hook(_noted(calls, name), with_kwargs=True))
    try:
        with torch.no_grad():
            network(batch)
    except Exception as error:  # of a network of somebody else's
        raise ValueError(
            f"The backbone fails on an image that is {tuple(batch.shape[1:])} after preprocessing: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _noted(calls, name):
    def note(module, args, kwargs, output):
        calls.append(_Call(name, module, _first(args, kwargs), output))

    return note


def _first(args, kwargs):
    return next((x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)), None)


def _pool(network, calls, batch):
    output = calls[-1].left
    documented = isinstance(output, Mapping) and _documents_features(output)
    found = None if documented else _proven(calls, len(batch))
    if found is not None:
        return found.tap
    outputs = [tensor_of(output)] if documented else _tensors(output)
    if len(outputs) == 1 and outputs[0].shape[:1] == batch.shape[:1]:
        if outputs[0].ndim == 2:
            if not documented:
                _warn_of_scores(calls, outputs[0])
            return Tap("")
        if outputs[0].shape[2:] == (1, 1):
            return Tap("", space=(2, 3))
    shapes = ", ".join(str(tuple(out.shape)) for out in outputs)
    raise ValueError(
        "layer='pool' is what enters the last linear layer, or the vector that a network without "
        f"one returns; this one returns {shapes or 'no tensor'}. Pass layer='output', which "
        "averages over space or tokens, or one of: "
        f"{_names(dict(network.named_modules()))} and what is in them."
    )


def _documents_features(output):
    """Return whether an encoder's output names its vector, which then no layer has to prove."""
    names = [name for name in _DOCUMENTED if isinstance(output.get(name), torch.Tensor)]
    return names == ["pooler_output"]


def _warn_of_scores(calls, out):
    """Say that the output is taken though a linear layer gives as many numbers just before."""
    near = [call.name for call in calls if _is_linear(call) and call.left.shape == out.shape]
    if near:
        warnings.warn(
            f"layer='pool': the {out.shape[1]} numbers that the network returns are taken as "
            f"features, for what {near[-1]!r} gives is changed before it is returned. Where they "
            f"are class scores, pass as layer the module before {near[-1]!r}.",
            stacklevel=2,
        )


def _proven(calls, n):
    """Return the last linear layer whose product is the output of the network."""
    outputs = vectors_among(calls[-1].left, n)
    # Of a network that was not trained a normalisation changes nothing, and proves nothing.
    normed = [call.entered for call in calls if isinstance(call.module, _NORMS)]
    for call in filter(_is_linear, reversed(calls)):
        if any(_shares(call.left, x) for x in normed):
            continue
        with torch.no_grad():
            product = _product(call)
            for space, logits in _pooled(call, product):
                for end, then in _ENDS.items():
                    if any(_same(then(logits), out) for out in outputs):
                        return LastLayer(Tap(call.name, True, space), call.module, end)
    return None


def _is_linear(call):
    """Return whether a call is one of a linear layer: nn.Linear, or a convolution of 1 x 1."""
    module, x = call.module, call.entered
    if not isinstance(x, torch.Tensor) or not isinstance(call.left, torch.Tensor):
        return False
    if isinstance(module, nn.Conv2d):
        return (
            x.ndim == 4
            and module.kernel_size == module.stride == (1, 1)
            and module.groups == 1
            and module.padding in ((0, 0), "same", "valid")
        )
    return isinstance(module, nn.Linear) and x.ndim >= 2


def _product(call):
    multiply = F.conv2d if isinstance(call.module, nn.Conv2d) else F.linear
    return multiply(call.entered, call.module.weight, call.module.bias)


def _pooled(call, product):
    """Yield the axes that the network may have averaged over behind the layer, and the result."""
    if product.ndim == 2:
        yield (), product
        return
    conv = isinstance(call.module, nn.Conv2d)
    space = (2, 3) if conv else tuple(range(1, product.ndim - 1))
    yield space, product.mean(space)
    if conv:
        yield space, product.relu().mean(space)


def _same(a, b):
    a, b = a.double(), b.double()  # whose squares do not overflow
    return a.shape == b.shape and bool((a - b).norm() <= _CLOSE * b.norm())


def space_of(out, calls, batch, layer):
    """Return the axes of maps or tokens, by what the layers around them take them for."""
    if out.ndim not in (2, 3, 4) or len(out) != len(batch):
        raise ValueError(
            f"layer={layer!r} gives shape {tuple(out.shape)} for {len(batch)} images; it must "
            "give vectors, maps or tokens. Choose another layer."
        )
    if out.ndim == 2:
        return ()
    axes = {True: tuple(range(1, out.ndim - 1)), False: tuple(range(2, out.ndim))}
    same_shape = set()
    for call in calls:
        for x in (call.entered, call.left):
            if isinstance(x, torch.Tensor) and x.shape == out.shape:
                channels_last = _channels_last(call)
                if channels_last is not None and x.data_ptr() == out.data_ptr():
                    return axes[channels_last]
                same_shape.add(channels_last)
    same_shape.discard(None)
    if len(same_shape) == 1:  # all layers take tensors of this shape alike
        return axes[same_shape.pop()]
    if out.ndim == 4 and batch.shape[-1] == batch.shape[-2]:  # so maps are square, too
        a, b, c = out.shape[1:]
        if (a == b) != (b == c):
            return axes[a == b]
    raise ValueError(
        f"layer={layer!r} gives shape {tuple(out.shape)}, and nothing tells which axis holds its "
        "channels. Name the module that comes after it, or wrap the network into one that "
        "averages."
    )


def _shares(out, x):
    """Return whether a tensor is another, or was written in its place."""
    return isinstance(x, torch.Tensor) and x.data_ptr() == out.data_ptr() and x.shape == out.shape


def _channels_last(call):
    """Return whether a layer takes the last axis for channels, or the first; else None."""
    module, x = call.module, call.entered
    if isinstance(module, _SPACE_LAST):
        return False
    if not isinstance(x, torch.Tensor) or not isinstance(call.left, torch.Tensor):
        return None
    if isinstance(module, nn.Linear):
        width, again = module.in_features, lambda: F.linear(x, module.weight, module.bias)
    elif isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        width, again = module.normalized_shape[0], lambda: nn.LayerNorm.forward(module, x)
    else:
        return None
    if type(module) in (nn.Linear, nn.LayerNorm):
        return True
    if x.shape[-1] != width:
        return None
    with torch.no_grad():  # a class of somebody else's may turn its input round
        return True if _same(again(), call.left) else None


def _tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, Mapping) else output
    return [x for x in parts if isinstance(x, torch.Tensor)] if hasattr(parts, "__iter__") else []


def _names(modules):
    return ", ".join(name for name in modules if name and "." not in name) or "none"
