"""Adam as published, and Adam that scales rows as wholes."""

from collections.abc import Sequence

import torch
from torch import Tensor

# The published procedure leaves Adam as torch ships it.
ADAM = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}


class Adam:
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


class RowScale:
    """How far each row steps, if Adam's second moment is one number a row.

    That is Adam-mini [1]_ with the rows as its blocks. A row goes about as far as under Adam, along
    its momentum, whatever the coordinates are: turn the features, and all that is learned turns
    with them.

    Parameters
    ----------
    parameter : tensor of shape (B, n, D)
        What steps.
    rates : sequence of float, of length B
    width : int
        Columns that are no padding.

    References
    ----------
    .. [1] Y. Zhang et al.: "Adam-mini: Use Fewer Learning Rates To Gain More", arXiv:2406.16793.
    """

    def __init__(self, parameter: Tensor, rates: Sequence[float], width: int):
        (B, n, _), self.width = parameter.shape, width
        self.rates = parameter.new_tensor(rates).reshape(B, 1, 1)
        self.square = parameter.new_zeros(B, n, 1)
        # What the averages of gradients and of squares still owe to their start at zero.
        self.owed_mean, self.owed_square = parameter.new_ones(2, B, 1, 1)

    def restart(self):
        """Let the average of gradients start anew; the caller keeps it."""
        self.owed_mean.fill_(1)

    def __call__(self, length: Tensor, live: Tensor | None = None) -> Tensor:
        """Return the factor of the averaged gradient in the step, (B, n, 1).

        Parameters
        ----------
        length : tensor of shape (B, n, 1)
            Squared lengths of the rows of the gradient.
        live : tensor of shape (B, 1, 1), default=None
            1 for problems that take a step, 0 for others; None where all do.
        """
        mean_gain, gain = 1 - ADAM["beta1"], 1 - ADAM["beta2"]
        if live is not None:
            mean_gain, gain = mean_gain * live, gain * live
        self.owed_mean.mul_(1 - mean_gain)
        self.owed_square.mul_(1 - gain)
        self.square.lerp_(length / self.width, gain)
        deviation = (self.square / (1 - self.owed_square)).sqrt_().add_(ADAM["eps"])
        step = self.rates / (1 - self.owed_mean) / deviation
        return step if live is None else step * live
