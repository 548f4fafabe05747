"""The gradient of the outer loss with respect to the support, in closed form.

For a linear head the T inner steps (Eqs. 12-14) and their derivative (Eq. 17) need no
automatic differentiation. Two forms of the same numbers:

``gram_metagradient``
    runs both recursions on the n x n Gram matrix of the support: cheap while the
    support is small against 2 T C.
``primal_metagradient``
    runs them on the C x D head: its cost grows with n, not n^2.

Both write R_t = P_t - Y for the error of the head after t steps on the support, S_t for
the derivative of the outer loss in the logits of that head, and a = alpha / n for the
step on the *sum* of the losses.
"""

import torch
from torch import Tensor


def head_logits(W: Tensor, X: Tensor) -> Tensor:
    """Return the logits of rows ``X``, (B, rows, D) or (rows, D), as (B, rows, C).

    With few classes the product is 2 to 4 times faster this way round on CPUs.
    """
    return (W @ X.mT).mT.contiguous()


def softmax_backward(P: Tensor, upstream: Tensor) -> Tensor:
    """Return the vector-Jacobian product of the softmax whose output is ``P``.

    It is ``P * (upstream - (P * upstream).sum(-1))``, as the one kernel that autograd calls.
    """
    return torch._softmax_backward_data(upstream, P, -1, P.dtype)


def outer_loss(W: Tensor, Q: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return L_out (Eq. 16) of each problem and its gradient in the head.

    Parameters
    ----------
    W : tensor of shape (B, C, D)
    Q : tensor of shape (B, m, D)
    y : one-hot tensor of shape (B, m, C)
    weight : tensor of shape (B, m, 1)

    Returns
    -------
    loss : tensor of shape (B,)
    gradient : tensor of shape (B, C, D)
    """
    log_P = torch.log_softmax(head_logits(W, Q), dim=-1)  # (B, m, C)
    loss = -(weight * y * log_P).sum((1, 2))  # (B,)
    error = weight * (log_P.exp() - y)  # (B, m, C)
    return loss, error.mT @ Q


def gram_metagradient(H, Y, W, Q, Yq, weight, *, alpha, T):
    """Return L_out after T inner steps, and dL_out / dH, through the Gram matrix.

    Parameters
    ----------
    H : tensor of shape (B, n, D)
        Support rows, each ending in 1.
    Y : one-hot tensor of shape (n, C)
    W : tensor of shape (B, C, D)
        The head that the inner steps start from.
    Q, Yq, weight : tensors of shape (B, m, D), (B, m, C), (B, m, 1)
        The hard set.
    alpha : tensor of shape (B, 1, 1)
        Inner learning rate.
    T : int
        Inner steps.

    Returns
    -------
    loss : tensor of shape (B,)
    gradient : tensor of shape (B, n, D)
        Zero in the last column, which is constant.
    """
    B, n, _ = H.shape
    C = W.shape[1]
    a = alpha / n
    # W_t = W_0 - a A_t^T H moves in the span of H, so the logits follow from K alone.
    K = (H @ H.mT).mul_(-a)  # (B, n, n)
    Z = head_logits(W, H)  # (B, n, C)
    R = H.new_empty(T, B, n, C)
    P = []
    for R_t in R.unbind(0):
        P.append(torch.softmax(Z, dim=-1))
        torch.sub(P[-1], Y, out=R_t)
        Z.baddbmm_(K, R_t)
    A = R.sum(0)  # (B, n, C)
    loss, G = outer_loss(torch.baddbmm(W, A.mT * -a, H), Q, Yq, weight)  # G: (B, C, D)

    V = head_logits(G, H).mul_(-a)  # (B, n, C): what one unit of A does to the loss
    S = H.new_zeros(T + 1, B, n, C)  # S_t = dL / dZ_t, and S_T = 0
    S_t = S.unbind(0)
    for t in reversed(range(T)):
        upstream = torch.baddbmm(V, K, S_t[t + 1])  # dL / dR_t
        torch.add(S_t[t + 1], softmax_backward(P[t], upstream), out=S_t[t])

    # M = sum_t S_{t+1} R_t^T, one product with the steps laid side by side.
    steps = S[1:].permute(1, 2, 0, 3).reshape(B, n, T * C)
    errors = R.permute(1, 2, 0, 3).reshape(B, n, T * C)
    M = steps @ errors.mT  # (B, n, n)
    gradient = S_t[0] @ W  # (B, n, D)
    gradient.baddbmm_(A * -a, G)
    gradient.baddbmm_((M + M.mT).mul_(-a), H)
    gradient[..., -1] = 0
    return loss, gradient


def primal_metagradient(H, Y, W, Q, Yq, weight, *, alpha, T):
    """Return what `gram_metagradient` returns, through the heads W_0 ... W_T."""
    B, n, D = H.shape
    C = W.shape[1]
    a = alpha / n
    P, R = [], []
    # The gradient is one product of (errors, S) with (adjoints of the heads, heads).
    left = H.new_empty(B, n, 2, T, C)
    right = H.new_empty(B, 2, T, C, D)
    head = W
    for t in range(T):
        right[:, 1, t] = head
        P.append(torch.softmax(head_logits(head, H), dim=-1))  # (B, n, C)
        R.append((P[t] - Y).mul_(-a))
        head = torch.baddbmm(head, R[t].mT, H)  # (B, C, D)
    loss, G = outer_loss(head, Q, Yq, weight)  # G = dL / dW_T

    for t in reversed(range(T)):
        S = softmax_backward(P[t], head_logits(G, H).mul_(-a))  # (B, n, C): dL / dZ_t
        right[:, 0, t] = G
        left[:, :, 0, t] = R[t]
        left[:, :, 1, t] = S
        G = torch.baddbmm(G, S.mT, H)  # dL / dW_t
    gradient = left.flatten(2) @ right.flatten(1, 3)  # (B, n, D)
    gradient[..., -1] = 0
    return loss, gradient


def choose_metagradient(n: int, C: int, D: int, T: int):
    """Return the form with fewer multiplications at these sizes."""
    gram = n * n * (4 * D + 6 * T * C)
    primal = 12 * T * n * C * D
    return gram_metagradient if gram <= primal else primal_metagradient
