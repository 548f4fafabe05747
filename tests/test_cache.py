"""The cache of features: computed once, by any process, and never another image's."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose, Lambda

from sklearn_hsfm.extraction import FeatureCache, extract_shards
from sklearn_hsfm.extraction._cache import Writing
from sklearn_hsfm.extraction._images import Images
from tests.small_network import extractor, to_float


def test_the_cache_computes_an_image_once(small, files, pixels, tmp_path):
    fitted = extractor(small, cache_dir=tmp_path).fit(files)
    network = fitted._backbone.network
    network.seen = 0
    first = fitted.transform([*files, *files[:3]])
    assert network.seen == 7
    assert np.array_equal(first[:3], first[7:])
    assert np.array_equal(fitted.transform(files[::-1]), first[:7][::-1])
    assert network.seen == 7
    again = extractor(small, cache_dir=tmp_path, batch_size=1).fit(files[:1])
    again._backbone.network.seen = 0
    assert np.array_equal(again.transform(files), first[:7])
    assert again._backbone.network.seen == 0
    Image.fromarray(pixels[6]).save(files[0])  # the same name, another image
    # Computed in a batch of another size, which may round otherwise.
    np.testing.assert_allclose(again.transform(files[:1])[0], first[6], atol=1e-6)


def test_the_cache_is_keyed_by_what_makes_the_features(small, pixels, tmp_path):
    def count(network, **params):
        extractor(network, cache_dir=tmp_path, **params).fit_transform(pixels)
        return len(FeatureCache(tmp_path))

    assert count(small) == 7
    assert count(small, n_jobs=1, batch_size=3) == 7
    assert count(small, layer="output") == 14
    assert count(small, precision="bfloat16") == 21
    with torch.no_grad():
        small.stem.weight[0, 0, 0, 0] += 1
    assert count(small) == 28


def test_a_corrupt_entry_is_computed_again(small, pixels, tmp_path):
    fitted = extractor(small, cache_dir=tmp_path).fit(pixels)
    first = fitted.transform(pixels)
    with sqlite3.connect(tmp_path / "features.sqlite") as connection:
        connection.execute("UPDATE entries SET value = zeroblob(32) WHERE rowid = 3")
    fitted._backbone.network.seen = 0
    again = fitted.transform(pixels)
    assert np.array_equal(np.delete(again, 2, axis=0), np.delete(first, 2, axis=0))
    # Computed in a batch of one, which may round otherwise.
    np.testing.assert_allclose(again[2], first[2], atol=1e-6)
    assert fitted._backbone.network.seen == 1


def test_a_corrupt_file_is_set_aside(small, pixels, tmp_path):
    (tmp_path / "features.sqlite").write_bytes(b"no database at all, " * 200)
    with pytest.warns(UserWarning, match="corrupt .* starts anew"):
        extractor(small, cache_dir=tmp_path).fit_transform(pixels)
    assert len(FeatureCache(tmp_path)) == 7
    assert len(list(tmp_path.glob("*.broken-*"))) == 1


def test_the_cache_is_bounded_and_cleared(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=3 * 40)
    vectors = {bytes([i]): np.full(10, i, dtype=np.float32) for i in range(3)}
    for key, vector in vectors.items():
        cache.put({key: vector})
    cache.get([b"\x00"])  # used last, so it stays
    cache.put({b"new": np.ones(10)})
    assert cache.get([b"\x00", b"\x01", b"new"]).keys() == {b"\x00", b"new"}
    assert len(cache) == 3
    cache.clear()
    assert len(cache) == 0


def test_a_killed_run_goes_on(tmp_path, pixels, small):
    """A process dies without a word in its third batch; the next computes the rest."""
    torch.save(small.state_dict(), tmp_path / "small.pt")
    np.save(tmp_path / "pixels.npy", pixels)
    code = f"""
        import os
        import numpy as np, torch
        from tests.small_network import Small, to_float
        from sklearn_hsfm.extraction import FeatureExtractor
        network = Small()
        network.load_state_dict(torch.load({str(tmp_path / "small.pt")!r}))
        X = np.load({str(tmp_path / "pixels.npy")!r})
        fitted = FeatureExtractor(network, preprocess=to_float, precision="float32", batch_size=2,
                                  cache_dir={str(tmp_path / "cache")!r}).fit(X)
        own, count = fitted._backbone.network.stem.forward, [0]
        def die(x):
            count[0] += 1
            if count[0] == 3:
                os._exit(9)
            return own(x)
        fitted._backbone.network.stem.forward = die
        fitted.transform(X)
    """
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, cwd=root)
    assert ended.returncode == 9
    assert len(FeatureCache(tmp_path / "cache")) == 4
    fitted = extractor(small, cache_dir=tmp_path / "cache").fit(pixels)
    fitted._backbone.network.seen = 0
    expected = extractor(small).fit_transform(pixels)
    np.testing.assert_allclose(fitted.transform(pixels), expected, atol=1e-6)
    assert fitted._backbone.network.seen == 3


def test_shards_of_two_processes_share_one_cache(tmp_path, files, pixels, small):
    """Each process takes every second file; afterwards all features are there, the same."""
    torch.save(small.state_dict(), tmp_path / "small.pt")
    code = f"""
        import sys, torch
        from tests.small_network import Small, extractor
        network = Small()
        network.load_state_dict(torch.load({str(tmp_path / "small.pt")!r}))
        shard = {[str(f) for f in files]!r}[int(sys.argv[1])::2]
        extractor(network, cache_dir={str(tmp_path / "cache")!r}).fit(shard).transform(shard)
    """
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", textwrap.dedent(code)]
    shards = [subprocess.Popen([*command, str(k)], cwd=root) for k in range(2)]
    assert [shard.wait() for shard in shards] == [0, 0]
    fitted = extractor(small, cache_dir=tmp_path / "cache").fit(files)
    fitted._backbone.network.seen = 0
    features = fitted.transform(files)
    assert fitted._backbone.network.seen == 0  # nothing was left to compute
    np.testing.assert_allclose(features, extractor(small).fit_transform(pixels), atol=1e-6)


def test_two_processes_write_at_once(tmp_path):
    code = f"""
        import numpy as np
        from sklearn_hsfm.extraction import FeatureCache
        cache = FeatureCache({str(tmp_path)!r})
        for i in range(30):
            cache.put({{b"%d" % i: np.full(4, i)}})
    """
    writers = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(2)]
    assert [w.wait() for w in writers] == [0, 0]
    found = FeatureCache(tmp_path).get([b"%d" % i for i in range(30)])
    assert len(found) == 30
    assert all((v == int(k)).all() for k, v in found.items())


# What a key holds.


def closure(gain):
    return lambda image: to_float(image) * gain


def default(gain):
    def scaled(image, gain=gain):
        return to_float(image) * gain

    return scaled


class Gain:
    def __init__(self, gain):
        self.gain = gain

    def __call__(self, image):
        return to_float(image) * self.gain


@pytest.mark.parametrize(
    "make", [closure, default, Gain, lambda gain: Compose([to_float, Lambda(lambda x: x * gain)])]
)
def test_features_of_another_preprocessing_are_never_taken(make, small, files, tmp_path):
    def features(gain, **params):
        return extractor(small, preprocess=make(gain), **params).fit(files[:1]).transform(files)

    right = features(3.0)
    assert not np.allclose(features(1.0, cache_dir=tmp_path), right)
    assert np.array_equal(features(3.0, cache_dir=tmp_path), right)
    assert len(FeatureCache(tmp_path)) == 2 * len(files)
    for gain in (1.0, 3.0):
        fitted = extractor(small, preprocess=make(gain)).fit(files[:1])
        shards = extract_shards(fitted, files, tmp_path / "shards")
    np.testing.assert_allclose(shards, right, atol=1e-6)


def test_a_preprocessing_that_changes_after_the_fit_is_another(small, files, tmp_path):
    gain = Gain(1.0)
    fitted = extractor(small, preprocess=gain, cache_dir=tmp_path).fit(files)
    fitted.transform(files)
    gain.gain = 3.0
    assert np.array_equal(
        fitted.transform(files), extractor(small, preprocess=Gain(3.0)).fit_transform(files)
    )


def test_what_cannot_be_told_apart_is_not_kept(small, files, tmp_path):
    with open(__file__) as file:
        preprocess = lambda image: to_float(image) if file else None  # noqa: E731
        fitted = extractor(small, preprocess=preprocess, cache_dir=tmp_path / "cache").fit(files)
        with pytest.warns(UserWarning, match="Nothing is kept .*TextIOWrapper"):
            features = fitted.transform(files)
        with pytest.raises(ValueError, match=r"cannot be told.*TextIOWrapper.*numpy.save"):
            extract_shards(fitted, files, tmp_path)
    assert np.array_equal(features, extractor(small).fit_transform(files))
    assert len(FeatureCache(tmp_path / "cache")) == 0


def test_a_file_that_was_replaced_is_another_whatever_its_time(small, files, tmp_path):
    """Tools put back the time of a file that they replace by one of its size."""
    fitted = extractor(small, cache_dir=tmp_path).fit(files)
    first = fitted.transform(files)
    stat, other = files[0].stat(), files[1].read_bytes()
    size = max(stat.st_size, len(other))
    for path in files[:2]:  # what follows the end of an image is not read
        os.truncate(path, size)
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fitted.transform(files[:1])
    files[0].write_bytes(files[1].read_bytes())
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (files[0].stat().st_mtime_ns, files[0].stat().st_size) == (stat.st_mtime_ns, size)
    np.testing.assert_allclose(fitted.transform(files[:1])[0], first[1], atol=1e-6)


class Drawn(torch.utils.data.Dataset):
    """A data set that gives another image each time."""

    def __init__(self, images):
        self.images, self.n = images, 0

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.n += 1
        return Image.fromarray(self.images[self.n % len(self.images)])


def test_an_image_that_changes_between_key_and_features_is_not_kept(small, pixels, tmp_path):
    fitted = extractor(small, cache_dir=tmp_path).fit(pixels)
    fitted.transform(Drawn(pixels))
    np.testing.assert_allclose(
        fitted.transform(pixels), extractor(small).fit_transform(pixels), atol=1e-6
    )


# What a disk does.


def test_a_flipped_bit_gives_no_other_features(tmp_path):
    cache, rng = FeatureCache(tmp_path), np.random.RandomState(0)
    entries = {rng.bytes(32): rng.normal(size=16).astype(np.float32) for _ in range(60)}
    cache.put(entries)
    whole = cache.path.read_bytes()
    n_found, draw = 0, random.Random(0)
    for _ in range(200):
        for path in tmp_path.iterdir():
            path.unlink()
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        cache.path.write_bytes(flipped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file that was set aside
            found = cache.get(entries)
            n_found += len(found)
            assert all(np.array_equal(value, entries[key]) for key, value in found.items())
            cache.put(entries)
    assert n_found > 100 * 60  # most bits are of one entry, or of none


@pytest.mark.filterwarnings("ignore:.*corrupt")
def test_an_index_that_names_another_row_gives_nothing(tmp_path):
    """The one byte behind a key in the index says which row it is of."""
    cache = FeatureCache(tmp_path)
    entries = {bytes([i]) * 32: np.full(4, i, np.float32) for i in range(1, 9)}
    cache.put(entries)
    whole, n_lost = cache.path.read_bytes(), 0
    for key in entries:
        at = whole.find(key)
        while at >= 0:
            flipped = bytearray(whole)
            flipped[min(at + 32, len(whole) - 1)] ^= 1
            cache.path.write_bytes(flipped)
            found = cache.get([key])
            n_lost += not found
            assert all(np.array_equal(value, entries[key]) for value in found.values())
            at = whole.find(key, at + 1)
    assert n_lost


@pytest.mark.parametrize(
    "columns", ["key BLOB", "key BLOB PRIMARY KEY, value TEXT, proof BLOB, used REAL, more BLOB"]
)
def test_a_table_of_another_kind_is_set_aside(tmp_path, columns):
    cache = FeatureCache(tmp_path)
    with sqlite3.connect(cache.path) as connection:
        connection.execute(f"CREATE TABLE entries ({columns})")
    with pytest.warns(UserWarning, match="corrupt .* starts anew"):
        cache.put({b"key": np.ones(2)})
    assert len(cache) == 1


def test_features_of_another_length_are_computed_again(small, pixels, tmp_path):
    """An entry of one number would fill a row of any length."""
    fitted = extractor(small, cache_dir=tmp_path).fit(pixels)
    first, cache = fitted.transform(pixels), FeatureCache(tmp_path)
    keys = fitted._keys().all_of(Images(pixels))
    cache.put({key: np.ones(1) for key in keys[:3]} | {key: np.ones(9) for key in keys[3:]})
    assert np.array_equal(fitted.transform(pixels), first)


def test_odd_values_are_absent(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put({bytes([i]): np.ones(2) for i in range(5)})
    with sqlite3.connect(cache.path) as connection:
        for i, value in enumerate((None, "text", 3, 1.5)):
            connection.execute("UPDATE entries SET value = ? WHERE key = ?", (value, bytes([i])))
    assert cache.get([bytes([i]) for i in range(5)]).keys() == {bytes([4])}


def test_a_file_that_another_process_made_anew_is_left_there(tmp_path):
    """Both found it broken; the second must not move the new file of the first aside."""
    cache, other = FeatureCache(tmp_path), FeatureCache(tmp_path)
    cache.path.write_bytes(b"no database at all, " * 200)
    own = cache._execute

    def found_broken_by_both(query, values, writes):
        cache._execute = own
        with pytest.warns(UserWarning, match="corrupt"):
            other.put({b"theirs": np.ones(2)})
        raise sqlite3.DatabaseError("file is not a database")

    cache._execute = found_broken_by_both
    cache.put({b"mine": np.ones(2)})
    assert cache.get([b"mine", b"theirs"]).keys() == {b"mine", b"theirs"}
    assert len(list(tmp_path.glob("*.broken-*"))) == 1


def test_features_that_cannot_be_kept_are_returned(small, pixels, tmp_path, monkeypatch):
    right = extractor(small).fit_transform(pixels)
    fitted = extractor(small, cache_dir=tmp_path, batch_size=2).fit(pixels)
    put, n_tries = FeatureCache.put, []

    def full(self, entries):
        n_tries.append(len(entries))
        if len(n_tries) == 2:  # for a moment
            raise OSError("disk is full")
        put(self, entries)

    monkeypatch.setattr(FeatureCache, "put", full)
    with pytest.warns(UserWarning, match="could not be kept yet: disk is full") as caught:
        np.testing.assert_allclose(fitted.transform(pixels), right, atol=1e-6)
    assert len(caught) == 1
    assert len(FeatureCache(tmp_path)) == 7  # what waited was written in the end


def test_a_folder_that_vanishes_loses_no_features(small, pixels, tmp_path, monkeypatch):
    fitted = extractor(small, cache_dir=tmp_path / "cache", batch_size=2).fit(pixels)
    put = FeatureCache.put

    def vanish(self, entries):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        put(self, entries)

    monkeypatch.setattr(FeatureCache, "put", vanish)
    with pytest.warns(
        UserWarning, match=rf"kept yet: The feature cache {tmp_path}/cache/.*written"
    ):
        features = fitted.transform(pixels)
    np.testing.assert_allclose(features, extractor(small).fit_transform(pixels), atol=1e-6)


def test_what_waits_for_a_disk_is_not_tried_at_each_batch():
    class Full:
        n_tries = 0

        def put(self, entries):
            self.n_tries += 1
            raise OSError("full")

    cache = Full()
    with pytest.warns(UserWarning, match="full"):  # noqa: PT031, SIM117
        with Writing(cache) as kept:
            for i in range(1000):
                kept.add({i: i})
    assert cache.n_tries < 20
    assert len(kept.waiting) == 1000


def test_a_cache_that_cannot_be_is_refused_before_any_work(small, pixels, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder" / "features.sqlite").mkdir(parents=True)
    with pytest.raises(OSError, match=rf"cache {tmp_path}/file/c.* cannot be made.*cache_dir"):
        extractor(small, cache_dir=tmp_path / "file" / "c").fit(pixels)
    fitted = extractor(small, cache_dir=tmp_path / "folder").fit(pixels)
    fitted._backbone.network.seen = 0
    with pytest.raises(OSError, match=rf"cache {tmp_path}/folder.* cannot be read.*cache_dir"):
        fitted.transform(pixels)
    assert fitted._backbone.network.seen == 0


def test_a_cache_that_is_read_only_is_read(small, pixels, tmp_path, monkeypatch):
    fitted = extractor(small, cache_dir=tmp_path, cache_size=10**9).fit(pixels)
    right, connect = fitted.transform(pixels), sqlite3.connect

    def read_only(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    fitted._backbone.network.seen = 0
    with pytest.warns(UserWarning, match=r"not noted: .*readonly database"):
        assert np.array_equal(fitted.transform(pixels), right)
    assert fitted._backbone.network.seen == 0
    with pytest.warns(UserWarning, match=r"could not be kept yet: .*readonly database"):
        new = fitted.transform(255 - pixels)
    np.testing.assert_allclose(new, extractor(small).fit_transform(255 - pixels), atol=1e-6)
