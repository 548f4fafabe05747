"""The commands about images run; their figures are not tested."""

import numpy as np
import pytest

from benchmarks import engines, extraction, from_images

pytestmark = pytest.mark.slow


def test_extraction_prints_a_row_for_each_way(capsys):
    extraction.main(["--n", "3", "--backbone", "mobilenet_v3_small", "--cpu-time"])
    shown = capsys.readouterr().out
    assert all(f"| {row} " in shown for row in extraction.ROWS)
    assert "3 images of generated JPEG, CPU time" in shown


def test_a_killed_extraction_computes_the_rest(capsys):
    extraction.main(["--n", "80", "--backbone", "mobilenet_v3_small", "--kill"])
    shown = capsys.readouterr().out
    assert "so 0 of those kept; asked once more, it computed 0" in shown


def test_engines_print_speed_and_error(capsys):
    command = ["--networks", "efficientnet_b0", "--batch-size", "2", "--rounds", "1"]
    engines.main([*command, "--engines", "torch float32", "+ channels last"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "b0 |" in line]
    assert [row[2].strip() for row in rows] == ["torch float32", "+ channels last"]
    assert float(rows[0][5]) == 0
    assert float(rows[1][5]) < 1e-4


def test_from_images_to_the_table(tmp_path, capsys, monkeypatch):
    for slow in ("HSFMClassifierCV", "HSFMClassifierCV, groups", "HSFM, as published"):
        monkeypatch.delitem(from_images.METHODS, slow)
    rng, arrays = np.random.RandomState(0), {}
    for split, n in (("train", 160), ("val", 80), ("test", 40)):
        arrays[f"X_{split}"] = rng.randint(256, size=(n, 16, 16, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(n) % 2
        arrays[f"group_{split}"] = np.arange(n) % 4
    np.savez(tmp_path / "images.npz", **arrays)
    command = ["--data", str(tmp_path / "images.npz"), "--folder", str(tmp_path / "kept")]
    command += ["--network", "mobilenet_v3_small", "--epochs", "1", "--seeds", "1"]
    from_images.main(command)
    shown = capsys.readouterr().out
    assert all(f"| {name} |" in shown for name in from_images.METHODS)
    assert "best epoch 1 of 1" in shown
