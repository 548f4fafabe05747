"""The T inner steps on the logits of the support, and their derivative, through one matrix.

The logits of a linear head follow its inner steps (Eqs. 12-14) through K = -a H H^T alone: with
P_t for the probabilities and R_t = P_t - Y for the errors,

    Z_{t+1} = Z_t + K R_t.

Backwards, V is what the loss gains, through the last head, by one unit of any R_t, and S_t what it
gains by one unit of Z_t:

    S_t = S_{t+1} + (V + K S_{t+1}) dP_t / dZ_t,    S_T = 0.
"""

import warnings

import torch
from torch import Tensor

from sklearn_hsfm._core.link import Logistic, Softmax


class Recursion:
    """Both recursions, in calls of torch; what they return is overwritten by the next call.

    Parameters
    ----------
    H : tensor of shape (B, n, D)
        The support; sizes, dtype and device are taken from it.
    Y : tensor of shape (n, R)
        Targets of the support.
    T, link, live
        As in `GramMetagradient`.
    """

    def __init__(
        self,
        H: Tensor,
        Y: Tensor,
        *,
        T: int,
        link: type[Logistic] | type[Softmax],
        live: Tensor | None = None,
    ):
        self.Y, self.T, self.link, self.live = Y, T, link, live
        (B, n, _), R = H.shape, Y.shape[1]
        self.R = H.new_empty(T, B, n, R)
        self.S = H.new_zeros(T + 1, B, n, R)  # S_T = 0

    def errors(self, K: Tensor, Z: Tensor) -> Tensor:
        """Return R_0 ... R_{T-1}, (T, B, n, R), from logits Z, (B, n, R), which it may change."""
        R, self.P = self.R.unbind(0), []
        for t in range(self.T):
            self.P.append(self.link.probability(Z))
            error = torch.sub(self.P[t], self.Y, out=R[t])
            Z.baddbmm_(K, masked(error, self.live, t))
        return self.R

    def adjoints(self, K: Tensor, V: Tensor) -> Tensor:
        """Return S_0 ... S_T, (T + 1, B, n, R), after a call of `errors`; V is (B, n, R)."""
        S = self.S.unbind(0)
        for t in reversed(range(self.T)):
            upstream = torch.baddbmm(V, K, S[t + 1])  # dL / dR_t
            pulled = masked(self.link.pullback(upstream, self.P[t]), self.live, t)
            torch.add(S[t + 1], pulled, out=S[t])
        return self.S


def masked(error: Tensor, live: Tensor | None, t: int) -> Tensor:
    """Return the error, or its derivative, of the problems that take step t."""
    return error if live is None else error.mul_(live[t])


def choose_recursion(H: Tensor, Y: Tensor, **settings) -> Recursion:
    """Return the recursions as one kernel each where a GPU can run them, else in calls of torch."""
    if H.is_cuda and torch.version.cuda:
        try:
            from sklearn_hsfm._core import recursion_triton as kernels

            if kernels.can_run(H, Y):
                return kernels.KernelRecursion(H, Y, **settings)
        except ModuleNotFoundError:  # triton is optional
            pass
        except Exception as error:  # compilers and drivers raise what they like
            warnings.warn(
                f"The inner steps could not be compiled ({type(error).__name__}: "
                f"{(str(error).splitlines() or [''])[0]}): the fit goes on with torch's own "
                "kernels.",
                stacklevel=2,
            )
    return Recursion(H, Y, **settings)
