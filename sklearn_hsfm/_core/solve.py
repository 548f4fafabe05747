"""Algorithm 1: edit the support, then move the head, epoch after epoch."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.optim.adam import adam

from sklearn_hsfm._core.hard_set import HardSetMiner
from sklearn_hsfm._core.metagradient import choose_metagradient, head_logits

# The published procedure leaves Adam as torch ships it.
ADAM = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}


@dataclass(frozen=True)
class Problem:
    """B problems that share their validation rows and the labels of their support."""

    H: Tensor  # (B, n, D) initial support, each row ending in 1
    y: Tensor  # (n,) class of each support row
    W: Tensor  # (B, C, D) initial head, intercept last
    X_val: Tensor  # (N, D) validation rows, each ending in 1
    y_val: Tensor  # (N,)
    mined: Tensor  # (B, N) bool, the rows that a problem may mine


class Solution(NamedTuple):
    """What `solve` found, at the epoch that scored best, and how it got there."""

    W: Tensor  # (B, C, D)
    H: Tensor  # (B, n, D)
    best_epoch: list[int]  # 0: no epoch ended with finite numbers
    n_epochs: int  # epochs that ran to their end
    diverged: bool  # stopped early: the numbers were no longer finite
    scores: Tensor  # (n_epochs + 1, B), epoch 0 is the initial head
    inner_loss: Tensor  # (n_epochs + 1, B), after the head's steps of the epoch
    outer_loss: Tensor  # (n_epochs + 1, B), at the epoch's last edit, before it acts
    hard: Tensor  # (n_epochs, B, m) rows of X_val


def augment(X: Tensor, last: Tensor | float = 1.0) -> Tensor:
    """Return ``X`` of shape (..., d) as (..., D): zeros, then ``last``, are appended.

    D is a multiple of 16: rows that start on a cache line multiply up to twice as fast.
    """
    d = X.shape[-1]
    out = X.new_zeros(*X.shape[:-1], d + 16 - d % 16)
    out[..., :d] = X
    out[..., -1] = last
    return out


def solve(
    problem: Problem,
    *,
    T: int,
    KH: int,
    Khard: int,
    epochs: int,
    inner_lr: Sequence[float],
    outer_lr: Sequence[float],
    clip_norm: float | None,
    score: Callable[[int, object], Sequence[float]],
) -> Solution:
    """Run Algorithm 1 on every problem and keep the epoch that scores best.

    ``score(epoch, logits)`` gets the validation logits as an array, (B, N, C), and returns one
    number per problem, greater is better; of equal scores the last epoch wins, as published.
    The initial head, epoch 0, is scored for the record and is no candidate.
    """
    H, W, y = problem.H.clone(), problem.W.clone(), problem.y
    B, n, D = H.shape
    C = W.shape[1]
    Y = one_hot(y, C).to(H.dtype)  # (n, C)
    Y_val = one_hot(problem.y_val, C).to(H.dtype)  # (N, C)
    alpha = H.new_tensor(inner_lr).reshape(B, 1, 1)
    mine = HardSetMiner(problem.y_val, problem.mined, Khard=Khard, n_classes=C)
    metagradient = choose_metagradient(n, C, D, T)
    edit = _adam(H, outer_lr)
    fit = _adam(W, inner_lr)
    best_W, best_H, best_epoch = W.clone(), H.clone(), [0] * B
    diverged = False

    with torch.no_grad(), flush_denormals():
        logits = head_logits(W, problem.X_val)  # (B, N, C)
        scores = [score(0, logits.cpu().numpy())]
        inner = [_cross_entropy(head_logits(W, H), Y).mean(-1)]
        outer, hard_rows = [], []
        for epoch in range(1, epochs + 1):
            hard = mine(_cross_entropy(logits, Y_val))
            Q, Yq = problem.X_val[hard.index], Y_val[hard.index]  # (B, m, D), (B, m, C)
            weight = hard.weight[..., None]  # (B, m, 1)
            for _ in range(KH):
                loss, gradient = metagradient(H, Y, W, Q, Yq, weight, alpha=alpha, T=T)
                edit(_clip(gradient, clip_norm))
            for _ in range(T):
                error = (torch.softmax(head_logits(W, H), dim=-1) - Y).div_(n)  # (B, n, C)
                fit(error.mT @ H)
            logits = head_logits(W, problem.X_val)
            if not torch.isfinite(logits).all():
                diverged = True
                break
            hard_rows.append(hard.index)
            outer.append(loss)
            inner.append(_cross_entropy(head_logits(W, H), Y).mean(-1))
            scores.append(score(epoch, logits.cpu().numpy()))
            for b in range(B):
                if best_epoch[b] == 0 or scores[epoch][b] >= scores[best_epoch[b]][b]:
                    best_epoch[b] = epoch
                    best_W[b], best_H[b] = W[b], H[b]

    # No edit has been tried before the first epoch, so epoch 0 has no outer loss.
    outer.insert(0, torch.full_like(inner[0], torch.nan))
    no_rows = problem.y_val.new_empty(0, B, len(mine.used))
    return Solution(
        W=best_W,
        H=best_H,
        best_epoch=best_epoch,
        n_epochs=len(hard_rows),
        diverged=diverged,
        scores=torch.tensor(scores, dtype=torch.float64),
        inner_loss=torch.stack(inner),
        outer_loss=torch.stack(outer),
        hard=torch.stack(hard_rows) if hard_rows else no_rows,
    )


@contextmanager
def flush_denormals():
    """Round denormal numbers to zero inside, and restore the caller's setting after.

    They come up as the losses of fitted rows vanish, and cost a fifth of a fit on CPUs.
    """
    before = bool(torch.tensor([1e-310], dtype=torch.float64).mul(1).eq(0))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _adam(parameter: Tensor, rates: Sequence[float]) -> Callable[[Tensor], None]:
    """Return a function that applies one Adam step to ``parameter``, (B, ...), in place.

    It keeps torch's Adam state without the optimizer object, whose bookkeeping costs more
    than the arithmetic of one step.
    """
    first, second = torch.zeros_like(parameter), torch.zeros_like(parameter)
    one_rate = len(set(rates)) == 1

    def split(tensor):
        return [tensor] if one_rate else list(tensor.unbind(0))

    lots = [
        ([p], [m], [v], [torch.zeros((), device=p.device)], rate)
        for p, m, v, rate in zip(*map(split, (parameter, first, second)), rates, strict=False)
    ]

    def step(gradient):
        for (p, m, v, steps, rate), g in zip(lots, split(gradient), strict=True):
            adam(p, [g], m, v, [], steps, fused=True, lr=rate, **ADAM)

    return step


def _clip(gradient: Tensor, norm: float | None) -> Tensor:
    """Scale each problem's gradient down to Frobenius ``norm``, as ``clip_grad_norm_``."""
    if norm is None:
        return gradient
    length = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    return gradient.mul_((norm / (length + 1e-6)).clamp_(max=1))


def _cross_entropy(logits: Tensor, Y: Tensor) -> Tensor:
    """Return the loss of each row, (B, rows), for one-hot ``Y`` of shape (rows, C)."""
    return torch.logsumexp(logits, dim=-1) - (logits * Y).sum(-1)
