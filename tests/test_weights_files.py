"""Weights from files as others write them; and no code of theirs is run."""

import argparse
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_hsfm.extraction import FeatureExtractor
from tests.evil_pickle import Evil
from tests.small_network import Small, extractor


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "content",
    [
        lambda state: state,
        lambda state: {"state_dict": state},
        lambda state: {"model": state, "epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}},
        lambda state: {"args": argparse.Namespace(seed=0), "state_dict": state},
        lambda state: {"args": {"seed": 0}, "model_dict": state},
        lambda state: prefixed("module.", state),
        lambda state: prefixed("_orig_mod.", state),
        lambda state: {"state_dict": prefixed("model.", state) | {"loss.weight": torch.ones(2)}},
        lambda state: {"model": prefixed("network.0.", state) | prefixed("featurizer.", state)},
        lambda state: {n: v for n, v in state.items() if "num_batches" not in n},
    ],
)
def test_files_of_others_are_loaded(content, small, pixels, tmp_path):
    torch.save(content(small.state_dict()), tmp_path / "mine.pt")
    loaded = extractor(Small(), weights=tmp_path / "mine.pt").fit_transform(pixels)
    assert np.array_equal(loaded, extractor(small).fit_transform(pixels))


@pytest.mark.parametrize(
    "content",
    [
        lambda state: state,  # of another number of classes
        lambda state: {n: v for n, v in state.items() if not n.startswith("fc.")},
    ],
)
def test_only_the_head_may_differ(content, small, pixels, tmp_path):
    torch.save(content(small.state_dict()), tmp_path / "mine.pt")
    other = Small()
    other.fc = nn.Linear(8, 5)
    right = extractor(small).fit_transform(pixels)
    loaded = extractor(other, weights=tmp_path / "mine.pt")
    assert np.array_equal(loaded.fit_transform(pixels), right)
    with pytest.raises(ValueError, match=r"no 'fc' of this shape.*Pass layer='pool'"):
        loaded.set_params(layer="output").fit(pixels)
    other.fc = nn.Identity()  # a head that was taken off
    torch.save(small.state_dict(), tmp_path / "mine.pt")
    assert np.array_equal(
        loaded.set_params(layer="pool", backbone=other).fit_transform(pixels), right
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda state: Small(),
            r"holds Python objects \(tests.small_network.Small\).*pass the new",
        ),
        (lambda state: {"state_dict": state, "a": Evil(Path("ran"))}, "holds Python objects"),
        (lambda state: {"stem.weight": torch.zeros(1)}, "does not fit .*another architecture"),
        (
            lambda state: state | {"more.0.bias": torch.zeros(2)},
            "does not fit .*first .*more.0.bias",
        ),
        (lambda state: {"a": state, "b": {n: v + 1 for n, v in state.items()}}, "several networks"),
        (lambda state: [1, 2], "holds no tensors"),
        (lambda state: {"epoch": 3}, "holds no tensors"),
    ],
)
def test_files_that_do_not_fit_say_what_they_are(content, message, small, pixels, tmp_path):
    torch.save(content(small.state_dict()), tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=message) as raised:
        extractor(small, weights=tmp_path / "mine.pt").fit(pixels)
    assert "mine.pt" in str(raised.value)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (("5.",), "does not fit"),  # two linear layers are missing, which are no head
        (("1.", "5."), "no '3' of this shape, so that layer is random"),
        (("1.", "3."), "no '5' of this shape, so that layer is random"),
    ],
)
def test_one_layer_at_most_is_of_another_task(kept, message, pixels, tmp_path):
    layers = nn.Linear(360, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2)
    network = nn.Sequential(nn.Flatten(), *layers)
    state = {n: v for n, v in network.state_dict().items() if n.startswith(kept)}
    torch.save(state, tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=message):
        extractor(network, weights=tmp_path / "mine.pt", layer="output").fit(pixels)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("layout", ["pickle", "inside", "legacy"])
def test_no_code_of_a_file_is_run(layout, small, pixels, tmp_path):
    path, evil = tmp_path / "mine.pt", Evil(tmp_path / "ran")
    if layout == "pickle":
        path.write_bytes(pickle.dumps(evil, protocol=2))
    else:
        torch.save({"a": evil}, path, _use_new_zipfile_serialization=layout == "inside")
    with pytest.raises(ValueError, match=r"mine.pt (holds Python|is no file of torch's)"):
        extractor(small, weights=path).fit(pixels)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["empty", "text", "cut off"])
def test_damaged_files_are_named(damage, small, pixels, tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(small.state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "text": b"no weights", "cut off": whole[: len(whole) // 2]}[damage]
    )
    with pytest.raises(ValueError, match=r"mine.pt is no file of torch's, or a damaged one"):
        extractor(small, weights=path).fit(pixels)
    flipped = bytearray(whole)
    flipped[whole.find(small.stem.weight.detach().numpy().tobytes()[:16])] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"mine.pt is .* a damaged one .*is not what was written"):
        extractor(small, weights=path).fit(pixels)
    with pytest.raises(FileNotFoundError, match=r"absent.pt.*'DEFAULT'"):
        FeatureExtractor(small, weights=str(tmp_path / "absent.pt")).fit(pixels)
