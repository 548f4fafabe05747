"""The commands of benchmarks/ run, resume, and say what is absent; their figures are not tested."""

import json

import numpy as np
import pytest

from benchmarks import edits, judges, robustness, speed
from sklearn_hsfm.datasets import make_spurious_features


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Put a small set in the place of Adult, and results beside it."""
    data = make_spurious_features(n_train=300, n_val=400, n_test=200, random_state=0)
    whole = {
        name: np.concatenate([getattr(data, f"{key}_{part}") for part in ("train", "val", "test")])
        for name, key in (("X", "X"), ("y", "y"), ("group", "groups"))
    }
    np.savez(tmp_path / "adult_sex.npz", **whole, split=np.repeat([0, 1, 2], [300, 400, 200]))
    for module in (judges, robustness, speed):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return tmp_path


def test_robustness_runs_and_resumes(folder, capsys):
    command = ["--data-dir", str(folder), "--seeds", "2", "--sets", "adult", "cub50"]
    command += ["--methods", "ERM", "DFR", "JTT, no groups"]
    robustness.main(command)
    lines = (folder / "results" / "robustness.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert all(0 <= json.loads(line)["worst"] <= json.loads(line)["average"] for line in lines)
    table = (folder / "results" / "robustness.md").read_text()
    assert "| DFR | validation labels; validation groups to fit and select | 0." in table
    assert table.count("| ERM | nothing |") == 3
    robustness.main(command)
    assert (folder / "results" / "robustness.jsonl").read_text().splitlines() == lines
    assert "no file cub50_efflite2.npz" in capsys.readouterr().out


def test_skewed_rows_have_the_shares_of_training():
    train, val = np.repeat([0, 1, 2], [900, 90, 10]), np.repeat([0, 1, 2], [100, 100, 100])
    kept = robustness.skewed_rows(train, val, np.random.RandomState(0))
    assert np.bincount(val[kept]).tolist() == [100, 10, 2]


def test_judges_run(folder, capsys):
    judges.main(["--data-dir", str(folder), "--seeds", "1", "--sets", "adult"])
    shown = capsys.readouterr().out
    assert shown.count("| slices (the default) |") == 3
    assert shown.count("| DFR |") == 3


def test_speed_runs(folder, capsys, monkeypatch):
    monkeypatch.setattr(speed, "SIZES", {"metashift": (150, 60, 2, 1), "cub": (60, 40, 5, 1)})
    monkeypatch.setattr(speed, "N_FEATURES", 20)
    monkeypatch.setattr(speed, "GROWTH", {"n": (16, 32), "rows": (40, 80)})
    speed.main(["--parts", "fits", "growth", "--sets", "metashift", "cub", "--repeats", "1"])
    shown = capsys.readouterr().out
    assert shown.count("| metashift | 1 | ") == 1
    results = json.loads((folder / "results" / "speed.json").read_text())
    assert [r["n"] for r in results["growth"] if r["varied"] == "n"] == [16, 32]
    assert all(r["seconds"]["HSFM"][0] > 0 for r in results["fits"])


def test_edits_are_described(folder, capsys):
    np.savez(folder / "no_groups.npz", X=np.eye(3), y=[0, 1, 0], split=[0, 1, 2])
    edits.main(["--data-dir", str(folder), "--seeds", "1"])
    dominoes, row = capsys.readouterr().out.splitlines()[2:]
    assert dominoes.startswith("| digit dominoes | 0.")
    assert row.startswith("| adult_sex | 0.")
    assert "| 0 ± 0.18 |" in row  # 32 features
