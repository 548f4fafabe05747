"""Algorithm 1: edit the support, then move the head, epoch after epoch."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_hsfm._core.problem import Problem
from sklearn_hsfm._core.run import Epoch, PublishedRun, Run

_CAPTURE = Lock()


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


def iterate(
    problem: Problem, *, epochs: int, kind: type[Run] = PublishedRun, **settings
) -> Iterator[Epoch]:
    """Run Algorithm 1 on every problem; yield the start, then every epoch.

    ``settings`` are those of `Run`, ``kind`` says which. The run ends early when no problem is
    finite any more.
    """
    run = kind(problem, **settings)
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
