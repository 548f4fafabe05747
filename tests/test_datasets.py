"""The embedded set, the generator, and feature files."""

import pickle
import random
import zipfile

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm.datasets import load_digit_dominoes, load_features, make_spurious_features
from sklearn_hsfm.metrics import group_scores
from tests.evil_pickle import Evil


@pytest.mark.parametrize("seed", range(5))
def test_erm_leaves_a_gap_on_digit_dominoes(seed):
    data = load_digit_dominoes(random_state=seed)
    erm = LogisticRegression(max_iter=1000).fit(data.X_train, data.y_train)
    scores = group_scores(data.y_test, erm.predict(data.X_test), data.groups_test)
    assert scores.accuracy.max() - scores.worst >= 0.2
    # The class is in the upper digits: a probe on balanced rows finds it.
    probe = LogisticRegression(max_iter=1000).fit(data.X_val, data.y_val)
    balanced = group_scores(data.y_test, probe.predict(data.X_test), data.groups_test)
    assert balanced.worst > 0.8


def test_digit_dominoes_share_no_digit_between_splits():
    data = load_digit_dominoes(random_state=1)
    halves = [
        {row.tobytes() for row in np.vstack([data[f"X_{s}"][:, :64], data[f"X_{s}"][:, 64:]])}
        for s in ("train", "val", "test")
    ]
    distinct = {row.tobytes() for row in load_digits(return_X_y=True)[0] / 16}
    assert set.union(*halves) <= distinct
    for i in range(3):
        for j in range(i):
            assert not halves[i] & halves[j]


def test_digit_dominoes_are_correlated_in_training_alone():
    data = load_digit_dominoes(random_state=0, correlation=0.9)
    for split, share in (("train", 0.9), ("val", 0.5), ("test", 0.5)):
        y, groups = data[f"y_{split}"], data[f"groups_{split}"]
        for c in (0, 1):
            agree = np.mean(groups[y == c] == f"y={c} lower={c}")
            assert agree == pytest.approx(share, abs=0.01)
    assert np.array_equal(
        data.X_train, load_digit_dominoes(random_state=0, correlation=0.9).X_train
    )
    with pytest.raises(ValueError, match="correlation=2"):
        load_digit_dominoes(correlation=2)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_spurious_features(n_classes):
    data = make_spurious_features(
        n_train=2000, n_classes=n_classes, correlation=0.9, random_state=0
    )
    agree = data.groups_train % n_classes == data.y_train
    assert agree.mean() == pytest.approx(0.9, abs=0.03)
    assert (data.groups_val % n_classes == data.y_val).mean() == pytest.approx(
        1 / n_classes, abs=0.1
    )
    erm = LogisticRegression(C=1e-3).fit(data.X_train, data.y_train)
    scores = group_scores(data.y_test, erm.predict(data.X_test), data.groups_test)
    assert scores.accuracy.max() - scores.worst > 0.2
    with pytest.raises(ValueError, match="two features or more"):
        make_spurious_features(n_features=3)


