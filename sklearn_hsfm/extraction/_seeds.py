"""Torch's generators for a while: seeded on one device, and all of them left as they were."""

from contextlib import contextmanager

import torch


def seed(number, device="cpu"):
    """Seed the generators of the CPU and of one device, and no others."""
    device = torch.device(device)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


@contextmanager
def seeded(number, device="cpu"):
    """Seed these generators, and put back what they were.

    `torch.manual_seed` would seed every device, at once or as soon as it is first used.
    """
    device = torch.device(device)
    own = {"cuda": _cuda_index, "mps": lambda device: 0}.get(device.type)
    with torch.random.fork_rng(
        devices=[own(device)] if own else [], device_type=device.type if own else "cuda"
    ):
        seed(number, device)
        yield


def _cuda_index(device):
    return torch.cuda.current_device() if device.index is None else device.index
