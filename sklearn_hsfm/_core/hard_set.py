"""The hard set Q: the highest-loss validation rows of each class (Eqs. 4-6)."""

import torch
from torch import Tensor

_BLOCK = 64  # rows of which the highest loss is looked at first, where a class has many


class HardSetMiner:
    """Pick the ``Khard`` highest-loss mined rows of each class, for every problem.

    Parameters
    ----------
    y_val : tensor of shape (N,)
    mined : bool tensor of shape (B, N)
        The validation rows that a problem may mine.
    Khard : sequence of int, of length B
        Rows per class; a class with fewer mined rows gives all of them.
    n_classes : int

    Attributes
    ----------
    weight : tensor of shape (B, m)
        What each row weighs in the outer loss: 1 / |Q|, or 0 where a class ran out of rows.
    """

    def __init__(self, y_val, mined, *, Khard, n_classes):
        counts = torch.bincount(y_val, minlength=n_classes)  # (C,)
        n_rows = -(-int(counts.max()) // _BLOCK) * _BLOCK
        order = torch.argsort(y_val, stable=True)
        starts = counts.cumsum(0) - counts  # (C,)
        slot = torch.arange(n_rows, device=y_val.device)  # (n_rows,)
        position = (starts[:, None] + slot).clamp(max=len(y_val) - 1)
        self.rows = order[position]  # (C, n_rows), padded at the end of a row
        # A padded slot, or a row that this problem must not mine, never wins.
        self.barred = ~((slot < counts[:, None]) & mined[:, self.rows])  # (B, C, n_rows)
        available = (~self.barred).sum(-1)  # (B, C)
        most = torch.as_tensor(Khard, device=y_val.device)[:, None]  # (B, 1)
        taken = torch.minimum(available, most)  # (B, C)
        width = int(taken.max())
        filled = torch.arange(width, device=y_val.device) < taken[..., None]
        filled = filled.flatten(1)  # (B, m)
        # Slots that no problem fills are dropped.
        self.used = filled.any(0).nonzero()[:, 0]  # (m,)
        self.width = width
        # Double, whatever torch's default: 1 / |Q| must not round in a float64 solve.
        weight = filled.double() / filled.sum(1, keepdim=True)
        self.weight = weight[:, self.used]  # (B, m)

    def __call__(self, losses: Tensor, problems: slice = slice(None)) -> Tensor:
        """Return the hard rows, (B, m), under losses (B, N); ties go to the first row.

        ``problems`` says of which problems, where not of all, the losses are.
        """
        by_class = losses[:, self.rows].masked_fill(self.barred[problems], -torch.inf)
        hardest = _highest(by_class, self.width)  # (B, C, width)
        rows = self.rows.expand(len(losses), -1, -1).gather(-1, hardest)
        return rows.flatten(1)[:, self.used]


def _highest(values: Tensor, k: int) -> Tensor:
    """Return where the k highest values of the last axis are, first come first among equals.

    A stable sort, not topk: equal losses give the same rows on every device. Of many values
    only the blocks whose highest are among the k highest can hold one of them.
    """
    if values.shape[-1] < 2 * k * _BLOCK:
        return _first_in_order(values, k)
    blocks = values.unflatten(-1, (-1, _BLOCK))  # (..., n / _BLOCK, _BLOCK)
    kept = _first_in_order(blocks.amax(-1), k).sort(dim=-1).values  # as they lie, for ties
    few = blocks.gather(-2, kept[..., None].expand(*kept.shape, _BLOCK)).flatten(-2)
    among = _first_in_order(few, k)
    return kept.gather(-1, among // _BLOCK) * _BLOCK + among % _BLOCK


def _first_in_order(values, k):
    return values.sort(dim=-1, descending=True, stable=True).indices[..., :k]
