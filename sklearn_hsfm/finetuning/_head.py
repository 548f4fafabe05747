"""A network with a new last layer, in the place of the one that gives its output."""

from collections import OrderedDict

import torch
from torch import nn

from sklearn_hsfm.extraction._last_layer import last_layer, tensor_of


def with_head(network, n_classes, batch):
    """Return a network for so many classes, and the name of its head.

    The last linear layer, as it shows on one batch, is replaced; a network that returns vectors
    without one, for its head was taken off, gets one behind it.
    """
    network.eval()
    last = last_layer(network, batch)
    if last is None:
        return _with_one_more(network, n_classes, batch)
    name, old = last.tap.module, last.module
    if not isinstance(old, nn.Linear) or last.tap.space:
        raise ValueError(
            f"The backbone has no linear layer that could become the head: its last one, {name!r}, "
            "is followed by a mean over space or tokens. Take it off, so that the network returns "
            "vectors."
        )
    if last.end not in ("none", "log_softmax"):  # the latter leaves the loss as it is
        raise ValueError(
            f"The backbone returns the {last.end} of what {name!r} gives, but training wants "
            "logits. Take it off."
        )
    new = nn.Linear(old.in_features, n_classes)
    if not name:
        return new, ""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new)
    return network, name


def _with_one_more(network, n_classes, batch):
    with torch.no_grad():
        out = tensor_of(network(batch))
    if out.ndim != 2 or len(out) != len(batch):
        raise ValueError(
            "The backbone has no linear layer that could become the head, and returns "
            f"{tuple(out.shape)} for {len(batch)} images, which are no vectors. Let it return some."
        )
    head = nn.Linear(out.shape[1], n_classes)
    return nn.Sequential(OrderedDict(features=network, head=head)), "head"
