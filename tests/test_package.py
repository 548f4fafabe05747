"""What importing brings, what the settings say, and what the main command prints."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_hsfm import HSFMClassifier, __version__, paper_settings
from sklearn_hsfm.__main__ import main


def test_importing_is_light():
    code = (
        "import sys, sklearn_hsfm, sklearn_hsfm.metrics, sklearn_hsfm.datasets; "
        "import sklearn_hsfm.extraction; "
        "lazy = 'torchvision', 'skorch', 'matplotlib', 'onnx', 'onnxruntime', 'openvino'; "
        "lazy = *lazy, 'triton'; "
        "print([m for m in lazy if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_version_that_is_cited_is_this():
    cited = Path(__file__).parents[1] / "CITATION.cff"
    assert re.search(r"^version: (.*)$", cited.read_text(), re.M)[1] == __version__


@pytest.mark.parametrize("backbone", ["resnet50", "vit_b_16", "convnext"])
@pytest.mark.parametrize("dataset", ["waterbirds", "celeba"])
def test_paper_settings_are_arguments(dataset, backbone):
    settings = paper_settings(dataset, backbone)
    clf = HSFMClassifier(**settings, standardize=False)
    assert settings.items() <= clf.get_params().items()


def test_paper_settings_hold_the_tables():
    assert paper_settings("celeba")["outer_lr"] == 0.1  # Table 11, not the script's 1.0
    assert paper_settings("metashift", "vit_b_16")["Khard"] == 8
    assert paper_settings("celeba", "convnext")["support_per_class"] == 32
    with pytest.raises(ValueError, match=r"with convnext the paper has \['celeba', 'waterbirds'\]"):
        paper_settings("dominoes", "convnext")
    with pytest.raises(ValueError, match="backbone='clip'"):
        paper_settings("waterbirds", "clip")


def test_the_main_command_prints_the_table(capsys):
    main(["--seeds", "1", "--methods", "ERM", "HSFMClassifier"])
    shown = capsys.readouterr().out
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert [r.split("|")[1].strip() for r in rows] == ["method", "-" * 14, "ERM", "HSFMClassifier"]
    worst = [float(r.split("|")[4].split("±")[0]) for r in rows[2:]]
    assert worst[1] > worst[0] + 0.3


def test_the_main_command_reads_features(tmp_path, capsys):
    rng = np.random.RandomState(0)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 5)) + y[:, None]
    np.savez(tmp_path / "mine.npz", X=X, y=y, split=np.where(np.arange(90) < 60, 0, 2))
    main(["--data", str(tmp_path / "mine.npz"), "--seeds", "1"])
    shown = capsys.readouterr().out
    assert "worst class" in shown  # the file names no groups
    assert re.search(r"\| HSFM, as published +\|", shown)


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--seeds", "0"], "--seeds must be 1 or more"), (["--methods", "DFR"], "invalid choice")],
)
def test_the_main_command_refuses(args, message, capsys):
    with pytest.raises(SystemExit):
        main(args)
    assert message in capsys.readouterr().err
