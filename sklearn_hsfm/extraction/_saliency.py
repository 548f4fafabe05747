"""Where in an image a network looks: xGradCAM of its last maps."""

import torch
from torch.nn.functional import interpolate

from sklearn_hsfm.extraction._last_layer import calls_of, space_of, tensor_of

_TINY = 1e-7  # beside the sum of a map that is nowhere active


class Saliency:
    """xGradCAM of a network: its maps, each weighted by the gradient where it is active.

    With maps A_k and the logit s of a class, the weight of a map is
    ``sum(ds/dA_k * A_k) / sum(A_k)``, the sums over space, and the saliency the positive part
    of the weighted sum of maps, brought to the size of the image.

    Parameters
    ----------
    network : torch.nn.Module
        What maps preprocessed images to logits; it is put into evaluation mode.
    layer : str
        "auto", the last module that gives maps of more than one place, or its name.
    batch : Tensor
        One preprocessed batch, which shows where the maps are.
    """

    def __init__(self, network, layer, batch):
        self.network = network.eval()
        self.layer = _map_layer(network, layer, batch)
        self._module = network.get_submodule(self.layer)

    def __call__(self, batch, classes=None):
        """Return the saliency of each image, (n, height, width), and the logits.

        ``classes`` are indices, (n,), of the logits to explain; None takes the largest.
        """
        maps = []

        def note(module, args, output):
            output = tensor_of(output, self.layer)
            maps.append(output)
            return output

        def tracked(module, args):  # weights need no gradients here, but maps do
            return tuple(a.detach().requires_grad_() if _is_float(a) else a for a in args)

        handles = [
            self._module.register_forward_pre_hook(tracked),
            self._module.register_forward_hook(note),
        ]
        try:
            with torch.enable_grad():
                logits = tensor_of(self.network(batch))
        finally:
            for handle in handles:
                handle.remove()
        if classes is None:
            classes = logits.argmax(dim=1)
        chosen = logits.gather(1, classes[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, maps[-1])
        with torch.no_grad():
            salient = xgradcam(maps[-1].detach(), slope)
            salient = interpolate(
                salient[:, None], size=batch.shape[-2:], mode="bilinear", align_corners=False
            )
        return salient[:, 0], logits.detach()


def xgradcam(maps, slope):
    """Return the saliency (n, h, w) of maps and the gradients in them, both (n, K, h, w)."""
    weight = (slope * maps).sum((2, 3)) / (maps.sum((2, 3)) + _TINY)  # (n, K)
    return torch.einsum("nk,nkhw->nhw", weight, maps).relu()


def _map_layer(network, layer, batch):
    """Return the module whose output is looked at, as one batch shows."""
    calls = calls_of(network, batch)
    if layer == "auto":
        for call in reversed(calls):
            if _has_maps(call, calls, batch):
                return call.name
        raise ValueError(
            "layer='auto' is the last module that gives maps, (n, channels, height, width) with "
            "more than one place, and no module of the network does. Saliency needs a "
            "convolutional network; pass its module of maps as layer."
        )
    found = [call for call in calls if call.name == layer]
    if not found or not layer:
        names = [call.name for call in calls if call.name and _has_maps(call, calls, batch)]
        raise ValueError(
            f"layer={layer!r} took no part in the forward pass. It is 'auto' or one of those that "
            f"give maps: {', '.join(dict.fromkeys(names)) or 'none'}."
        )
    if not _has_maps(found[-1], calls, batch):
        raise ValueError(
            f"layer={layer!r} gives no maps, (n, channels, height, width) with more than one "
            "place, channels first. Name a convolution, or pass 'auto'."
        )
    return layer


def _has_maps(call, calls, batch):
    """Return whether a module gave maps of more than one place, channels first."""
    out = call.left
    if not isinstance(out, torch.Tensor) or out.ndim != 4 or len(out) != len(batch):
        return False
    try:
        space = space_of(out, calls, batch, call.name)
    except ValueError:  # nothing tells
        return False
    return space == (2, 3) and out.shape[2:].numel() > 1


def _is_float(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point()
