"""extract_shards: one memory map, shard by shard; and classifiers that do not load it."""

import pickle
import time
import tracemalloc
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.exceptions import NotFittedError
from torch import nn

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm.extraction import FeatureExtractor, _shards, extract_shards
from tests.evil_pickle import Evil

N = 7


class Network(nn.Module):
    """A quick network that counts; asked to, it takes its time, and lets other threads run."""

    def __init__(self):
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 2)
        self.seen, self.pause = 0, 0

    def forward(self, x):
        self.seen += len(x)
        out = self.fc(self.stem(x).mean((2, 3)))
        time.sleep(self.pause)
        return out


def to_float(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def save(path, seed):
    pixels = np.random.RandomState(seed).randint(256, size=(12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "images" / f"{i}.png" for i in range(N)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        save(path, i)
    return paths


@pytest.fixture
def extractor(files):
    torch.manual_seed(0)
    fitted = FeatureExtractor(
        Network(), preprocess=to_float, precision="float32", batch_size=2, n_jobs=1
    ).fit(files[:1])
    network_of(fitted).seen = 0
    return fitted


def network_of(extractor):
    return extractor._backbone.network


def test_one_read_only_map_with_the_bits_of_transform(extractor, files, tmp_path, capsys):
    features = extract_shards(extractor, files, tmp_path / "out", shard_size=3, verbose=1)
    assert type(features) is np.memmap
    assert not features.flags.writeable
    assert capsys.readouterr().out.splitlines()[-1] == "[extract_shards] 2/2 shards"  # 4 + 3
    assert np.array_equal(features, extractor.transform(files))
    (left,) = (tmp_path / "out").iterdir()
    assert left == Path(features.filename)
    network_of(extractor).seen = 0
    assert np.array_equal(extract_shards(extractor, files, tmp_path / "out"), features)
    assert network_of(extractor).seen == 0


def test_a_run_goes_on_where_it_stopped(extractor, files, tmp_path):
    files[5].write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"5\.png \(sample 5 of 7\) cannot be read as an image"):
        extract_shards(extractor, files, tmp_path / "out", shard_size=2)
    assert len(list((tmp_path / "out").iterdir())) == 2
    save(files[5], 5)
    network_of(extractor).seen = 0
    features = extract_shards(extractor, files, tmp_path / "out", shard_size=2)
    assert network_of(extractor).seen == 3  # rows 4 to 6
    assert np.array_equal(features, extractor.transform(files))


def test_an_image_that_changes_costs_its_shard(extractor, files, tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_shards, "_put_together", killed)
        with pytest.raises(KeyboardInterrupt):
            extract_shards(extractor, files, tmp_path / "out", shard_size=2)
    save(files[2], 100)
    network_of(extractor).seen = 0
    features = extract_shards(extractor, files, tmp_path / "out", shard_size=2)
    assert network_of(extractor).seen == 2
    assert np.array_equal(features, extractor.transform(files))
    # The same files through another layer are other features.
    other = FeatureExtractor(**{**extractor.get_params(), "layer": "output"}).fit(files[:1])
    logits = extract_shards(other, files, tmp_path / "out", shard_size=2)
    assert np.array_equal(logits, other.transform(files))


@pytest.mark.parametrize("n_writes", [1, 4])
def test_what_was_not_written_whole_is_not_there(extractor, files, tmp_path, monkeypatch, n_writes):
    """The disk is full in the first shard, or in the first part of the result."""
    own, count = _shards.np.save, [0]

    def full(file, array):
        count[0] += 1
        own(file, array)
        if count[0] == n_writes:
            raise OSError("no space left")

    monkeypatch.setattr(_shards.np, "save", full)
    with pytest.raises(OSError, match="no space left"):
        extract_shards(extractor, files, tmp_path / "out", shard_size=2)
    assert len(list((tmp_path / "out").iterdir())) == n_writes - 1


def test_files_that_are_named_twice(extractor, files, tmp_path):
    twice = [*files[:2], *files[:2], *files]
    features = extract_shards(extractor, twice, tmp_path / "out", shard_size=2)
    assert network_of(extractor).seen == N
    assert np.array_equal(features, extractor.transform(twice))


@pytest.mark.parametrize("which", ["features", "shard"])
@pytest.mark.parametrize("damage", ["cut off", "empty", "pickle", "other"])
def test_a_file_that_is_not_what_was_written_is_made_anew(
    extractor, files, tmp_path, monkeypatch, which, damage
):
    def killed(*args):
        raise KeyboardInterrupt

    if which == "shard":
        with monkeypatch.context() as patch:
            patch.setattr(_shards, "_put_together", killed)
            with pytest.raises(KeyboardInterrupt):
                extract_shards(extractor, files, tmp_path / "out", shard_size=4)
    else:
        extract_shards(extractor, files, tmp_path / "out", shard_size=4)
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        if damage == "other":
            np.save(path, np.ones((3, 8)))
        else:
            evil = pickle.dumps(Evil(tmp_path / "ran"))
            path.write_bytes({"cut off": content[:-9], "empty": b"", "pickle": evil}[damage])
    features = extract_shards(extractor, files, tmp_path / "out", shard_size=4)
    assert np.array_equal(features, extractor.transform(files))
    assert not (tmp_path / "ran").exists()


def test_threads_do_not_mix_up_their_images(extractor, files, tmp_path):
    network_of(extractor).pause = 0.02
    with joblib.parallel_config("threading", n_jobs=4):
        features = extract_shards(extractor, files, tmp_path / "out", shard_size=2)
    assert np.array_equal(features, extractor.transform(files))


def test_a_process_loads_an_extractor_once(extractor, files):
    sent = _shards._Sent(extractor)
    task, next_task = (pickle.loads(pickle.dumps(sent)) for _ in range(2))
    assert task is next_task
    assert np.array_equal(task.extractor.transform(files), extractor.transform(files))


def test_bad_input_is_refused_before_any_work(extractor, files, tmp_path):
    unfitted = FeatureExtractor("resnet18", weights=None)
    arrays = np.zeros((2, 12, 10, 3), dtype=np.uint8)
    for args, options, error, message in (
        ((unfitted, files), {}, NotFittedError, r"call extractor.fit\(X\[:1\]\), one image"),
        ((HSFMClassifier(), files), {}, TypeError, "is a HSFMClassifier; it must be a fitted Feat"),
        ((extractor, arrays), {}, TypeError, "pass a folder or a sequence of paths, or save"),
        ((extractor, [*files, "absent.png"]), {}, ValueError, "1 of 8 image files are not there"),
        ((extractor, files), {"shard_size": 0}, ValueError, "shard_size=0; it is a number of sa"),
        ((extractor, files), {"shard_size": 2.5}, ValueError, "shard_size=2.5; it is a number"),
    ):
        with pytest.raises(error, match=message):
            extract_shards(*args, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    assert network_of(extractor).seen == 0


def test_processes_that_do_not_share_the_folder(extractor, files, tmp_path, monkeypatch):
    monkeypatch.setattr(_shards, "_write", lambda *args: None)
    with pytest.raises(FileNotFoundError, match=r"4 of 4 shards .* must share the folder"):
        extract_shards(extractor, files, tmp_path / "out", shard_size=2)


# What the classifiers make of such a file.


@pytest.fixture
def rows(tmp_path):
    """Return a memory map of training rows, and their labels."""
    rng = np.random.RandomState(0)
    y = rng.randint(2, size=20_000)
    np.save(tmp_path / "X.npy", rng.normal(size=(len(y), 64)).astype(np.float32) + y[:, None])
    return np.load(tmp_path / "X.npy", mmap_mode="r"), y


ONE_SETTING = {"C": [None], "inner_lr": [3e-4], "outer_lr": [0.1]}


@pytest.mark.parametrize(
    ("clf", "n_val"),  # the second keeps scores of each candidate for each validation row
    [
        (HSFMClassifier(), 19_999),
        (HSFMClassifierCV(ONE_SETTING, n_repeats=1, scoring="worst_class"), 1000),
    ],
)
def test_rows_are_read_but_not_loaded(clf, n_val, rows, monkeypatch):
    X, y = rows
    X_val, y_val = X[:n_val], y[:n_val]
    head = np.full((1, 64), 0.01), np.zeros(1)
    clf.set_params(init_head=head, epochs=2, random_state=0)
    clf.fit(X, y, X_val, y_val)
    expected = clf.coef_
    for limit in ("_linear_head._AT_ONCE_BYTES", "_core.rows._RESIDENT_BYTES"):
        monkeypatch.setattr(f"sklearn_hsfm.{limit}", 1)
    for limit in ("_linear_head._CHUNK_BYTES", "_core.rows._CHUNK_BYTES"):
        monkeypatch.setattr(f"sklearn_hsfm.{limit}", 2**18)
    tracemalloc.start()
    clf.fit(X, y, X_val, y_val)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 3
    np.testing.assert_allclose(clf.coef_, expected, rtol=0, atol=1e-6)


def test_few_rows_are_standardised_in_one_go(data):
    from sklearn.preprocessing import StandardScaler

    from sklearn_hsfm._linear_head import fitted_scaler

    scaler, whole = fitted_scaler(data.X_train), StandardScaler().fit(data.X_train)
    assert np.array_equal(scaler.mean_, whole.mean_)
    assert np.array_equal(scaler.scale_, whole.scale_)


@pytest.mark.parametrize("model", [HSFMClassifier(), HSFMClassifierCV(n_repeats=1)])
def test_maps_and_arrays_give_the_same_bits(model, data, tmp_path):
    maps = {}
    for name in ("X_train", "X_val"):
        np.save(tmp_path / f"{name}.npy", data[name].astype(np.float32))
        maps[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    model.set_params(epochs=2, random_state=0)
    mapped = model.fit(maps["X_train"], data.y_train, maps["X_val"], data.y_val).coef_
    loaded = {name: np.array(rows) for name, rows in maps.items()}
    model.fit(loaded["X_train"], data.y_train, loaded["X_val"], data.y_val)
    assert np.array_equal(mapped, model.coef_)
