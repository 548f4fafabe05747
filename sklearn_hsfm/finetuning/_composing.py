"""Images taken apart and put together: how much of one is enough, and one before another."""

import torch
from torch.nn.functional import cross_entropy

SHARES = torch.arange(10, 0, -1) / 10  # of the places, the most salient ones, that are kept


def kept_share(losses):
    """Return the index of the share of places to keep, at the knee of each image's losses.

    Parameters
    ----------
    losses : Tensor of shape (n_shares, n)
        Of images of which less and less is kept.

    Returns
    -------
    Tensor of shape (n,)
        Where the losses, brought to [0, 1] as the shares are, are farthest below the diagonal:
        hiding more costs, hiding less gains little. Of equal shares the smallest; where the
        losses do not rise, that is the last.
    """
    lowest = losses.min(0).values
    spread = (losses.max(0).values - lowest).clamp_min(torch.finfo(losses.dtype).tiny)
    hidden = torch.linspace(0, 1, len(losses), dtype=losses.dtype, device=losses.device)
    gain = hidden[:, None] - (losses - lowest) / spread  # (n_shares, n)
    return len(losses) - 1 - gain.flip(0).argmax(0)


def most_salient_shares(salient):
    """Return masks of the most salient places, one for each of `SHARES`, (n_shares, n, h, w)."""
    n, *size = salient.shape
    rank = salient.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    n_kept = (SHARES * rank.shape[1]).round().to(rank.device)
    return (rank < n_kept[:, None, None]).reshape(len(SHARES), n, *size)


def enough_to_see(batch, salient, y, logits_of, fill):
    """Return the places that are enough for the network to see the class, (n, h, w) bool.

    Parameters
    ----------
    batch : Tensor of shape (n, channels, height, width)
        Preprocessed images.
    salient : Tensor of shape (n, height, width)
        Their saliency.
    y : Tensor of shape (n,)
        Labels as indices.
    logits_of : callable
        From images to logits.
    fill : Tensor of shape (channels,)
        What stands in the place of what is hidden.
    """
    masks = most_salient_shares(salient)
    with torch.no_grad():
        losses = torch.stack(
            [cross_entropy(logits_of(only(batch, m, fill)), y, reduction="none") for m in masks]
        )
    return masks[kept_share(losses), torch.arange(len(y), device=masks.device)]


def only(batch, foreground, fill):
    """Return images of which the foreground alone is seen."""
    return torch.where(foreground[:, None], batch, fill[:, None, None])


def combined(front, front_mask, back, back_mask, fill):
    """Return the foregrounds of some images before the backgrounds of others.

    Where the others had their foregrounds, and the front has nothing to cover them, ``fill`` is.
    """
    return torch.where(front_mask[:, None], front, only(back, ~back_mask, fill))
