"""Validation rows: resident on the device, or streamed from where they lie."""

from collections.abc import Callable
from mmap import mmap
from typing import Any

import torch
from torch import Tensor

# Bytes of rows that are copied to the device; more of them stay where they are.
_RESIDENT_BYTES = 2**29
_CHUNK_BYTES = 2**26


def augment(X: Tensor, last: Tensor | float = 1.0) -> Tensor:
    """Return ``X`` of shape (..., d) as (..., D): zeros, then ``last``, are appended.

    D is a multiple of 16: rows that start on a cache line multiply up to twice as fast.
    """
    d = X.shape[-1]
    out = X.new_zeros(*X.shape[:-1], d + 16 - d % 16)
    out[..., :d] = X
    out[..., -1] = last
    return out


def head_logits(W: Tensor, X: Tensor) -> Tensor:
    """Return the logits of rows ``X``, (B, rows, D) or (rows, D), as (B, rows, R).

    With few classes the product is 2 to 4 times faster this way round on CPUs.
    """
    return (W @ X.mT).mT.contiguous()


class ResidentRows:
    """Rows (N, D), each ending in 1, on the device."""

    def __init__(self, X: Tensor):
        self.X = X

    def logits(self, W: Tensor) -> Tensor:
        """Return the logits of all rows, (B, N, R), under heads (B, R, D)."""
        return head_logits(W, self.X)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows of an index (B, m), as (B, m, D)."""
        return self.X[index]


class StreamedRows:
    """Rows of an array (N, d) that are read when they are needed, such as those of a memory map.

    Parameters
    ----------
    X : array of shape (N, d)
        It is read a slice, or an ascending array of indices, at a time.
    scale : callable
        Applied to what is read.
    options : dict
        ``dtype`` and ``device`` of the tensors.
    """

    def __init__(self, X: Any, scale: Callable, options: dict):
        self.X, self.scale, self.options = X, scale, options
        self.size = max(1, _CHUNK_BYTES // (X.shape[1] * options["dtype"].itemsize))

    def __getstate__(self):
        """Return the state: of rows that are a mapped file, other processes get its name."""
        return {**self.__dict__, "X": _file_of(self.X) or self.X}

    def __setstate__(self, state):
        """Open the file of the rows, if that is what was sent."""
        self.__dict__.update(state)
        if isinstance(self.X, tuple):
            opened, file = self.X
            self.X = opened(*file)

    def _read(self, rows):
        return augment(torch.tensor(self.scale(self.X[rows]), **self.options))

    def logits(self, W: Tensor) -> Tensor:
        """Return the logits of all rows, (B, N, R), under heads (B, R, D)."""
        starts = range(0, len(self.X), self.size)
        chunks = (self._read(slice(start, start + self.size)) for start in starts)
        return torch.cat([head_logits(W, chunk) for chunk in chunks], dim=1)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows of an index (B, m), as (B, m, D)."""
        rows, place = index.unique(return_inverse=True)
        return self._read(rows.cpu().numpy())[place]


def _file_of(X):
    """Return a class and its arguments that map the rows again, or None if no file is all of them.

    By itself a map pickles as the array that it is, however large.
    """
    opened = getattr(X, "base", None)  # numpy.memmap, of which X is a view
    if not isinstance(getattr(opened, "base", None), mmap) or opened.filename is None:
        return None
    if opened.mode == "c" or opened.nbytes != X.nbytes or not X.flags.c_contiguous:
        return None
    return type(opened), (opened.filename, X.dtype, "r", opened.offset, X.shape)


def rows_of(X: Any, scale: Callable, *, dtype: str, device: torch.device):
    """Return the rows of an array, resident if they are few."""
    options = {"dtype": getattr(torch, dtype), "device": device}
    if X.size * options["dtype"].itemsize > _RESIDENT_BYTES:
        return StreamedRows(X, scale, options)
    # torch.tensor copies, so read-only arrays are welcome.
    return ResidentRows(augment(torch.tensor(scale(X), **options)))
