"""Algorithm 1: edit the support, then move the head, epoch after epoch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_hsfm._core.hard_set import HardSetMiner
from sklearn_hsfm._core.link import link_of
from sklearn_hsfm._core.metagradient import choose_metagradient
from sklearn_hsfm._core.problem import Problem
from sklearn_hsfm._core.rows import head_logits

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
    W: Tensor  # (B, R, D)
    H: Tensor  # (B, n, D)
    logits: Tensor  # (B, N, R) of the validation rows
    inner_loss: Tensor  # (B,) after the head's steps
    outer_loss: Tensor  # (B,) at the last edit, before it acts; NaN before the first epoch
    hard: Tensor  # (B, m) rows of X_val; none before the first epoch


class Solution(NamedTuple):
    """What `solve` found, at the epoch that scored best, and how it got there."""

    W: Tensor  # (B, R, D)
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
    T: Sequence[int],
    KH: int,
    Khard: Sequence[int],
    epochs: int,
    inner_lr: Sequence[float],
    outer_lr: Sequence[float],
    clip_norm: float | None,
) -> Iterator[Epoch]:
    """Run Algorithm 1 on every problem; yield the start, then every epoch that stays finite.

    Sequences have one value a problem. Steps and rows are padded to the largest T and Khard.
    """
    W, rows = problem.W.clone(), problem.rows
    B, n, D = problem.H.shape
    link = link_of(problem.n_classes)
    Y, Y_val = (link.targets(y).to(W.dtype) for y in (problem.y, problem.y_val))  # (rows, R)
    mine = HardSetMiner(problem.y_val, problem.mined, Khard=Khard, n_classes=problem.n_classes)
    live = None
    if min(T) < max(T):
        live = torch.arange(max(T), device=W.device)[:, None] < torch.tensor(T, device=W.device)
        live = live[..., None, None].to(W.dtype)  # (T, B, 1, 1)
    alpha = W.new_tensor(inner_lr).reshape(B, 1, 1)
    form = choose_metagradient(n, W.shape[1], D, max(T))
    metagradient = form(problem.H, Y, alpha=alpha, T=max(T), link=link, live=live)
    H = metagradient.H
    edit = _Adam(H, outer_lr)
    fit = _Adam(W, [link.speed * rate for rate in inner_lr])

    logits = rows.logits(W)  # (B, N, R)
    inner_loss = link.losses(head_logits(W, H), Y).mean(-1)  # (B,)
    no_loss, no_rows = torch.full_like(inner_loss, torch.nan), problem.y_val.new_empty(B, 0)
    yield Epoch(0, W, H, logits, inner_loss, no_loss, no_rows)
    for number in range(1, epochs + 1):
        with torch.inference_mode(), flush_denormals():
            hard = mine(link.losses(logits, Y_val))
            Q, Yq = rows.take(hard.index), Y_val[hard.index]  # (B, m, D), (B, m, R)
            weight = hard.weight.to(W.dtype)[..., None]  # (B, m, 1)
            for _ in range(KH):
                loss, gradient = metagradient(W, Q, Yq, weight)
                edit(_clip(gradient, clip_norm))
            for t in range(max(T)):
                error = (link.probability(head_logits(W, H)) - Y).div_(n)  # (B, n, R)
                fit(error.mT @ H, [t < last for last in T])
            logits = rows.logits(W)
            inner_loss = link.losses(head_logits(W, H), Y).mean(-1)
        if not torch.isfinite(logits).all():
            return
        yield Epoch(number, W, H, logits, inner_loss, loss, hard.index)


def solve(
    problem: Problem, *, score: Callable[[int, object], Sequence[float]], **settings
) -> Solution:
    """Run `iterate` and keep the epoch of each problem that scores best.

    ``score(epoch, logits)`` gets the validation logits as an array, (B, N, R), and returns one
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
    """Run `iterate` and return the heads of every so many epochs, (n_kept, B, R, D).

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


class _Adam:
    """Torch's fused Adam on ``parameter``, (B, ...), in place, with a rate for each problem.

    It is the kernel without the optimizer object, whose bookkeeping costs more than the
    arithmetic of one step.
    """

    def __init__(self, parameter: Tensor, rates: Sequence[float]):
        moments = torch.zeros_like(parameter), torch.zeros_like(parameter)
        self.state = [tensor.unbind(0) for tensor in (parameter, *moments)]
        self.steps = [torch.zeros((), device=parameter.device) for _ in rates]
        self.lots = [(r, [i for i, of in enumerate(rates) if of == r]) for r in sorted(set(rates))]

    def __call__(self, gradient: Tensor, active: Sequence[bool] | None = None):
        """Take a step, or let the ``active`` problems take one."""
        gradients = gradient.unbind(0)
        parameter, *moments = self.state
        for rate, members in self.lots:
            if active is not None:
                members = [i for i in members if active[i]]
            if members:
                tensors = parameter, gradients, *moments
                lot = ([tensor[i] for i in members] for tensor in tensors)
                steps = [self.steps[i] for i in members]
                torch._foreach_add_(steps, 1)
                torch._fused_adam_(*lot, [], steps, lr=rate, **ADAM)


def _clip(gradient: Tensor, norm: float | None) -> Tensor:
    """Scale each problem's gradient down to Frobenius ``norm``, as ``clip_grad_norm_``."""
    if norm is None:
        return gradient
    length = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    return gradient.mul_((norm / (length + 1e-6)).clamp_(max=1))
