"""Weights from files as torch, and those who train with it, write them."""

import argparse
import pickle
import re
import zipfile
from pathlib import Path

import torch
from torch import nn

_FOLDER = 0x10  # the mark of one in a zip file


def load_file(network, path):
    """Load the tensors of a file into a network.

    The file is a state dict or holds one, at any depth, under names with or without a prefix,
    as ``module.`` or ``state_dict.model.``. A linear layer with another number of outputs, or
    that the file lacks, is the head of another task and keeps what it has.

    Returns
    -------
    str or None
        The name of this layer.

    Raises
    ------
    ValueError
        If the file is none of torch's, holds more than tensors and numbers, or does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={str(path)!r} is no file. Pass the path of a state dict saved by torch, "
            "'DEFAULT' for the published weights, or None for random ones."
        )
    tensors = dict(_flat(_read(path)))
    own = network.state_dict()
    prefixes = _prefixes(own, tensors)
    fits = {prefix: _fit(network, own, _under(prefix, tensors)) for prefix in prefixes}
    good = [prefix for prefix, (wrong, _) in fits.items() if not wrong]
    if not good:
        raise ValueError(_misfit(path, own, tensors, fits))
    for other in good[1:]:
        if not _equal(_under(good[0], tensors), _under(other, tensors), own):
            raise ValueError(
                f"{path.name} holds several networks that fit, under {good[0]!r} and {other!r}. "
                "Save the one that is meant: torch.save(its state dict, path)."
            )
    state, head = _under(good[0], tensors), fits[good[0]][1]
    kept = [name for name in own if head is None or name.rpartition(".")[0] != head]
    network.load_state_dict({n: state[n] for n in kept if n in state}, strict=False)
    return head


def _read(path):
    """Return what a file holds, if that is tensors, numbers, text and containers of these."""
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file as load
        except ImportError as error:
            raise ImportError(f"{path.name} needs safetensors: pip install safetensors.") from error
        return load(path)
    try:
        _check_sums(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # the settings of a run
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the parser stumbles over in a file of any kind
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named and isinstance(error, pickle.UnpicklingError):
            raise ValueError(
                f"{path} holds Python objects ({named[1]}), as a whole model that was saved with "
                "torch.save(model, ...), and loading them would run code of the file's author. "
                "Where you trust it, save its tensors once: torch.save(torch.load(path, "
                "weights_only=False).state_dict(), new_path), or of its entry that holds them, and "
                "pass the new path as weights."
            ) from error
        reason = type(error).__name__
        if not isinstance(error, pickle.UnpicklingError) and str(error):  # else torch's own advice
            reason += f": {str(error).splitlines()[0]}"
        raise ValueError(f"{path} is no file of torch's, or a damaged one ({reason}).") from error


def _check_sums(path):
    """Refuse a file whose bits are not those that were written; torch does not look."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            folders = [entry for entry in archive.infolist() if entry.external_attr & _FOLDER]
        if damaged or folders:  # torch reads nothing of a folder, and returns what memory held
            raise ValueError(f"{damaged or folders[0].filename} is not what was written")


def _flat(content, prefix=""):
    """Yield the tensors of nested dicts under their dotted names."""
    if isinstance(content, torch.Tensor):
        yield prefix.removesuffix("."), content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _flat(value, f"{prefix}{name}.")


def _prefixes(own, tensors):
    """Return what may stand before the names of a network in a file, the shortest first."""
    found = {""}
    for name in own:
        ends = [key for key in tensors if key == name or key.endswith("." + name)]
        found |= {key[: len(key) - len(name)] for key in ends}
        if len(found) > 1 or name in tensors:
            break
    return sorted(found, key=len)


def _under(prefix, tensors):
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _fit(network, own, state):
    """Return the names that do not fit, and the layer that may be another's head."""
    # Files of before torch 0.4.1 lack the counters of batch normalisation, which predict nothing.
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    shape = [n for n in own if n in state and state[n].shape != own[n].shape]
    unknown = [n for n in state if n not in own]
    layers = {n.rpartition(".")[0] for n in missing + shape}
    head = layers.pop() if len(layers) == 1 else None
    if head is not None and isinstance(network.get_submodule(head), nn.Linear):
        wide = state.get(f"{head}.weight")
        if wide is None or wide.shape[1:] == own[f"{head}.weight"].shape[1:]:
            missing = shape = []
    else:
        head = None
    heads = {n.rpartition(".")[0] for n in unknown}
    if len(heads) == 1 and all(n.endswith((".weight", ".bias")) for n in unknown):
        weight = state.get(f"{next(iter(heads))}.weight")
        if weight is not None and weight.ndim == 2:  # of a head that was taken off
            unknown = []
    return missing + shape + unknown, head


def _equal(one, other, own):
    return all(torch.equal(one[n], other[n]) for n in own if n in one and n in other)


def _misfit(path, own, tensors, fits):
    if not tensors:
        return f"{path} holds no tensors; it must hold a state dict."
    prefix, (wrong, _) = min(fits.items(), key=lambda fit: len(fit[1][0]))
    under = f" under {prefix!r}" if prefix else ""
    return (
        f"{path.name} does not fit the backbone: {len(wrong)} of {len(own)} entries are missing, "
        f"unknown or of another shape{under}, first {wrong[:3]}. Was it saved from another "
        "architecture?"
    )
