"""What the rooms of heads and of images both ask of a network; imports torch alone."""

import torch
from torch import nn


def unwrapped(network):
    """Return the network in a wrapper that runs it elsewhere or faster, as it is itself."""
    while True:
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif hasattr(network, "_orig_mod"):  # of torch.compile
            network = network._orig_mod
        else:
            return network


def layer_of_size(network, n_classes, n_features):
    """Return the linear layer of a network that can be the head on features of such a width.

    Raises
    ------
    ValueError
        If there are none or several, or linear layers come after it; saying which there are.
    """
    network = unwrapped(network)
    linear = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear)}
    rows = {n_classes} | ({1} if n_classes == 2 else set())
    fits = [
        name
        for name, layer in linear.items()
        if layer.in_features == n_features and layer.out_features in rows
    ]
    if fits and len(fits) == 1 and fits[0] == list(linear)[-1]:
        return linear[fits[0]]
    shown = ", ".join(f"{name or 'itself'} {tuple(m.weight.shape)}" for name, m in linear.items())
    raise ValueError(
        f"a {type(network).__name__} whose linear layers are: {shown or 'none'}. X and y want a "
        f"last one of shape ({n_classes}, {n_features}), the only one of that shape."
    )


def weights_of(layer):
    """Return weight and bias of a linear layer as float64 arrays; without a bias, zeros."""
    weight = array_of(layer.weight)
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
    return weight.numpy(), array_of(bias).numpy()


def array_of(tensor):
    """Return a tensor of any device and kind, tracked or not, as float64 on the CPU."""
    return tensor.detach().to("cpu", torch.float64)
