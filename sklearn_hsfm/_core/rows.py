"""Validation rows: resident on the device, or streamed from where they lie."""

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

    def logits(self, W: Tensor, *, out: Tensor):
        """Write the logits of all rows, (B, N, R), under heads (B, R, D)."""
        out.copy_(head_logits(W, self.X))

    def take(self, index: Tensor, *, out: Tensor):
        """Write the rows of an index (B, m), as (B, m, D)."""
        torch.index_select(self.X, 0, index.flatten(), out=out.flatten(0, 1))


class StreamedRows:
    """Rows of an array (N, d) that are read when they are needed, such as those of a memory map.

    Parameters
    ----------
    X : array of shape (N, d)
        It is read a slice, or an ascending array of indices, at a time.
    scaler : StandardScaler or None
        What standardises the rows.
    options : dict
        ``dtype`` and ``device`` of the tensors.
    """

    def __init__(self, X: Any, scaler: Any, options: dict):
        self.X, self.scaler, self.options = X, scaler, options
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

    def logits(self, W: Tensor, *, out: Tensor):
        """Write the logits of all rows, (B, N, R), under heads (B, R, D)."""
        N, d = self.X.shape
        W = self._for_raw_rows(W)
        chunk = augment(torch.empty(min(self.size, N), d, dtype=W.dtype))
        for start in range(0, N, self.size):
            rows = slice(start, min(start + self.size, N))
            read = chunk[: rows.stop - start]
            read.numpy()[:, :d] = self.X[rows]
            out[:, rows] = head_logits(W, read.to(W.device))

    def take(self, index: Tensor, *, out: Tensor):
        """Write the rows of an index (B, m), as (B, m, D)."""
        rows, place = index.unique(return_inverse=True)
        X = standardized(self.X[rows.cpu().numpy()], self.scaler)
        out.copy_(augment(torch.tensor(X, **self.options))[place])

    def _for_raw_rows(self, W):
        """Return the heads that do on rows as they are read what ``W`` does on standard ones.

        Standardising a million rows costs more than all else that an epoch does.
        """
        if self.scaler is None:
            return W
        d, like = self.X.shape[1], {"dtype": torch.float64, "device": W.device}
        mean, scale = (torch.tensor(a, **like) for a in (self.scaler.mean_, self.scaler.scale_))
        coef = W[..., :d] / scale
        return augment(coef, W[..., -1] - coef @ mean).to(W.dtype)


def standardized(X: Any, scaler: Any) -> Any:
    """Return rows as a scaler makes them, or as they are."""
    return X if scaler is None else scaler.transform(X)


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


def rows_of(X: Any, scaler: Any, *, dtype: str, device: torch.device):
    """Return the rows of an array, resident if they are few."""
    options = {"dtype": getattr(torch, dtype), "device": device}
    if X.size * options["dtype"].itemsize > _RESIDENT_BYTES:
        return StreamedRows(X, scaler, options)
    # torch.tensor copies, so read-only arrays are welcome.
    return ResidentRows(augment(torch.tensor(standardized(X, scaler), **options)))
