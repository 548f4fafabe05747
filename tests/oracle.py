"""Algorithm 1 restated with automatic differentiation: the reference that `_core` must equal.

Written from the paper and from the facts in its Tables 11-13, for one problem, with
torch's own pieces and nothing of the package.
"""

import torch
from torch.nn.functional import cross_entropy


def autograd_hsfm(
    H, y, W, b, X_val, y_val, *, T, KH, Khard, epochs, inner_lr, outer_lr, clip_norm=10.0
):
    """Return the head and the support after each epoch: a list of (W, b, H)."""
    H = H.clone().requires_grad_()  # (n, d)
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()  # (C, d), (C,)
    edit = torch.optim.Adam([H], lr=outer_lr)
    fit = torch.optim.Adam([W, b], lr=inner_lr)
    trajectory = []
    for _ in range(epochs):
        with torch.no_grad():
            hard = hard_rows(X_val @ W.T + b, y_val, Khard)
        for _ in range(KH):
            adapted = W, b
            for _ in range(T):
                inner = cross_entropy(H @ adapted[0].T + adapted[1], y)
                slopes = torch.autograd.grad(inner, adapted, create_graph=True)
                adapted = [p - inner_lr * g for p, g in zip(adapted, slopes, strict=True)]
            outer = cross_entropy(X_val[hard] @ adapted[0].T + adapted[1], y_val[hard])
            (H.grad,) = torch.autograd.grad(outer, H)
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_([H], clip_norm)
            edit.step()
        for _ in range(T):
            fit.zero_grad()
            cross_entropy(H.detach() @ W.T + b, y).backward()
            fit.step()
        trajectory.append([p.detach().clone() for p in (W, b, H)])
    return trajectory


def hard_rows(logits, y_val, Khard):
    """Return the rows of the highest losses of each class."""
    losses, hard = cross_entropy(logits, y_val, reduction="none"), []
    for c in range(logits.shape[1]):
        rows = torch.nonzero(y_val == c)[:, 0]
        hard.append(rows[losses[rows].topk(min(Khard, len(rows))).indices])
    return torch.cat(hard)


class RowAdam:
    """Adam with one second moment a row, written anew; ``restart`` clears the first moment."""

    def __init__(self, parameter, rate):
        self.parameter, self.rate, self.steps = parameter, rate, 0
        self.square = torch.zeros(len(parameter), 1, dtype=parameter.dtype)
        self.restart()

    def restart(self):
        self.mean, self.since = torch.zeros_like(self.parameter), 0

    def step(self, gradient):
        self.steps += 1
        self.since += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient.square().mean(1, keepdim=True)
        mean, square = self.mean / (1 - 0.9**self.since), self.square / (1 - 0.999**self.steps)
        with torch.no_grad():
            self.parameter -= self.rate * mean / (square.sqrt() + 1e-8)


def autograd_row_hsfm(H, y, W, X_val, y_val, *, T, KH, Khard, epochs, inner_lr, outer_lr):
    """Return head and support after each epoch, with `RowAdam` in the place of Adam.

    The head is one matrix, intercepts last; of two classes it has one row, the log-odds, which
    moves twice as fast as either of two.
    """
    H, W = H.clone().requires_grad_(), W.clone().requires_grad_()
    inner_lr = inner_lr * (2 if len(W) == 1 else 1)

    def logits(W, X):
        Z = X @ W[:, :-1].T + W[:, -1]
        return torch.cat([-Z, Z], dim=1) / 2 if len(W) == 1 else Z

    edit, fit = RowAdam(H, outer_lr), RowAdam(W, inner_lr)
    trajectory = []
    for _ in range(epochs):
        hard = hard_rows(logits(W, X_val).detach(), y_val, Khard)
        edit.restart()
        for _ in range(KH):
            adapted = W
            for _ in range(T):
                inner = cross_entropy(logits(adapted, H), y)
                (slope,) = torch.autograd.grad(inner, adapted, create_graph=True)
                adapted = adapted - inner_lr * slope
            outer = cross_entropy(logits(adapted, X_val[hard]), y_val[hard])
            edit.step(torch.autograd.grad(outer, H)[0])
        for _ in range(T):
            fit.step(torch.autograd.grad(cross_entropy(logits(W, H.detach()), y), W)[0])
        trajectory.append((W.detach().clone(), H.detach().clone()))
    return trajectory
