"""Epochs in the span of their rows, whatever the number of features.

Within an epoch every gradient with respect to the support is a combination of the support H, the
head W and the hard rows Q: by the closed form,

    dL / dH = L (H; W; G),    G = e^T Q,    L = (N, S_0, A),

with N, S_0, A of the sizes of the support alone (see `metagradient`). If Adam scales rows as wholes
(`RowScale`), so is every step. The edits of an epoch are then made on inner products with the rows
that it starts from, P = (H, W, Q), and the edited support is put together once, at its end. The
steps of the head, which stay in the span of the support, are made likewise.

Inner products leave out the last column, which is constant and not edited.
"""

import torch
from torch import Tensor

from sklearn_hsfm._core.adam import ADAM, RowScale
from sklearn_hsfm._core.metagradient import sides, weighted_errors
from sklearn_hsfm._core.recursion import choose_recursion
from sklearn_hsfm._core.rows import head_logits
from sklearn_hsfm._core.run import PublishedRun, Run


class SpanRun(Run):
    """Adam scales rows, and its momentum on the support starts anew every epoch."""

    def _start(self, problem, inner_lr, outer_lr, clip_norm, live):
        if clip_norm is not None:
            raise ValueError("SpanRun does not clip: its steps have the length of their rate.")
        (B, n, D), R = problem.H.shape, self.W.shape[1]
        # The support, the head, and the hard rows as the edits of an epoch add them up.
        self.basis = self.W.new_empty(B, n + R + self.KH * R, D)
        self.H = self.basis[:, :n]
        self.H.copy_(problem.H)
        self.K = self.H @ self.H.mT  # (B, n, n)
        self.edited = torch.empty_like(problem.H)
        self.steps = choose_recursion(self.H, self.Y, T=self.T, link=self.link, live=live)
        alpha = self.W.new_tensor(inner_lr).reshape(-1, 1, 1)
        self.minus_a = -alpha * (self.link.speed / len(self.Y))  # (B, 1, 1)
        self.edit = RowScale(self.H, outer_lr, problem.d)
        self.fit = RowScale(self.W, [self.link.speed * r for r in inner_lr], problem.d + 1)
        self.gain = [1 - ADAM["beta1"]] * self.T
        if live is not None:
            self.gain = [self.gain[0] * of_step for of_step in live]  # (B, 1, 1) each
        self.live = [None] * self.T if live is None else live
        self.momentum = torch.zeros_like(self.W)

    def edit_support(self, Q: Tensor, Yq: Tensor) -> Tensor:
        """Edit the support KH times for the hard rows, (B, m, D) and (B, m, R)."""
        H, W, a = self.H, self.W, self.minus_a
        (B, n, _), R, m = H.shape, W.shape[1], Q.shape[1]
        s, gain = n + R, 1 - ADAM["beta1"]
        bias = W[:, None, :, -1]  # (B, 1, R)
        start = self.basis[:, :s]
        start[:, n:] = W
        # Products of the rows P that the epoch starts from with H, as it is edited, W and G.
        P = H.new_empty(B, s + m, s + R)
        P[:, :n, :n] = self.K
        P[:, n:s, :s] = W @ start.mT
        P[:, :n, n:s] = P[:, n:s, :n].mT
        P[:, s:, :s] = Q @ start.mT
        last = start[:, None, :, -1]  # (B, 1, s), which all rows of H and Q multiply by 1
        P[:, :n, :s] -= last
        P[:, n:s, :s] -= bias.mT * last
        P[:, s:, :s] -= last
        QQ = self.rows.products(self.hard, Q)  # (B, m, m)
        on_all = torch.cat([P[:, s:, :s].mT, QQ], dim=1)  # (B, s + m, m)
        PH, PG = P[..., :n], P[..., s:]  # (B, s + m, n), (B, s + m, R)
        of_W, of_Q = P[:, n:s], P[:, s:]  # (B, R, s + R), (B, m, s + R)
        PU = H.new_zeros(B, s + m, n)  # with the momentum U
        # H and U as combinations of the rows that the epoch starts from and the G of its edits.
        C, U = H.new_zeros(2, B, n, s + self.KH * R)
        C.diagonal(dim1=1, dim2=2)[:, :n].fill_(1)
        E = H.new_zeros(B, self.KH * R, m)  # the errors e of the edits
        K = PH[:, :n].clone()  # (B, n, n)
        self.edit.restart()
        for k in range(self.KH):
            if k > 0:
                done = slice(0, k * R)
                K = C[..., :s] @ PH[:, :s]  # (B, n, n)
                K.baddbmm_(C[..., s : s + k * R], E[:, done] @ of_Q[..., :n])
            whole = (K + 1).mul_(a)  # the constant column counts in the logits
            Z = (of_W[..., :n].mT + bias).contiguous()  # (B, n, R)
            A = self.steps.errors(whole, Z).sum(0).mul_(a)  # (B, n, R)
            Z = torch.baddbmm(of_Q[..., n:s] + bias, of_Q[..., :n], A) + A.sum(1, keepdim=True)
            loss, e = weighted_errors(Z, Yq, self.weight, self.link)  # (B, m, R)
            HG = of_Q[..., :n].mT @ e  # (B, n, R)
            S = self.steps.adjoints(whole, (HG + e.sum(1, keepdim=True)).mul_(a))
            L = torch.cat([*sides(S, self.steps.R, a), A], dim=-1)  # (B, n, s + R)
            PG.copy_(on_all @ e)

            # The gradient is L (H; W; G): its length, from the inner products of these rows.
            of_H = torch.cat([K, of_W[..., :n].mT, HG], dim=-1)
            among = torch.cat([of_H, of_W, e.mT @ of_Q], dim=1)  # (B, s + R, s + R)
            length = ((L @ among).mul_(L)).sum(-1, keepdim=True)
            step = self.edit(length)  # (B, n, 1)
            PU.lerp_(P @ L.mT, gain)
            U.baddbmm_(L[..., :n], C, beta=1 - gain, alpha=gain)
            U[..., n:s].add_(S[0], alpha=gain)
            U[..., s + k * R : s + (k + 1) * R].add_(A, alpha=gain)
            C.addcmul_(U, step, value=-1)
            PH.addcmul_(PU, step.mT, value=-1)
            E[:, k * R : (k + 1) * R] = e.mT
        torch.bmm(E, Q, out=self.basis[:, s:])
        torch.bmm(C, self.basis, out=self.edited)
        H.copy_(self.edited)
        H[..., -1].fill_(1)
        torch.bmm(H, H.mT, out=self.K)
        return loss

    def move_head(self):
        """Move the head T steps of Adam on the support."""
        H, K = self.H, self.K
        Z, said = head_logits(self.W, H), head_logits(self.momentum, H)  # (B, n, R) both
        # Momentum and change of the head, as combinations of the support and the momentum before.
        momentum, change = H.new_zeros(2, *Z.shape)  # (B, n, R)
        before, change_before = H.new_ones(len(H), 1, 1), H.new_zeros(len(H), 1, Z.shape[2])
        for gain, live in zip(self.gain, self.live, strict=True):
            error = (self.link.probability(Z) - self.Y).div_(len(self.Y))  # (B, n, R)
            of_support = K @ error  # (B, n, R)
            step = self.fit((error * of_support).sum(1)[..., None], live).mT  # (B, 1, R)
            momentum.lerp_(error, gain)
            said.lerp_(of_support, gain)
            before.mul_(1 - gain)
            change.addcmul_(momentum, step, value=-1)
            change_before.addcmul_(before, step, value=-1)
            Z.addcmul_(said, step, value=-1)
        self.W.baddbmm_(change.mT, H).addcmul_(change_before.mT, self.momentum)
        self.momentum.mul_(before).baddbmm_(momentum.mT, H)


def multiplications(*, n: int, m: int, R: int, D: int, T: int, KH: int) -> dict[type[Run], int]:
    """Return the multiplications of an epoch of one problem, for each kind of run."""
    recursion = 3 * T * R * n * n
    rows, width, combined = n + R + m, n + 2 * R, n + R + KH * R
    start = D * ((n + R) * (n + R + m) + KH * R * m + n * combined)
    edit = rows * (m * R + n * width) + n * (2 * n * combined + width * width) + KH * R * m * n
    return {
        SpanRun: start + KH * (recursion + edit),
        PublishedRun: KH * (recursion + 2 * D * (n * n + m * R)),
    }
