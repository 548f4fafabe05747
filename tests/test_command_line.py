"""The commands fit, audit and predict: what they print, write and refuse."""

import csv
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, ValidationSet, __version__
from sklearn_hsfm.__main__ import main
from sklearn_hsfm._cli._errors import one_line_errors
from sklearn_hsfm._cli._head_file import load_head, save_head
from sklearn_hsfm.datasets import load_digit_dominoes
from tests.digit_images import SPLITS, write_class_folders, write_waterbirds
from tests.evil_pickle import Evil
from tests.test_fuzz_files import outcome

PAGE = Path(__file__).parents[1] / "docs" / "command_line.md"
COMMANDS = re.findall(r"^\$ python -m sklearn_hsfm (.*)$", PAGE.read_text(), re.M)


@pytest.fixture(scope="module")
def digits():
    return load_digit_dominoes(random_state=0)


@pytest.fixture
def npz(digits, tmp_path, monkeypatch):
    """Return a file of digit dominoes, in the current folder."""
    monkeypatch.chdir(tmp_path)
    arrays = {f"{k}_{s}": digits[f"{k}_{s}"] for k in ("X", "y") for s in SPLITS}
    np.savez("digits.npz", **arrays, **{f"group_{s}": digits[f"groups_{s}"] for s in SPLITS})
    return "digits.npz"


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys, *argv):
    """Return the one line that a command ends with."""
    with pytest.raises(SystemExit) as stopped:
        main(list(argv))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    return errors[0]


