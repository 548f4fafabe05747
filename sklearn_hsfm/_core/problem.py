"""What is solved: supports, heads and validation rows as tensors whose rows end in 1."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """B problems that share their validation rows and the labels of their support."""

    H: Tensor  # (B, n, D) initial support, each row ending in 1
    y: Tensor  # (n,) class of each support row
    W: Tensor  # (B, C, D) initial head, intercept last
    X_val: Tensor  # (N, D) validation rows, each ending in 1
    y_val: Tensor  # (N,)
    mined: Tensor  # (B, N) bool, the rows that a problem may mine

    @classmethod
    def from_arrays(cls, support, y, head, X_val, y_val, mined, *, dtype, device):
        """Return the problems of plain features, (B, n, d) and (N, d), from one head.

        ``head`` is a pair (coef, intercept) of shapes (C, d) and (C,).
        """
        options = {"dtype": getattr(torch, dtype), "device": device}
        # torch.tensor copies, so read-only arrays are welcome.
        coef, intercept = (torch.tensor(a, **options) for a in head)
        return cls(
            H=augment(torch.tensor(support, **options)),
            y=torch.tensor(y, device=device),
            W=augment(coef, intercept).repeat(len(support), 1, 1),
            X_val=augment(torch.tensor(X_val, **options)),
            y_val=torch.tensor(y_val, device=device),
            mined=torch.tensor(mined, device=device),
        )


def augment(X: Tensor, last: Tensor | float = 1.0) -> Tensor:
    """Return ``X`` of shape (..., d) as (..., D): zeros, then ``last``, are appended.

    D is a multiple of 16: rows that start on a cache line multiply up to twice as fast.
    """
    d = X.shape[-1]
    out = X.new_zeros(*X.shape[:-1], d + 16 - d % 16)
    out[..., :d] = X
    out[..., -1] = last
    return out
