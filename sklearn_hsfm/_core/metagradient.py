"""The gradient of the outer loss with respect to the support, in closed form.

For a linear head the T inner steps (Eqs. 12-14) and their derivative (Eq. 17) need no
automatic differentiation. Two forms of the same numbers:

``GramMetagradient``
    runs both recursions on the n x n Gram matrix of the support: cheap while the
    support is small against 2 T R.
``PrimalMetagradient``
    runs them on the R x D head: its cost grows with n, not n^2.

Both write R_t = P_t - Y for the error of the head after t steps on the support, S_t for
the derivative of the outer loss in the logits of that head, and a = alpha / n for the
step on the *sum* of the losses. Heads have R rows (see `link`). All that is as large as the
support is allocated once.
"""

import torch
from torch import Tensor

from sklearn_hsfm._core.recursion import choose_recursion, masked
from sklearn_hsfm._core.rows import head_logits


def outer_loss(W, Q, Yq, weight, *, link) -> tuple[Tensor, Tensor]:
    """Return L_out (Eq. 16) of each problem and its gradient in the head.

    Parameters
    ----------
    W : tensor of shape (B, R, D)
    Q : tensor of shape (B, m, D)
    Yq : tensor of shape (B, m, R)
        Targets.
    weight : tensor of shape (B, m, 1)
    link : Logistic or Softmax

    Returns
    -------
    loss : tensor of shape (B,)
    gradient : tensor of shape (B, R, D)
    """
    Z = head_logits(W, Q)  # (B, m, R)
    loss = (weight[..., 0] * link.losses(Z, Yq)).sum(-1)  # (B,)
    error = weight * (link.probability(Z) - Yq)  # (B, m, R)
    return loss, error.mT @ Q


class _Metagradient:
    """What both forms keep.

    Parameters
    ----------
    H : tensor of shape (B, n, D)
        Support rows, each ending in 1; copied into the attribute ``H``, which the caller edits.
    Y : tensor of shape (n, R)
        Targets of the support.
    alpha : tensor of shape (B, 1, 1)
        Inner learning rate.
    T : int
        Inner steps.
    link : Logistic or Softmax
        What logits mean.
    live : tensor of shape (T, B, 1, 1), default=None
        1 while a problem steps, 0 after; None where all take T steps.
    """

    def __init__(self, H, Y, *, alpha, T, link, live=None):
        self.Y, self.T, self.link, self.live = Y, T, link, live
        self.minus_a = -alpha * (link.speed / H.shape[1])
        self.gradient = torch.empty_like(H)

    def finished(self, left, right):
        """Return the product as the gradient: zero in the last column, which is constant."""
        torch.bmm(left, right, out=self.gradient)
        self.gradient[..., -1].zero_()
        return self.gradient


class GramMetagradient(_Metagradient):
    """Return L_out after T inner steps, and dL_out / dH, through the Gram matrix."""

    def __init__(self, H, Y, **settings):
        super().__init__(H, Y, **settings)
        (B, n, D), R = H.shape, Y.shape[1]
        # The gradient is one product with these rows: the support, the head, its adjoint.
        self.rows = H.new_empty(B, n + 2 * R, D)
        self.H, self.W, self.G = self.rows.split((n, R, R), dim=1)
        self.H.copy_(H)
        self.steps = choose_recursion(self.H, Y, T=self.T, link=self.link, live=self.live)

    def __call__(self, W, Q, Yq, weight):
        """Return the loss, (B,), and the gradient, (B, n, D), which the next call overwrites.

        Parameters
        ----------
        W : tensor of shape (B, R, D)
            The head that the inner steps start from.
        Q, Yq, weight : tensors of shape (B, m, D), (B, m, R), (B, m, 1)
            The hard set.
        """
        H, minus_a = self.H, self.minus_a
        # W_t = W_0 - a A_t^T H moves in the span of H, so the logits follow from K alone.
        K = (H @ H.mT).mul_(minus_a)  # (B, n, n)
        R = self.steps.errors(K, head_logits(W, H))  # (T, B, n, R)
        A = R.sum(0).mul_(minus_a)  # (B, n, R)
        loss, G = outer_loss(W + A.mT @ H, Q, Yq, weight, link=self.link)  # G: (B, R, D)

        V = head_logits(G, H).mul_(minus_a)  # (B, n, R): what one unit of A does to the loss
        S = self.steps.adjoints(K, V)  # (T + 1, B, n, R)

        # M = sum_t S_{t+1} R_t^T, one product with the steps laid side by side.
        M = _side_by_side(S[1:]) @ _side_by_side(R).mT  # (B, n, n)
        self.W.copy_(W)
        self.G.copy_(G)
        left = torch.cat([(M + M.mT).mul_(minus_a), S[0], A], dim=-1)  # (B, n, n + 2 R)
        return loss, self.finished(left, self.rows)


class PrimalMetagradient(_Metagradient):
    """Return what `GramMetagradient` returns, through the heads W_0 ... W_T."""

    def __init__(self, H, Y, **settings):
        super().__init__(H, Y, **settings)
        (B, n, D), R = H.shape, Y.shape[1]
        self.H = H.clone()
        # The gradient is one product of (errors, S) with (adjoints of the heads, heads).
        self.left = H.new_empty(B, n, 2, self.T, R)
        self.right = H.new_empty(B, 2, self.T, R, D)

    def __call__(self, W, Q, Yq, weight):
        """Return the loss, (B,), and the gradient, (B, n, D), which the next call overwrites."""
        H, link, minus_a = self.H, self.link, self.minus_a
        left, right = self.left, self.right
        P = []
        for t in range(self.T):
            right[:, 1, t] = W
            P.append(link.probability(head_logits(W, H)))  # (B, n, R)
            R = masked((P[t] - self.Y).mul_(minus_a), self.live, t)
            left[:, :, 0, t] = R
            W = torch.baddbmm(W, R.mT, H)  # (B, R, D)
        loss, G = outer_loss(W, Q, Yq, weight, link=link)  # G = dL / dW_T

        for t in reversed(range(self.T)):
            right[:, 0, t] = G
            S = link.pullback(head_logits(G, H).mul_(minus_a), P[t])
            S = masked(S, self.live, t)  # dL / dZ_t
            left[:, :, 1, t] = S
            if t > 0:
                G = torch.baddbmm(G, S.mT, H)  # dL / dW_t
        return loss, self.finished(left.flatten(2), right.flatten(1, 3))


def multiplications(n: int, R: int, D: int, T: int) -> tuple[int, int]:
    """Return those of an edit, but for the hard rows, through the Gram matrix and the heads."""
    return n * n * (2 * D + 3 * T * R), 6 * T * n * R * D


def choose_metagradient(n: int, R: int, D: int, T: int):
    """Return the form that takes less time at these sizes."""
    gram, primal = multiplications(n, R, D, T)
    # Thin products are bound by memory: measured, a tenth of the speed of square ones for R = 1.
    return GramMetagradient if gram <= primal * (1 + 8 / R) else PrimalMetagradient


def _side_by_side(steps: Tensor) -> Tensor:
    """Return (T, B, n, R) as (B, n, T R)."""
    return steps.permute(1, 2, 0, 3).flatten(2)
