"""What logits mean: for two classes one log-odds, for more one logit a class.

Softmax over two logits is the logistic function of their difference, and gradient descent and
Adam keep the two rows of such a head opposite in all they add to it. So two classes need R = 1
row, the difference, which moves twice as fast as either; more classes need R = C.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot


class Logistic:
    """Two classes: the log-odds of the second."""

    speed = 2  # the difference of two rows moves twice as fast as either

    @staticmethod
    def targets(y: Tensor) -> Tensor:
        """Return what the probabilities should be, (n, 1)."""
        return y[:, None]

    @staticmethod
    def probability(Z: Tensor) -> Tensor:
        """Return the probabilities of logits (..., 1)."""
        return torch.sigmoid(Z)

    @staticmethod
    def pullback(upstream: Tensor, P: Tensor) -> Tensor:
        """Return the vector-Jacobian product of `probability` where it gave ``P``."""
        return torch.ops.aten.sigmoid_backward(upstream, P)

    @staticmethod
    def losses(Z: Tensor, Y: Tensor) -> Tensor:
        """Return the cross-entropy of each row, (..., n)."""
        return -logsigmoid((2 * Y - 1) * Z)[..., 0]


class Softmax:
    """More than two classes: a logit a class."""

    speed = 1

    @staticmethod
    def targets(y: Tensor) -> Tensor:
        """Return what the probabilities should be, (n, C)."""
        return one_hot(y)

    @staticmethod
    def probability(Z: Tensor) -> Tensor:
        """Return the probabilities of logits (..., C)."""
        return torch.softmax(Z, dim=-1)

    @staticmethod
    def pullback(upstream: Tensor, P: Tensor) -> Tensor:
        """Return the vector-Jacobian product of `probability` where it gave ``P``."""
        return torch._softmax_backward_data(upstream, P, -1, P.dtype)

    @staticmethod
    def losses(Z: Tensor, Y: Tensor) -> Tensor:
        """Return the cross-entropy of each row, (..., n)."""
        return torch.logsumexp(Z, dim=-1) - (Z * Y).sum(-1)


def link_of(n_classes: int) -> type[Logistic] | type[Softmax]:
    """Return what the logits of so many classes mean."""
    return Logistic if n_classes == 2 else Softmax
