"""Algorithm 1: edit the support, then move the head, epoch after epoch."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_hsfm._core.hard_set import HardSetMiner
from sklearn_hsfm._core.link import link_of
from sklearn_hsfm._core.metagradient import choose_metagradient
from sklearn_hsfm._core.problem import Problem
from sklearn_hsfm._core.rows import ResidentRows, head_logits

_MINED_AT_ONCE = 2**23  # logits

# The published procedure leaves Adam as torch ships it.
ADAM = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}
_CAPTURE = Lock()


class Epoch(NamedTuple):
    """Where B problems stand after an epoch; the tensors are overwritten by the next one."""

    number: int  # 0: before the first
    W: Tensor  # (B, R, D)
    H: Tensor  # (B, n, D)
    logits: Tensor  # (B, N, R) of the validation rows
    finite: Tensor  # (B,) bool: False once the logits of a problem overflow
    inner_loss: Tensor  # (B,) after the head's steps
    outer_loss: Tensor  # (B,) at the last edit, before it acts; NaN before the first epoch
    hard: Tensor  # (B, m) rows of X_val; zeros before the first epoch


class Solution(NamedTuple):
    """What `solve` found, at the epoch that scored best, and how it got there."""

    W: Tensor  # (B, R, D)
    H: Tensor  # (B, n, D)
    best_epoch: list[int]  # 0: no epoch ended with finite numbers
    n_epochs: int  # epochs that ran to their end
    diverged: bool  # the numbers of some problem were no longer finite
    inner_loss: Tensor  # (n_epochs + 1, B), after the head's steps of the epoch
    outer_loss: Tensor  # (n_epochs + 1, B), at the epoch's last edit, before it acts
    hard: Tensor  # (n_epochs, B, m) rows of X_val


def iterate(problem: Problem, *, epochs: int, **settings) -> Iterator[Epoch]:
    """Run Algorithm 1 on every problem; yield the start, then every epoch.

    ``settings`` are those of `Run`. The run ends early when no problem is finite any more.
    """
    run = Run(problem, **settings)
    yield run.state(0)
    advance = run.advance
    for number in range(1, epochs + 1):
        with torch.inference_mode(), flush_denormals():
            advance()
        if number == 1 and epochs > 1 and run.can_be_captured:
            advance = captured(run.advance, run.W.device)  # the first epoch was its warm-up
        state = run.state(number)
        if not state.finite.any():
            return
        yield state


class Run:
    """The state of B problems, in tensors that stay where they are, and an epoch over it.

    Parameters
    ----------
    problem : Problem
    T, Khard, inner_lr, outer_lr : sequences of length B
        One value a problem; steps and rows are padded to the largest T and Khard.
    KH : int
    clip_norm : float or None
    """

    def __init__(self, problem, *, T, KH, Khard, inner_lr, outer_lr, clip_norm):
        self.T, self.KH, self.clip_norm = T, KH, clip_norm
        self.rows, self.link = problem.rows, link_of(problem.n_classes)
        self.W = W = problem.W.clone()
        B, n, D = problem.H.shape
        targets = (self.link.targets(y).to(W.dtype) for y in (problem.y, problem.y_val))
        self.Y, self.Y_val = targets  # (n, R) and (N, R)
        self.mine = HardSetMiner(
            problem.y_val, problem.mined, Khard=Khard, n_classes=problem.n_classes
        )
        live = None
        if min(T) < max(T):
            live = torch.arange(max(T), device=W.device)[:, None] < W.new_tensor(T)
            live = live[..., None, None].to(W.dtype)  # (T, B, 1, 1)
        self.metagradient = choose_metagradient(n, W.shape[1], D, max(T))(
            problem.H,
            self.Y,
            alpha=W.new_tensor(inner_lr).reshape(B, 1, 1),
            T=max(T),
            link=self.link,
            live=live,
        )
        self.H = self.metagradient.H
        self.edit = _Adam(self.H, outer_lr, [1] * B)
        self.fit = _Adam(W, [self.link.speed * rate for rate in inner_lr], T)
        self.logits = W.new_empty(B, len(self.Y_val), W.shape[1])  # (B, N, R)
        self.rows.logits(W, out=self.logits)
        self.inner_loss = self._inner_loss()
        self.outer_loss = torch.full_like(self.inner_loss, torch.nan)
        self.weight = self.mine.weight.to(W.dtype)[..., None]  # (B, m, 1)
        self.hard = problem.y_val.new_zeros(self.weight.shape[:2])
        self.Q = W.new_empty(*self.hard.shape, D)
        # Losses and their order take memory: with many rows few problems mine at once.
        at_once = max(1, _MINED_AT_ONCE // self.logits[0].numel())
        self.lots = [slice(b, b + at_once) for b in range(0, B, at_once)]

    def advance(self):
        """Run an epoch: mine, edit the support KH times, move the head T steps."""
        for lot in self.lots:
            losses = self.link.losses(self.logits[lot], self.Y_val)
            self.hard[lot] = self.mine(losses, lot)
        self.rows.take(self.hard, out=self.Q)
        Q, Yq = self.Q, self.Y_val[self.hard]  # (B, m, D), (B, m, R)
        for _ in range(self.KH):
            loss, gradient = self.metagradient(self.W, Q, Yq, self.weight)
            self.edit(_clip(gradient, self.clip_norm))
        for t in range(max(self.T)):
            error = self.link.probability(head_logits(self.W, self.H)) - self.Y  # (B, n, R)
            self.fit(error.div_(len(self.Y)).mT @ self.H, t)
        self.outer_loss.copy_(loss)
        self.inner_loss.copy_(self._inner_loss())
        self.rows.logits(self.W, out=self.logits)

    @property
    def can_be_captured(self) -> bool:
        """Whether an epoch is work for a GPU alone."""
        return self.W.is_cuda and isinstance(self.rows, ResidentRows)

    def state(self, number: int) -> Epoch:
        """Return where the problems stand."""
        finite = self.logits.isfinite().all(-1).all(-1)
        return Epoch(
            number, self.W, self.H, self.logits, finite, self.inner_loss, self.outer_loss, self.hard
        )

    def _inner_loss(self):
        return self.link.losses(head_logits(self.W, self.H), self.Y).mean(-1)  # (B,)


def captured(advance: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return an epoch as one CUDA graph: a launch instead of thousands."""
    graph = torch.cuda.CUDAGraph()
    # CUDA takes one capture at a time; other threads may allocate meanwhile.
    options = {"stream": _capture_stream(device), "capture_error_mode": "thread_local"}
    capture = torch.cuda.graph(graph, **options)
    try:
        with _CAPTURE, torch.inference_mode(), torch.cuda.device(device), capture:
            advance()
    except RuntimeError as error:  # what was captured has not run, so nothing is lost
        warnings.warn(
            f"An epoch could not be captured as a CUDA graph ({str(error).splitlines()[0]}): the "
            "fit goes on kernel by kernel, which is slower.",
            stacklevel=2,
        )
        return advance
    return graph.replay


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of a device: torch's own is that of whichever device was first."""
    return torch.cuda.Stream(device)


