"""Where tensors live: the one place that turns a ``device`` argument into a device."""

import torch


def resolve_device(device):
    """Return the ``torch.device`` that ``device`` names, checked to be usable.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first CUDA device when there is one, else the CPU.

    Raises
    ------
    ValueError
        If the device is unknown to torch, or not on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()  # which "meta" cannot give
    # torch says "no such device" with a RuntimeError, an AssertionError (a build
    # without CUDA) or an AcceleratorError (a RuntimeError), depending on the build.
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        seen = torch.cuda.device_count()
        shown = repr(str(device) if isinstance(device, torch.device) else device)
        raise ValueError(
            f"device={shown} cannot be used here: {str(error).splitlines()[0]} "
            f"(torch {torch.__version__} sees {seen} CUDA device(s)). "
            "Use device='auto' to take a GPU only where there is one, or device='cpu'."
        ) from error
    return resolved
