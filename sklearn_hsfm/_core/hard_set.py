"""The hard set Q: the highest-loss validation rows of each class, or cell (Eqs. 4-6)."""

import torch
from torch import Tensor

_BLOCK = 64  # rows of which the highest loss is looked at first, where a class has many


class HardSetMiner:
    """Pick the ``Khard`` highest-loss mined rows of each cell, for every problem.

    Parameters
    ----------
    cells : tensor of shape (N,)
        The class of each row, as published, or whatever else the hard rows are drawn by.
    mined : bool tensor of shape (B, N)
        The validation rows that a problem may mine.
    Khard : sequence of int, of length B
        Rows per cell; a cell with fewer mined rows gives all of them.
    alike : bool
        Whether cells weigh the same, however few their rows; as published, rows do.

    Attributes
    ----------
    weight : tensor of shape (B, m)
        What each row weighs in the outer loss: 1 / |Q|, where cells are alike 1 / (rows of its
        cell * cells with rows), or 0 where a cell ran out of rows.
    """

    def __init__(self, cells, mined, *, Khard, alike=False):
        counts = torch.bincount(cells)  # (C,)
        n_rows = -(-int(counts.max()) // _BLOCK) * _BLOCK
        order = torch.argsort(cells, stable=True)
        starts = counts.cumsum(0) - counts  # (C,)
        slot = torch.arange(n_rows, device=cells.device)  # (n_rows,)
        position = (starts[:, None] + slot).clamp(max=len(cells) - 1)
        self.rows = order[position]  # (C, n_rows), padded at the end of a row
        # A padded slot, or a row that this problem must not mine, never wins.
        self.barred = ~((slot < counts[:, None]) & mined[:, self.rows])  # (B, C, n_rows)
        available = (~self.barred).sum(-1)  # (B, C)
        most = torch.as_tensor(Khard, device=cells.device)[:, None]  # (B, 1)
        taken = torch.minimum(available, most)  # (B, C)
        width = int(taken.max())
        filled = torch.arange(width, device=cells.device) < taken[..., None]
        filled = filled.flatten(1)  # (B, m)
        # Slots that no problem fills are dropped.
        self.used = filled.any(0).nonzero()[:, 0]  # (m,)
        self.width = width
        # Double, whatever torch's default: 1 / |Q| must not round in a float64 solve.
        weight = filled.double() / filled.sum(1, keepdim=True)
        if alike:
            of_cell = taken.double().clamp(min=1) * (taken > 0).sum(-1, keepdim=True)  # (B, C)
            weight = filled / of_cell.repeat_interleave(width, dim=1)
        self.weight = weight[:, self.used]  # (B, m)

    def __call__(self, losses: Tensor, problems: slice = slice(None)) -> Tensor:
        """Return the hard rows, (B, m), under losses (B, N); ties go to the first row.

        ``problems`` says of which problems, where not of all, the losses are.
        """
        by_cell = losses[:, self.rows].masked_fill(self.barred[problems], -torch.inf)
        hardest = _highest(by_cell, self.width)  # (B, C, width)
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
