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
            losses = cross_entropy(X_val @ W.T + b, y_val, reduction="none")
            hard = []
            for c in range(len(b)):
                rows = torch.nonzero(y_val == c)[:, 0]
                k = min(Khard, len(rows))
                hard.append(rows[losses[rows].topk(k).indices])
            hard = torch.cat(hard)
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
