"""A batch of problems, and an epoch of Algorithm 1 over it."""

from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_hsfm._core.adam import Adam
from sklearn_hsfm._core.hard_set import HardSetMiner
from sklearn_hsfm._core.link import link_of
from sklearn_hsfm._core.metagradient import choose_metagradient
from sklearn_hsfm._core.rows import ResidentRows, head_logits

_MINED_AT_ONCE = 2**23  # logits


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


class Run:
    """The state of B problems, in tensors that stay where they are, and an epoch over it.

    A subclass says how the support is edited and how the head moves.

    Parameters
    ----------
    problem : Problem
    T, Khard, inner_lr, outer_lr : sequences of length B
        One value a problem; steps and rows are padded to the largest T and Khard.
    KH : int
    clip_norm : float or None
    """

    def __init__(self, problem, *, T, KH, Khard, inner_lr, outer_lr, clip_norm):
        self.T, self.KH = max(T), KH
        self.rows, self.link = problem.rows, link_of(problem.n_classes)
        self.W = W = problem.W.clone()
        targets = (self.link.targets(y).to(W.dtype) for y in (problem.y, problem.y_val))
        self.Y, self.Y_val = targets  # (n, R) and (N, R)
        self.mine = HardSetMiner(
            problem.y_val, problem.mined, Khard=Khard, n_classes=problem.n_classes
        )
        self.active = [[t < last for last in T] for t in range(self.T)]  # who takes a step
        live = None
        if min(T) < self.T:
            live = W.new_tensor(self.active)[..., None, None]  # (T, B, 1, 1)
        self._start(problem, inner_lr, outer_lr, clip_norm, live)
        self.logits = W.new_empty(len(W), len(self.Y_val), W.shape[1])  # (B, N, R)
        self.rows.logits(W, out=self.logits)
        self.inner_loss = self._inner_loss()
        self.outer_loss = torch.full_like(self.inner_loss, torch.nan)
        self.weight = self.mine.weight.to(W.dtype)[..., None]  # (B, m, 1)
        self.hard = problem.y_val.new_zeros(self.weight.shape[:2])
        self.Q = W.new_empty(*self.hard.shape, W.shape[-1])  # (B, m, D)
        # Losses and their order take memory: with many rows few problems mine at once.
        at_once = max(1, _MINED_AT_ONCE // self.logits[0].numel())
        self.lots = [slice(b, b + at_once) for b in range(0, len(W), at_once)]

    def advance(self):
        """Run an epoch: mine, edit the support KH times, move the head T steps."""
        for lot in self.lots:
            losses = self.link.losses(self.logits[lot], self.Y_val)
            self.hard[lot] = self.mine(losses, lot)
        self.rows.take(self.hard, out=self.Q)
        self.outer_loss.copy_(self.edit_support(self.Q, self.Y_val[self.hard]))
        self.move_head()
        self.inner_loss.copy_(self._inner_loss())
        self.rows.logits(self.W, out=self.logits)

    def _start(self, problem, inner_lr, outer_lr, clip_norm, live):
        """Prepare edits, of what becomes ``self.H``, and steps of the head ``self.W``."""
        raise NotImplementedError

    def edit_support(self, Q: Tensor, Yq: Tensor) -> Tensor:
        """Edit the support KH times for hard rows (B, m, D) with targets (B, m, R).

        Returns the outer loss at the last edit, (B,).
        """
        raise NotImplementedError

    def move_head(self):
        """Move the head T steps on the support."""
        raise NotImplementedError

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


class PublishedRun(Run):
    """Adam on every number of the support and of the head, as published."""

    def _start(self, problem, inner_lr, outer_lr, clip_norm, live):
        (B, n, D), R = problem.H.shape, self.W.shape[1]
        self.metagradient = choose_metagradient(n, R, D, self.T)(
            problem.H,
            self.Y,
            alpha=self.W.new_tensor(inner_lr).reshape(B, 1, 1),
            T=self.T,
            link=self.link,
            live=live,
        )
        self.H, self.clip_norm = self.metagradient.H, clip_norm
        self.edit = Adam(self.H, outer_lr)
        self.fit = Adam(self.W, [self.link.speed * rate for rate in inner_lr])

    def edit_support(self, Q: Tensor, Yq: Tensor) -> Tensor:
        """Edit the support KH times for the hard rows; return the last outer loss."""
        for _ in range(self.KH):
            loss, gradient = self.metagradient(self.W, Q, Yq, self.weight)
            self.edit(_clip(gradient, self.clip_norm))
        return loss

    def move_head(self):
        """Move the head T steps of its Adam, which lasts over all epochs."""
        for active in self.active:
            error = self.link.probability(head_logits(self.W, self.H)) - self.Y  # (B, n, R)
            self.fit(error.div_(len(self.Y)).mT @ self.H, active)


def _clip(gradient: Tensor, norm: float | None) -> Tensor:
    """Scale each problem's gradient down to Frobenius ``norm``, as ``clip_grad_norm_``."""
    if norm is None:
        return gradient
    length = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    return gradient.mul_((norm / (length + 1e-6)).clamp_(max=1))
