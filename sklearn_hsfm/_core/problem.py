"""What is solved: supports and heads as tensors whose rows end in 1, and validation rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_hsfm._core.rows import ResidentRows, StreamedRows, augment

# Bytes that a batch may take. On a CPU nothing is gained beyond (measured).
_CPU_BYTES, _GPU_BYTES, _STREAMED_BYTES = 2**26, 2**32, 2**29


@dataclass(frozen=True)
class Problem:
    """B problems that share their validation rows and the labels of their support."""

    H: Tensor  # (B, n, D) initial support, each row ending in 1
    y: Tensor  # (n,) class of each support row
    W: Tensor  # (B, R, D) initial head, intercept last; R rows as `link` says
    rows: ResidentRows | StreamedRows  # N validation rows
    y_val: Tensor  # (N,)
    mined: Tensor  # (B, N) bool, the rows that a problem may mine

    @property
    def n_classes(self) -> int:
        """How many classes the heads tell apart."""
        return max(2, self.W.shape[1])

    @classmethod
    def from_arrays(cls, support, y, heads, rows, y_val, mined, *, dtype, device):
        """Return the problems of a support of plain features, (B, n, d).

        ``heads`` is a pair (coef, intercept) of shapes (B, R, d) and (B, R).
        """
        options = {"dtype": getattr(torch, dtype), "device": device}
        # torch.tensor copies, so read-only arrays are welcome.
        coef, intercept = (torch.tensor(a, **options) for a in heads)
        return cls(
            H=augment(torch.tensor(support, **options)),
            y=torch.tensor(y, device=device),
            W=augment(coef, intercept),
            rows=rows,
            y_val=torch.tensor(y_val, device=device),
            mined=torch.tensor(mined, device=device),
        )


def batch_size(rows, n: int, m: int, R: int, *, d: int, dtype: str, device: torch.device) -> int:
    """Return how many problems of n support and m hard rows, R rows a head, to solve at once."""
    itemsize = getattr(torch, dtype).itemsize
    # the support, its gradient and the two moments of Adam; the hard rows
    bytes_each = (4 * n + m) * d * itemsize
    limit = _CPU_BYTES if device.type == "cpu" else _GPU_BYTES
    if isinstance(rows, StreamedRows):
        # Reading the rows takes longest, however many problems they are read for.
        limit = _STREAMED_BYTES
        bytes_each += len(rows.X) * R * itemsize  # logits
    return max(1, limit // bytes_each)