def arrays(rng, n=12):
    return {
        "X": rng.normal(size=(n, 4)).astype(np.float16),
        "y": np.arange(n) % 2,
        "group": np.arange(n) % 4,
        "split": np.repeat([0, 1, 2], n // 3),
    }


def test_both_layouts_hold_the_same(tmp_path):
    one = arrays(np.random.RandomState(0))
    head = {"head_weight": np.ones((2, 4)), "head_bias": np.zeros(2)}
    np.savez(tmp_path / "one.npz", **one, **head)
    parts = {
        f"{k}_{s}": one[k][one["split"] == i]
        for i, s in enumerate(("train", "val", "test"))
        for k in ("X", "y", "group")
    }
    np.savez(tmp_path / "parts.npz", **parts)
    first, second = load_features(tmp_path / "one.npz"), load_features(tmp_path / "parts.npz")
    for split in ("train", "val", "test"):
        for key in ("X", "y", "groups"):
            assert np.array_equal(first[f"{key}_{split}"], second[f"{key}_{split}"])
    assert first.X_train.dtype == np.float32
    assert first.head[0].shape == (2, 4)
    assert second.head is None


def test_absent_parts_are_none(tmp_path):
    one = arrays(np.random.RandomState(0))
    one["split"][one["split"] == 1] = 0
    del one["group"]
    np.savez(tmp_path / "f.npz", **one)
    data = load_features(tmp_path / "f.npz")
    assert data.X_val is data.y_val is data.groups_val is data.groups_test is None
    assert len(data.X_train) == 8


def test_bad_files(tmp_path):
    path = tmp_path / "f.npz"
    with pytest.raises(FileNotFoundError, match="No file of features at"):
        load_features(path)
    one = arrays(np.random.RandomState(0))
    for wrong, message in (
        ({"X": one["X"]}, r"holds \['X'\]; wanted"),
        ({**one, "split": one["split"] + 1}, r"split holds \[3\]"),
        ({**one, "split": one["split"].astype(str)}, r"split holds \['0', '1', '2'\]"),
        ({**one, "split": one["split"] - 0.5}, r"split holds \[-0.5, 0.5, 1.5\]"),
        ({**one, "split": one["split"][:, None]}, r"shape \(12, 1\)"),
        ({**one, "X": one["X"][:, 0]}, r"X of shape \(4,\) and dtype float16 to train"),
        ({**one, "X": one["X"].astype(str)}, "dtype <U32 to train"),
        ({**one, "y": one["X"]}, r"y of shape \(4, 4\) to train"),
        ({**one, "y": np.array(["a", None] * 6)}, "'y': it holds Python objects"),
        ({**one, "head_weight": np.ones((2, 3)), "head_bias": np.ones(2)}, "head_weight of shape"),
        ({**one, "head_weight": np.ones((2, 4)), "head_bias": np.ones(3)}, "head_bias of"),
        ({**one, "split": np.full(12, 2)}, "no training samples"),
        ({**one, "y": one["y"][:-1]}, "inconsistent numbers of samples"),
        ({"X_train": one["X"], "y_train": one["y"], "X_val": one["X"]}, "X_val but no y_val"),
        (
            {"X_train": one["X"], "y_train": one["y"], "X_val": one["X"][:, 1:], "y_val": one["y"]},
            r"several shapes: {'train': \(4,\), 'val': \(3,\)}",
        ),
    ):
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=message):
            load_features(path)


def header(shape, descr="<f8"):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_files_that_somebody_made(tmp_path):
    """Nothing is unpickled, and what a header claims is not believed."""
    evil = pickle.dumps(Evil(tmp_path / "ran"))
    for member, message in (
        (header((1,), "|O") + evil, "'X': it holds Python objects"),
        (header((10**12,)) + b"0" * 80, r"'X': it claims shape \(1000000000000,\) of float64"),
        (header((2, 2)) + b"0" * 8, "'X': EOF: reading array data, expected 32 bytes"),
        (header((-1,)) + b"0" * 8, "'X'"),
        (evil, "'X': the magic string is not correct"),
        (b"", "'X'"),
    ):
        with zipfile.ZipFile(tmp_path / "f.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("X.npy", member)
        with pytest.raises(ValueError, match=rf"f.npz is damaged, or .*{message}"):
            load_features(tmp_path / "f.npz")
    for content in (evil, b"", b"text"):
        (tmp_path / "f.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"f.npz is no .npz file, or a damaged one"):
            load_features(tmp_path / "f.npz")
    assert not (tmp_path / "ran").exists()


def test_flipped_bits_of_a_file_are_noticed(tmp_path):
    one = arrays(np.random.RandomState(0))
    np.savez(tmp_path / "f.npz", **one)
    whole, n_refused, draw = (tmp_path / "f.npz").read_bytes(), 0, random.Random(0)
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (tmp_path / "f.npz").write_bytes(flipped)
        try:
            data = load_features(tmp_path / "f.npz")
        except ValueError:
            n_refused += 1
        else:  # in a time, or a name of what is not read
            assert np.array_equal(data.X_train, one["X"][:4].astype(np.float32))
            assert np.array_equal(data.y_train, one["y"][:4])
    assert n_refused > 100


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("waterbirds_efflite2", [2255, 2255, 642, 642]),
        ("dominoes_erm_efflite0", [490, 490, 490, 490]),
    ],
)
def test_real_files(real_features, name, counts):
    data = real_features(name)
    assert np.bincount(data.groups_test).tolist() == counts
    assert data.X_test.dtype == np.float32
    assert (data.head is not None) == ("erm" in name)