def test_fit_then_predict(npz, digits, capsys):
    main(["fit", "--data", npz, "--out", "head.npz"])
    shown = capsys.readouterr().out
    known = {"groups": digits.groups_train}
    held = ValidationSet(digits.X_val, digits.y_val, digits.groups_val)
    clf = HSFMClassifierCV(random_state=0).fit(digits.X_train, digits.y_train, held, **known)
    assert clf.summary() in shown
    assert "Samples: 719 train, 239 val, 479 test; 128 features." in shown
    average, worst = (
        re.search(rf"^{w} +\d* +(0\.\d+)", shown, re.M)[1] for w in ("average", "worst group")
    )
    predicted = clf.predict(digits.X_test)
    assert average == f"{(predicted == digits.y_test).mean():.3f}"
    right = predicted == digits.y_test
    each = [right[digits.groups_test == g].mean() for g in np.unique(digits.groups_test)]
    assert worst == f"{min(each):.3f}"

    main(["predict", "--head", "head.npz", "--data", npz, "--out", "classes.csv"])
    rows = read_csv("classes.csv")
    assert len(rows) == 719 + 239 + 479
    assert rows[719 + 239]["sample"] == "X_test[0]"
    assert [int(row["class"]) for row in rows[719 + 239 :]] == predicted.tolist()
    proba = clf.predict_proba(digits.X_test).max(axis=1)
    got = [float(row["probability"]) for row in rows[719 + 239 :]]
    np.testing.assert_allclose(got, proba, rtol=1e-3)
    np.savez("new.npz", X=digits.X_test[:2])
    capsys.readouterr()
    main(["predict", "--head", "head.npz", "--data", "new.npz"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sample,class,probability"
    assert [line.partition(",")[0] for line in lines[1:]] == ["X[0]", "X[1]"]


def test_fit_uses_what_the_data_has(npz, digits, capsys):
    main(["fit", "--data", npz, "--no-groups"])
    shown = capsys.readouterr().out
    assert "Labels used: y, validation labels.\n" in shown
    assert "worst group" in shown  # which groups score all the same
    np.savez("train.npz", X_train=digits.X_train, y_train=digits.y_train.astype(str))
    main(["fit", "--data", "train.npz"])
    shown = capsys.readouterr().out
    assert "Labels used: y.\n" in shown
    assert "Classes: 2 ('0', '1'). Groups: none." in shown
    assert "test" not in shown


def test_audit(npz, capsys):
    main(["audit", "--data", npz, "--out", "cells.csv"])
    shown = capsys.readouterr().out
    assert "\nshortcut found. " in shown
    assert "Repair: works. HSFMClassifierCV reads" in shown
    assert re.search(r"^group +samples +ERM ", shown, re.M)  # which the file has
    rows = read_csv("cells.csv")
    assert len(rows) == 719
    scores = {
        hurt: [float(r["hurt_score"]) for r in rows if (r["hurt"], r["class"]) == (hurt, "0")]
        for hurt in ("True", "False")
    }
    assert min(scores["True"]) > max(scores["False"])
    assert {r["cell"].split(", ")[1] for r in rows} == {"helped", "hurt"}
    main(["audit", "--data", npz, "--out", "audit.html"])
    assert "Shortcut found" in Path("audit.html").read_text()


def test_audit_of_data_without_a_shortcut(tmp_path, capsys):
    rng = np.random.RandomState(0)
    y = np.arange(400) % 2
    X = rng.normal(size=(400, 8)) + 2 * y[:, None]
    np.savez(tmp_path / "plain.npz", X_train=X, y_train=y)
    main(["audit", "--data", str(tmp_path / "plain.npz"), "--out", str(tmp_path / "cells.csv")])
    assert "\nno shortcut found. " in capsys.readouterr().out
    assert {row["hurt"] for row in read_csv(tmp_path / "cells.csv")} == {"False"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fit"], r"one of the arguments --images --table --data is required\. Try python -m"),
        (["fit", "--images", "a", "--data", "b"], "not allowed with argument"),
        (["fit", "--data", "nothing.npz"], "No file of features at .*nothing.npz"),
        (["fit", "--data", "evil.npz"], "evil.npz is no .npz file"),
        (["fit", "--data", "objects.npz"], "it holds Python objects"),
        (["fit", "--images", "nowhere"], "No folder of images at .*nowhere"),
        (["fit", "--images", "."], "has no class folders"),
        (["fit", "--images", ".", "--attribute", "a", "--attribute", "b"], "once with --images"),
        (["audit", "--table", "nothing.csv"], "No table at"),
        (["audit", "--table", "t.csv"], "no column 'y' or 'label'; .*--label-column NAME"),
        (["audit", "--table", "t.csv", "--label-column", "b"], "no column 'b'.*--label-column"),
        (["audit", "--table", "t.csv", "--label-column", "bird"], "no such file .*--image-folder"),
        (["fit", "--data", "digits.npz", "--out", "no/head.npz"], "there is no such folder"),
        (["fit", "--data", "digits.npz", "--device", "none"], "--device"),
        (
            ["predict", "--data", "digits.npz", "--head", "nothing.npz"],
            "No head at .*fit writes one",
        ),
        (["predict", "--data", "digits.npz", "--head", "digits.npz"], "is no head: it holds"),
        (["predict", "--data", "digits.npz", "--head", "evil.npz"], "evil.npz is no .npz file"),
        (["predict", "--data", "digits.npz"], "required: --head"),
        (["--data", "nothing.npz"], "No file of features at"),
        (["--data", "evil.npz"], "evil.npz is no .npz file"),
    ],
)
def test_errors_are_one_line(argv, message, npz, capsys):
    Path("evil.npz").write_bytes(pickle.dumps(Evil(Path("ran"))))
    np.savez("objects.npz", X_train=np.array([Evil(Path("ran"))]), y_train=[0])
    Path("t.csv").write_text("filename,bird\n1.png,wren\n")
    assert re.search(message, refused(capsys, *argv))
    assert not Path("ran").exists()


def test_a_head_is_believed_in_nothing(npz, capsys):
    main(["fit", "--data", npz, "--no-groups", "--out", "head.npz"])
    arrays = dict(np.load("head.npz", allow_pickle=False))
    assert str(arrays["version"]) == __version__
    for changes, data, message in [
        ({"coef": arrays["coef"][:, 1:]}, npz, r"of shape \(128,\), and the head is for \(127,\)"),
        ({"coef": arrays["coef"] * np.nan}, npz, "no finite numbers"),
        ({"intercept": np.zeros(3)}, npz, r"intercept of shape \(3,\); for 2 classes"),
        ({"classes": np.zeros((2, 2))}, npz, "has classes of shape"),
        ({"format": "another"}, npz, "is no head"),
        ({"backbone": "resnet18"}, npz, "features that 'resnet18' makes of images"),
        ({}, "pixels.npz", "was fitted on features of a file, not on images"),
        ({"backbone": "timm:hf-hub:some/one"}, "pixels.npz", "Say that you trust it: --backbone"),
        ({"backbone": "resnet18", "weights": "file"}, "pixels.npz", "Name it: --weights FILE"),
        ({"backbone": "resnet18", "weights": "none"}, "pixels.npz", "not the network that the"),
    ]:
        np.savez("pixels.npz", X=np.zeros((1, 64, 64, 3), dtype=np.uint8))
        np.savez("changed.npz", **{**arrays, **changes})
        line = refused(capsys, "predict", "--head", "changed.npz", "--data", data)
        assert re.search(message, line)


@given(st.binary(max_size=200) | st.integers(0, 5000), st.integers(1, 255))
def test_heads_with_a_bit_turned(drawn, mask):
    fitted = HSFMClassifier()
    fitted.coef_, fitted.intercept_ = np.arange(3.0)[None], np.ones(1)
    fitted.classes_ = np.array(["even", "odd"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.npz"
        save_head(path, fitted, {})
        content = bytearray(path.read_bytes())
        if isinstance(drawn, bytes):
            content = drawn
        else:
            content[drawn % len(content)] ^= mask
        path.write_bytes(content)
        head = outcome(lambda: load_head(path), "head.npz")
    if head is not None:
        np.testing.assert_array_equal(head.coef_, fitted.coef_)
        assert head.classes_.tolist() == ["even", "odd"]


def test_the_traceback_is_shown_where_it_is_asked_for():
    with pytest.raises(FileNotFoundError, match="No file of features"):
        main(["fit", "--data", "nothing.npz", "--traceback"])


def test_an_interrupted_command_says_so(capsys):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert "Interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--version"], ["audit", "--version"]])
def test_the_version(argv, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(argv)
    assert capsys.readouterr().out == f"sklearn_hsfm {__version__}\n"


def test_from_the_shell():
    command = [sys.executable, "-m", "sklearn_hsfm", "fit", "--images", "nowhere"]
    options = {"capture_output": True, "text": True, "check": False, "cwd": PAGE.parents[1]}
    failed = subprocess.run(command, **options)
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert re.fullmatch(r"error: No folder of images at \S*nowhere\.\n", failed.stderr)


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path, monkeypatch, capsys, digits):
    models = pytest.importorskip("torchvision.models")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), "resnet18.pth")
    write_class_folders(tmp_path / "birds", n=60)
    write_waterbirds(tmp_path / "waterbirds", n=60)
    (tmp_path / "photos").mkdir()
    for path in sorted((tmp_path / "birds" / "test").rglob("*.png"))[:3]:
        path.rename(tmp_path / "photos" / path.name)
    arrays = {f"{k}_{s}": digits[f"{k}_{s}"] for k in ("X", "y") for s in SPLITS}
    np.savez("features.npz", **arrays)
    assert len(COMMANDS) == 8
    shown = []
    for command in COMMANDS:
        main(command.split())
        shown.append(capsys.readouterr().out)
        if "photos" in command:
            photos = read_csv("classes.csv")
    audit, fit, _, of_table, without_groups, of_features, *_ = shown
    assert "Samples: 60 train; 512 features." in audit
    assert "Classes: 2 ('even', 'odd'). Groups: none." in fit
    assert "worst class" in fit
    assert "validation groups, training groups" in of_table
    assert "validation groups" not in without_groups
    assert "group y=0 place=1" in without_groups
    assert "\nshortcut found. " in of_features
    assert [row["sample"] for row in photos] == [f"photos/{Path(r['sample']).name}" for r in photos]
    assert {row["class"] for row in photos} <= {"even", "odd"}
    # Other weights, and so other features, are refused.
    torch.manual_seed(1)
    torch.save(models.resnet18().state_dict(), "other.pth")
    head = ["predict", "--head", "head.npz", "--images", "photos"]
    assert "is not the network" in refused(capsys, *head, "--weights", "other.pth")
    assert "Name it: --weights FILE" in refused(capsys, *head)
    # So is another preprocessing, as of another version.
    arrays = dict(np.load("head.npz", allow_pickle=False))
    np.savez("then.npz", **{**arrays, "preprocess": "Resize(7)"})
    head[2] = "then.npz"
    line = refused(capsys, *head, "--weights", "resnet18.pth")
    assert "went through Resize(7) when the head was fitted" in line
