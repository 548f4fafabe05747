"""The recursions of `recursion` as one Triton kernel each, one program a problem.

A program loads its K once and keeps it in registers for all T steps, so an edit takes two launches
where calls of torch take about six a step. Nothing here has run on a GPU, and no time has been
measured: the kernels are tested in Triton's interpreter, and compiled ahead of time for what
they take of a GPU.
"""

import torch
import triton
import triton.language as tl

from sklearn_hsfm._core.link import Logistic
from sklearn_hsfm._core.recursion import Recursion

# Older compilers want more shared memory at some sizes, and were not seen to be right.
OLDEST = (3, 8)

# One compilation serves all sizes with the same padded ones.
SIZES = ("T", "B", "n", "C")


@triton.jit
def _product(K, E):
    """Return K E as (R, n), from E as (R, n).

    K is symmetric, so sums down its columns do, which stay within a thread. Plain sums are whole
    float32, and keep K in registers; `tl.dot` would read it from shared memory at each step.
    """
    return tl.sum(K[None, :, :] * E[:, :, None], axis=1)


@triton.jit
def _load_K(K, b, n, rows):
    place = b * n * n + rows[:, None] * n + rows[None, :]
    return tl.load(K + place, mask=(rows[:, None] < n) & (rows[None, :] < n), other=0.0)


@triton.jit(do_not_specialize=SIZES)
def errors_kernel(
    K, Z, Y, live, R, T, B, n, C, N: tl.constexpr, CLASSES: tl.constexpr, LOGISTIC: tl.constexpr
):  # fmt: skip
    """R_t = P_t - Y and Z_{t+1} = Z_t + K R_t; n rows and C columns, padded to N and CLASSES."""
    b = tl.program_id(0).to(tl.int64)
    rows, classes = tl.arange(0, N), tl.arange(0, CLASSES)[:, None]
    place = rows[None, :] * C + classes  # (CLASSES, N) in tensors (n, C)
    inside = (rows[None, :] < n) & (classes < C)
    K = _load_K(K, b, n, rows)
    Y = tl.load(Y + place, mask=inside, other=0.0)
    Z = tl.load(Z + b * n * C + place, mask=inside, other=0.0)
    for t in range(T):
        if LOGISTIC:
            P = tl.sigmoid(Z)
        else:
            P = tl.where(classes < C, Z, -float("inf"))
            P = tl.exp(P - tl.max(P, axis=0)[None, :])
            P /= tl.sum(P, axis=0)[None, :]
        error = P - Y
        if live is not None:
            error *= tl.load(live + t * B + b)
        tl.store(R + (t * B + b) * n * C + place, error, mask=inside)
        Z += _product(K, error)


@triton.jit(do_not_specialize=SIZES)
def adjoints_kernel(
    K, V, Y, live, R, S, T, B, n, C,
    N: tl.constexpr, CLASSES: tl.constexpr, LOGISTIC: tl.constexpr,
):  # fmt: skip
    """S_t = S_{t+1} + (V + K S_{t+1}) dP_t / dZ_t, from S_T = 0."""
    b = tl.program_id(0).to(tl.int64)
    rows, classes = tl.arange(0, N), tl.arange(0, CLASSES)[:, None]
    place = rows[None, :] * C + classes
    inside = (rows[None, :] < n) & (classes < C)
    K = _load_K(K, b, n, rows)
    Y = tl.load(Y + place, mask=inside, other=0.0)
    V = tl.load(V + b * n * C + place, mask=inside, other=0.0)
    later = tl.zeros_like(V)
    for i in range(T):
        step = ((T - 1 - i) * B + b) * n * C + place
        P = tl.load(R + step, mask=inside, other=0.0) + Y
        upstream = V + _product(K, later)
        if LOGISTIC:
            pulled = upstream * P * (1 - P)
        else:
            pulled = P * (upstream - tl.sum(upstream * P, axis=0)[None, :])
        if live is not None:
            pulled *= tl.load(live + (T - 1 - i) * B + b)
        later += pulled
        tl.store(S + step, later, mask=inside)


class KernelRecursion(Recursion):
    """Both recursions, a launch each."""

    def __init__(self, H, Y, **settings):
        super().__init__(H, Y, **settings)
        # Compiled here, so that what cannot be is known before anything depends on it.
        K, Z = H.new_zeros(len(H), len(Y), len(Y)), H.new_zeros(self.R.shape[1:])
        self.errors(K, Z)
        self.adjoints(K, Z)

    def errors(self, K, Z):
        """Return R_0 ... R_{T-1}, (T, B, n, R), from logits Z, (B, n, R)."""
        self._launch(errors_kernel, K, Z, self.Y, self.live, self.R)
        return self.R

    def adjoints(self, K, V):
        """Return S_0 ... S_T, (T + 1, B, n, R), after a call of `errors`; V is (B, n, R)."""
        self._launch(adjoints_kernel, K, V, self.Y, self.live, self.R, self.S)
        return self.S

    def _launch(self, kernel, *tensors):
        T, B, n, C = self.R.shape
        with torch.cuda.device_of(self.R):  # triton launches on the current device
            kernel[(B,)](
                *tensors, T, B, n, C, LOGISTIC=self.link is Logistic,
                **launch_sizes(n, C), enable_fp_fusion=True,
            )  # fmt: skip


def launch_sizes(n: int, C: int) -> dict[str, int]:
    """Return the padded sizes of n rows and C columns, and how many warps share them."""
    N, CLASSES = max(16, triton.next_power_of_2(n)), triton.next_power_of_2(C)
    # 64 products of K a thread; with more than 16 warps a thread has too few registers.
    return {"N": N, "CLASSES": CLASSES, "num_warps": min(16, max(4, N * N * CLASSES // 2048))}


def fit_registers(n: int, C: int) -> bool:
    """Return whether a program was seen to spill no registers at such sizes, in float32."""
    sizes = launch_sizes(n, C)
    return sizes["N"] <= 128 and sizes["N"] * sizes["CLASSES"] <= 1024


def compiler_is_known() -> bool:
    """Return whether this triton is one that the kernels were tested with, or newer."""
    return tuple(map(int, triton.__version__.split(".")[:2])) >= OLDEST


def can_run(H: torch.Tensor, Y: torch.Tensor) -> bool:
    """Return whether the kernels fit what is asked of them, the card and the compiler."""
    if not compiler_is_known():
        return False
    # In float64 some sizes spill registers, and one takes 128 KiB of shared memory.
    known = torch.cuda.get_device_capability(H.device) >= (8, 0)
    return known and H.dtype == torch.float32 and fit_registers(*Y.shape)
