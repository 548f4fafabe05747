"""The benchmark of regions, masks and repairs runs on images of its form."""

import numpy as np
import pytest
import torch

from benchmarks import where
from benchmarks.experiments.backdoor import spectral_outliers
from tests.small_network import to_float


def a_network():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
    return torch.nn.Sequential(*layers, torch.nn.Flatten()), to_float


@pytest.mark.slow
def test_the_tables_are_written(tmp_path, monkeypatch, capsys):
    rng = np.random.RandomState(0)
    data = {}
    for split, agrees in (("train", 0.9), ("val", 0.5), ("test", 0.5)):
        y = np.arange(160) % 2
        lower = np.where(rng.uniform(size=160) < agrees, y, 1 - y)
        images = rng.randint(120, size=(160, 64, 32, 3), dtype=np.uint8)
        images[:, :32, :, 0] += (30 * y).astype(np.uint8)[:, None, None]
        images[:, 32:, :, 2] += (120 * lower).astype(np.uint8)[:, None, None]
        data |= {f"X_{split}": images, f"y_{split}": y, f"group_{split}": 2 * y + lower}
    np.savez(tmp_path / "dominoes_images.npz", **data)
    monkeypatch.setattr(where, "RESULTS", tmp_path / "results")
    for name in ("N_SEARCHED", "N_MASKED", "N_EXTRA"):
        monkeypatch.setattr(where, name, 120)
    network = "tests.test_where_benchmark:a_network"
    where.main(["--data-dir", str(tmp_path), "--network", network, "--seeds", "1"])
    text = (tmp_path / "results" / "where.md").read_text()
    assert text == capsys.readouterr().out
    assert "| shuffled | 0 | None | 0 | - |" in text
    assert "| none (ERM) | - | 0 |" in text


def test_outliers_lie_along_the_first_direction():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(200, 5)), np.arange(200) % 2
    X[:10, 2:4] += 30
    found = spectral_outliers(X, y)
    assert found.sum() == 10
    assert found[:10].all()