def solve(
    problem: Problem, *, score: Callable[[int, object], Sequence[float]], **settings
) -> Solution:
    """Run `iterate` and keep the epoch of each problem that scores best.

    ``score(epoch, logits)`` gets the validation logits as an array, (B, N, R), and returns one
    number per problem, greater is better; of equal scores the last epoch wins, as published.
    The initial head, epoch 0, is scored for the record and is no candidate.
    """
    record, finite = [], []
    for epoch in iterate(problem, **settings):
        scores = score(epoch.number, epoch.logits.cpu().numpy())
        losses = epoch.inner_loss.clone(), epoch.outer_loss.clone()
        record.append((scores, *losses, epoch.hard.clone()))
        finite = epoch.finite.tolist()
        if epoch.number == 0:
            best_W, best_H, best_epoch = epoch.W.clone(), epoch.H.clone(), [0] * len(scores)
            continue
        for b, best in enumerate(best_epoch):
            if finite[b] and (best == 0 or scores[b] >= record[best][0][b]):
                best_epoch[b] = epoch.number
                best_W[b], best_H[b] = epoch.W[b], epoch.H[b]
    _, inner_loss, outer_loss, hard = zip(*record, strict=True)
    return Solution(
        W=best_W,
        H=best_H,
        best_epoch=best_epoch,
        n_epochs=len(record) - 1,
        diverged=len(record) - 1 < settings["epochs"] or not all(finite),
        inner_loss=torch.stack(inner_loss),
        outer_loss=torch.stack(outer_loss),
        hard=torch.stack(hard)[1:],
    )


def every_head(problem: Problem, *, every: int, **settings) -> tuple[Tensor, Tensor]:
    """Run `iterate`; return the heads of every so many epochs, (n_kept, B, R, D), and the support.

    The first head is the initial one, the support, (B, n, D), that of the last epoch. Where a
    problem overflows, its last finite head stands for the epochs after it.
    """
    heads = [problem.W]
    for epoch in iterate(problem, **settings):
        if epoch.number and epoch.number % every == 0:
            heads.append(torch.where(epoch.finite[:, None, None], epoch.W, heads[-1]))
    n_kept = settings["epochs"] // every + 1
    return torch.stack(heads + heads[-1:] * (n_kept - len(heads))), epoch.H


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

    Parameters
    ----------
    parameter : tensor of shape (B, ...)
    rates : sequence of float
    steps : sequence of int
        How many of the steps of a round a problem takes.
    """

    def __init__(self, parameter: Tensor, rates: Sequence[float], steps: Sequence[int]):
        moments = torch.zeros_like(parameter), torch.zeros_like(parameter)
        of_lot = defaultdict(list)
        for b, lot in enumerate(zip(rates, steps, strict=True)):
            of_lot[lot].append(b)
        self.lots = []
        for (rate, n_steps), members in of_lot.items():
            # The kernel wants tensors without gaps.
            parts = _runs(members) if parameter.is_contiguous() else members
            tensors = [[tensor[part] for part in parts] for tensor in (parameter, *moments)]
            done = torch.zeros((), device=parameter.device)
            self.lots.append((rate, n_steps, parts, tensors, done))

    def __call__(self, gradient: Tensor, step: int = 0):
        """Take a step, or let those problems take one that take more than ``step`` in a round."""
        for rate, n_steps, parts, (parameter, *moments), done in self.lots:
            if step < n_steps:
                gradients = [gradient[part] for part in parts]
                steps = [done.add_(1)] * len(parts)
                torch._fused_adam_(parameter, gradients, *moments, [], steps, lr=rate, **ADAM)


def _runs(numbers: Sequence[int]) -> list[slice]:
    """Return ascending numbers as slices, one a run of numbers that follow each other."""
    ends = [i for i, (a, b) in enumerate(pairwise(numbers), start=1) if b != a + 1]
    bounds = pairwise([0, *ends, len(numbers)])
    return [slice(numbers[start], numbers[stop - 1] + 1) for start, stop in bounds]


def _clip(gradient: Tensor, norm: float | None) -> Tensor:
    """Scale each problem's gradient down to Frobenius ``norm``, as ``clip_grad_norm_``."""
    if norm is None:
        return gradient
    length = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    return gradient.mul_((norm / (length + 1e-6)).clamp_(max=1))
