"""The soft form: a network turns the summary of an environment into a gate on each covariate."""

import numpy as np
from scipy.special import expit

TAU = 0.2  # of the sigmoid


class Soft:
    """One linear head on gated covariates; the gate is a network of two hidden layers."""

    def __init__(self, task, kept, *, hidden, epochs, warm_up, lr, gate_lr, clip_norm):
        self.task, self.kept, self.hidden = task, kept, hidden
        self.epochs, self.warm_up = epochs, warm_up
        self.lr, self.gate_lr, self.clip_norm = lr, gate_lr, clip_norm

    def fit(self, X, y, env, summaries, n_scores, rng):
        """Descend on the mean over environments of their mean loss.

        In the first ``warm_up`` epochs the gates are open and the head learns alone. With one
        environment there is nothing to tell apart, and without later epochs nothing is learnt of
        it: they stay open.
        """
        import torch

        self.open = len(summaries) < 2 or bool(self.kept.all()) or self.warm_up >= self.epochs
        X, summaries = torch.tensor(X), torch.tensor(summaries)
        y = torch.tensor(np.asarray(y, dtype=float))
        # The mean over environments of the mean over their rows.
        weight = torch.tensor(1 / (len(summaries) * np.bincount(env)[env]))
        env = torch.tensor(env)
        head = _layer(X.shape[1], n_scores, rng)
        gate = [
            *_layer(summaries.shape[1], self.hidden, rng),
            *_layer(self.hidden, self.hidden, rng),
            *(np.zeros_like(part) for part in _layer(self.hidden, X.shape[1], rng)),
        ]
        head, gate = ([torch.tensor(p, requires_grad=True) for p in part] for part in (head, gate))
        kept = torch.tensor(self.kept)
        adam = torch.optim.Adam([{"params": head, "lr": self.lr}, {"params": gate}], self.gate_lr)

        def loss(gated):
            seen = X
            if gated and not self.open:
                z = torch.sigmoid(_forward(summaries, gate, torch) / TAU)
                seen = X * torch.where(kept, 1.0, z)[env]
            return weight @ self.task.torch_losses(seen @ head[0].T + head[1], y)

        for epoch in range(self.epochs):
            adam.zero_grad()
            loss(epoch >= self.warm_up).backward()
            torch.nn.utils.clip_grad_norm_([*head, *gate], self.clip_norm)
            adam.step()
        if not loss(True).isfinite():
            raise ValueError(
                "The soft form is not finite on the samples of X after its epochs: lower "
                f"lr={self.lr} or gate_lr={self.gate_lr}."
            )
        self.head, self.gate = ([p.detach().numpy() for p in part] for part in (head, gate))
        return self

    def covariates(self, summary):
        """Return the gate of each covariate, (n_features,); 1 where it has to stay."""
        if self.open:
            return np.ones(len(self.kept))
        return np.where(self.kept, 1.0, expit(_forward(summary[None], self.gate, np)[0] / TAU))

    def outputs(self, X, summary):
        """Return the outputs of the task on the samples of an environment."""
        coef, intercept = self.head
        return self.task.outputs((X * self.covariates(summary)) @ coef.T + intercept)


def _layer(n_in, n_out, rng):
    """Return weights and biases as a layer of torch starts with."""
    bound = 1 / np.sqrt(n_in)
    return rng.uniform(-bound, bound, (n_out, n_in)), rng.uniform(-bound, bound, n_out)


def _forward(x, layers, library):
    """Return the output of the network on rows, in numpy or torch."""
    zero = library.zeros(1, dtype=x.dtype)
    for i in range(0, len(layers), 2):
        x = x @ layers[i].T + layers[i + 1]
        if i + 2 < len(layers):
            x = library.maximum(x, zero)
    return x
