"""Algorithm 1: edit the support, then move the head, epoch after epoch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.optim.adam import adam

from sklearn_hsfm._core.hard_set import HardSetMiner
from sklearn_hsfm._core.metagradient import choose_metagradient, head_logits
from sklearn_hsfm._core.problem import Problem

# The published procedure leaves Adam as torch ships it.
ADAM = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}


class Epoch(NamedTuple):
    """Where B problems stand after an epoch; the tensors are overwritten by the next one."""

    number: int  # 0: before the first
    W: Tensor  # (B, C, D)
    H: Tensor  # (B, n, D)
    logits: Tensor  # (B, N, C) of the validation rows
    inner_loss: Tensor  # (B,) after the head's steps
    outer_loss: Tensor  # (B,) at the last edit, before it acts; NaN before the first epoch
    hard: Tensor  # (B, m) rows of X_val; none before the first epoch


class Solution(NamedTuple):
    """What `solve` found, at the epoch that scored best, and how it got there."""

    W: Tensor  # (B, C, D)
    H: Tensor  # (B, n, D)
    best_epoch: list[int]  # 0: no epoch ended with finite numbers
    n_epochs: int  # epochs that ran to their end
    diverged: bool  # stopped early: the numbers were no longer finite
    inner_loss: Tensor  # (n_epochs + 1, B), after the head's steps of the epoch
    outer_loss: Tensor  # (n_epochs + 1, B), at the epoch's last edit, before it acts
    hard: Tensor  # (n_epochs, B, m) rows of X_val


def iterate(
    problem: Problem,
    *,
    T: int,
    KH: int,
    Khard: int,
    epochs: int,
    inner_lr: Sequence[float],
    outer_lr: Sequence[float],
    clip_norm: float | None,
) -> Iterator[Epoch]:
    """Run Algorithm 1 on every problem; yield the start, then every epoch that stays finite."""
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

    logits = head_logits(W, problem.X_val)  # (B, N, C)
    inner_loss = _cross_entropy(head_logits(W, H), Y).mean(-1)
    no_loss, no_rows = torch.full_like(inner_loss, torch.nan), problem.y_val.new_empty(B, 0)
    yield Epoch(0, W, H, logits, inner_loss, no_loss, no_rows)
    for number in range(1, epochs + 1):
        with torch.no_grad(), flush_denormals():
            hard = mine(_cross_entropy(logits, Y_val))
            Q, Yq = problem.X_val[hard.index], Y_val[hard.index]  # (B, m, D), (B, m, C)
            weight = hard.weight.to(H.dtype)[..., None]  # (B, m, 1)
            for _ in range(KH):
                loss, gradient = metagradient(H, Y, W, Q, Yq, weight, alpha=alpha, T=T)
                edit(_clip(gradient, clip_norm))
            for _ in range(T):
                error = (torch.softmax(head_logits(W, H), dim=-1) - Y).div_(n)  # (B, n, C)
                fit(error.mT @ H)
            logits = head_logits(W, problem.X_val)
            inner_loss = _cross_entropy(head_logits(W, H), Y).mean(-1)
        if not torch.isfinite(logits).all():
            return
        yield Epoch(number, W, H, logits, inner_loss, loss, hard.index)


def solve(
    problem: Problem, *, score: Callable[[int, object], Sequence[float]], **settings
) -> Solution:
    """Run `iterate` and keep the epoch of each problem that scores best.

    ``score(epoch, logits)`` gets the validation logits as an array, (B, N, C), and returns one
    number per problem, greater is better; of equal scores the last epoch wins, as published.
    The initial head, epoch 0, is scored for the record and is no candidate.
    """
    record = []
    for epoch in iterate(problem, **settings):
        scores = score(epoch.number, epoch.logits.cpu().numpy())
        record.append((scores, epoch.inner_loss, epoch.outer_loss, epoch.hard))
        if epoch.number == 0:
            best_W, best_H, best_epoch = epoch.W.clone(), epoch.H.clone(), [0] * len(scores)
            continue
        for b, best in enumerate(best_epoch):
            if best == 0 or scores[b] >= record[best][0][b]:
                best_epoch[b] = epoch.number
                best_W[b], best_H[b] = epoch.W[b], epoch.H[b]
    _, inner_loss, outer_loss, hard = zip(*record, strict=True)
    return Solution(
        W=best_W,
        H=best_H,
        best_epoch=best_epoch,
        n_epochs=len(record) - 1,
        diverged=len(record) - 1 < settings["epochs"],
        inner_loss=torch.stack(inner_loss),
        outer_loss=torch.stack(outer_loss),
        hard=torch.stack(hard[1:]) if hard[1:] else hard[0][None][:0],
    )


def every_head(problem: Problem, *, every: int, **settings) -> Tensor:
    """Run `iterate` and return the heads of every so many epochs, (n_kept, B, C, D).

    The first is the initial head. A problem that overflows ends the run of all; the last
    finite heads then stand for the epochs that are missing.
    """
    n_kept = settings["epochs"] // every + 1
    heads = [e.W.clone() for e in iterate(problem, **settings) if e.number % every == 0]
    return torch.stack(heads + heads[-1:] * (n_kept - len(heads)))


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
