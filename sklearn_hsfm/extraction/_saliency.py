"""Where in an image a network looks: xGradCAM of its last maps, and masks by a threshold."""

import torch
from torch.nn.functional import interpolate

from sklearn_hsfm.extraction._last_layer import calls_of, space_of, tensor_of

_TINY = 1e-7  # beside the sum of a map that is nowhere active


class Saliency:
    """xGradCAM of a network: its maps, each weighted by the gradient where it is active.

    Parameters
    ----------
    network : torch.nn.Module
        What is run; in evaluation mode.
    layer : str
        "auto", the last module that gives maps of more than one place, or its name.
    batch : Tensor
        A preprocessed batch, which shows where the maps are.
    logits_of : callable, default=None
        From a batch to the logits, by running the network; None is what the network returns.
    """

    def __init__(self, network, layer, batch, logits_of=None):
        self.layer = map_layer(network, layer, batch)
        self._module = network.get_submodule(self.layer)
        self._logits_of = network if logits_of is None else logits_of

    def __call__(self, batch, classes=None):
        """Return the saliency of each image, (n, h, w) in the places of the maps, and the logits.

        ``classes`` are indices, (n,), of the logits to explain; None takes the largest.
        """
        maps = []

        def watched(module, args, output):
            maps.append(tensor_of(output, self.layer).detach().clone().requires_grad_())
            return maps[-1].clone()  # which may be changed in place

        handle = self._module.register_forward_hook(watched)
        try:
            with torch.enable_grad():
                logits = tensor_of(self._logits_of(batch))
                if classes is None:
                    classes = logits.argmax(dim=1)
                chosen = logits.gather(1, classes[:, None]).sum()
        finally:
            handle.remove()
        (slope,) = torch.autograd.grad(chosen, maps[-1])
        return xgradcam(maps[-1].detach(), slope), logits.detach()


def xgradcam(maps, slope):
    """Return the saliency (n, h, w) of maps A and the gradients g in them, both (n, K, h, w).

    The weight of a map is ``sum(g * A) / sum(A)``, the sums over space; the saliency is the
    positive part of the weighted sum of maps.
    """
    weight = (slope * maps).sum((2, 3)) / (maps.sum((2, 3)) + _TINY)  # (n, K)
    return torch.einsum("nk,nkhw->nhw", weight, maps).relu()


def brought_to(salient, size):
    """Return saliency (n, h, w) in the places of an image, (n, *size)."""
    return interpolate(salient[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def most_salient(salient, n_std):
    """Return where the saliency (n, h, w) is beyond its mean and so many standard deviations.

    Both are over the places where an image's saliency is positive; where it is so nowhere,
    nothing is most salient.
    """
    positive = salient > 0
    count = positive.sum((1, 2)).clamp_min(1)[:, None, None]
    mean = salient.sum((1, 2), keepdim=True) / count
    variance = ((salient - mean).square() * positive).sum((1, 2), keepdim=True) / count
    return positive & (salient > mean + n_std * variance.sqrt())


def map_layer(network, layer, batch):
    """Return the name of the module whose output is looked at, as one batch shows."""
    calls = calls_of(network, batch)
    if layer == "auto":
        for call in reversed(calls):
            if call.name and _has_maps(call, calls, batch):
                return call.name
        raise ValueError(
            "layer='auto' is the last module that gives maps, (n, channels, height, width) with "
            "more than one place, and no module of the network does. Saliency needs a "
            "convolutional network."
        )
    found = [call for call in calls if call.name == layer and layer]
    if found and _has_maps(found[-1], calls, batch):
        return layer
    names = dict.fromkeys(c.name for c in calls if c.name and _has_maps(c, calls, batch))
    raise ValueError(
        f"layer={layer!r} {'gives no maps' if found else 'took no part in the forward pass'}; "
        "saliency wants maps, (n, channels, height, width) with more than one place. Pass 'auto' "
        f"or one of: {', '.join(names) or 'none'}."
    )


def _has_maps(call, calls, batch):
    out = call.left
    if not isinstance(out, torch.Tensor) or out.ndim != 4 or len(out) != len(batch):
        return False
    try:
        space = space_of(out, calls, batch, call.name)
    except ValueError:  # nothing tells which axis holds the channels
        return False
    return space == (2, 3) and out.shape[2:].numel() > 1
