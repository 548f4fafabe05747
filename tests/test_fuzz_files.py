"""Whatever images, files and tables come in: right features or data, or an error that names them.

Hypothesis draws them; ``pytest tests/test_fuzz_files.py --hypothesis-profile=long`` draws more.
"""

import copy
import functools
import io
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from sklearn_hsfm import datasets
from sklearn_hsfm.extraction import FeatureCache, FeatureExtractor
from sklearn_hsfm.extraction._identity import identify
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.extraction._last_layer import find_tap, last_layer, tapped
from sklearn_hsfm.extraction._weights import load_file
from tests.small_network import Small, extractor

FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("1", "L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
}


@functools.cache
def fitted():
    torch.manual_seed(0)
    return extractor(Small(), n_jobs=1).fit(np.zeros((1, 12, 10, 3), np.uint8))


def outcome(call, *names):
    """Return what a call returns, or None for an error that names what is wrong."""
    with warnings.catch_warnings():
        for category in (RuntimeWarning, FutureWarning, DeprecationWarning):
            warnings.simplefilter("error", category)
        try:
            return call()
        except (ValueError, TypeError, OSError) as error:
            said = str(error)
        assert any(name in said for name in names), f"an error that names nothing: {said}"
        return None


# Images.


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5))
    if draw(st.booleans()):
        shape = [draw(st.integers(0, 3)), draw(st.integers(1, 12)), draw(st.integers(1, 12)), 3]
    elif draw(st.booleans()):
        shape = [draw(st.integers(0, 3)), 3, draw(st.integers(1, 12)), draw(st.integers(1, 12))]
    dtype = draw(st.sampled_from(["u1", "i1", "u2", "i8", "f2", "f4", "f8", "?", "c8", "U1"]))
    pixels = np.random.RandomState(draw(st.integers(0, 9))).randint(256, size=shape)
    with np.errstate(invalid="ignore", over="ignore"):
        pixels = (pixels / draw(st.sampled_from([1, 255, 1e-30]))).astype(dtype)
        if pixels.dtype.kind == "f" and pixels.size:
            pixels.flat[0] = draw(st.sampled_from([0, np.nan, np.inf, -1, 1e30]))
    return pixels


@given(arrays(), st.booleans())
def test_arrays(pixels, as_list):
    before = pixels.copy()
    X = list(pixels) if as_list else pixels
    features = outcome(lambda: fitted().transform(X), "Images ", "image", "images")
    assert features is None or (features.shape == (len(pixels), 8) and not np.isnan(features).any())
    assert np.array_equal(pixels, before, equal_nan=pixels.dtype.kind in "fc")


@st.composite
def image_files(draw):
    """Return the bytes of an image file, and what is in it as RGB, if Pillow can tell."""
    form = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(FORMATS[form]))
    size = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    pixels = np.random.RandomState(draw(st.integers(0, 9))).randint(256, size=(*size, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(pixels[..., 0].astype({"I": np.int32, "F": np.float32}[mode]))
    else:
        image = image.convert(mode)
    file = io.BytesIO()
    image.save(file, form)
    content = bytearray(file.getvalue())
    for _ in range(draw(st.integers(0, 3))):  # damage
        at = draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << draw(st.integers(0, 7))
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    return bytes(content), f"a.{form.lower()}"


@pytest.mark.filterwarnings("ignore")  # of Pillow about what it reads all the same
@given(image_files())
def test_image_files(drawn):
    content, name = drawn
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        image = outcome(lambda: Images([path]).load(0), name)
    if image is not None:
        assert image.mode == "RGB"


@st.composite
def trees(draw):
    """Return relative paths of files, hidden and not, some of them images."""
    part = st.sampled_from(["a", "b", ".c", "__MACOSX", "d.png", "é"])
    name = st.sampled_from(["1.png", "2.JPG", ".3.png", "._4.jpg", "5.txt", "6.png.txt", ".png"])
    paths = st.lists(st.tuples(st.lists(part, max_size=3), name), max_size=8)
    return sorted({"/".join([*folders, name]) for folders, name in draw(paths)})


@given(trees())
def test_folders(paths):
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            at = Path(folder, path)
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(b"")
        found = outcome(lambda: Images(folder).source, folder)
    hidden = [any(p.startswith(".") or p == "__MACOSX" for p in q.split("/")) for q in paths]
    wanted = [
        f"{folder}/{path}"
        for path, is_hidden in zip(paths, hidden, strict=True)
        if not is_hidden and path.lower().endswith((".png", ".jpg"))
    ]
    assert (found or []) == sorted(wanted, key=Path)


# What an object is.

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_objects_are_the_same_only_if_they_are(one, other):
    def wrapped(value):
        return functools.partial(lambda x, y: (x, y, value), value), {"a": [value]}

    same = pickle.dumps(one) == pickle.dumps(other) or repr(one) == repr(other)
    assert identify(wrapped(one)) == identify(wrapped(copy.deepcopy(one)))
    assert (identify(wrapped(one)) == identify(wrapped(other))) == same


# Networks.


@st.composite
def networks(draw):
    """Return a network of a few layers, with a head or without."""
    width, layers = 3, []
    for _ in range(draw(st.integers(0, 3))):
        new = draw(st.integers(1, 6))
        kind = draw(st.sampled_from(["conv", "one", "norm", "relu", "drop"]))
        if kind in ("conv", "one"):
            layers.append(nn.Conv2d(width, new, 3 if kind == "conv" else 1, padding="same"))
            width = new
        else:
            layers.append(
                {"norm": nn.BatchNorm2d(width), "relu": nn.ReLU(), "drop": nn.Dropout()}[kind]
            )
    pooled = draw(st.booleans())
    if pooled:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        for _ in range(draw(st.integers(0, 2))):
            new = draw(st.integers(1, 6))
            layers += [nn.Linear(width, new)]
            width = new
            end = draw(st.sampled_from([None, nn.ReLU(), nn.Softmax(1), nn.LogSoftmax(1)]))
            layers += [] if end is None else [end]
    torch.manual_seed(draw(st.integers(0, 9)))
    network = nn.Sequential(*layers)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network.eval()


@pytest.mark.filterwarnings("ignore:layer='pool'")
@given(networks(), st.sampled_from(["pool", "output", "0", "5"]))
def test_networks(network, layer):
    batch = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    tap = outcome(lambda: find_tap(network, layer, batch), "layer=", "backbone fails")
    if tap is None:
        return
    features = tapped(network, tap)(batch)
    assert features.ndim == len(features) == 2
    if layer == "pool" and tap.before:
        last = last_layer(network, batch)
        head = network.get_submodule(tap.module)
        logits = features @ head.weight.flatten(1).T + head.bias
        ends = {
            "none": lambda x: x,
            "softmax": lambda x: x.softmax(1),
            "log_softmax": lambda x: x.log_softmax(1),
            "sigmoid": torch.sigmoid,
        }
        with torch.no_grad():
            out = network(batch)
        if isinstance(head, nn.Linear) or not isinstance(network[-3], nn.ReLU):
            torch.testing.assert_close(ends[last.end](logits), out, rtol=1e-2, atol=1e-4)


# Files that hold tensors, features and tables.


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(st.binary(max_size=300) | st.integers(0, 10_000))
def test_files_of_weights(drawn):
    network, file, written = Small(), io.BytesIO(), Small().state_dict()
    torch.save(written, file)
    content = bytearray(file.getvalue())
    if isinstance(drawn, bytes):
        content = drawn
    else:
        content[drawn % len(content)] ^= 16
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.pt"
        path.write_bytes(content)
        before = network.state_dict()["stem.weight"].clone()
        outcome(lambda: load_file(network, path), "mine.pt")
    if isinstance(drawn, int) and not torch.equal(network.state_dict()["stem.weight"], before):
        assert torch.equal(network.state_dict()["stem.weight"], written["stem.weight"])


@given(st.binary(max_size=200) | st.integers(0, 5000), st.integers(1, 255))
def test_files_of_features(drawn, mask):
    file = io.BytesIO()
    X = np.arange(24, dtype=np.float32).reshape(6, 4)
    np.savez_compressed(file, X=X, y=[0, 1] * 3, split=[0, 0, 1, 1, 2, 2])
    content = bytearray(file.getvalue())
    if isinstance(drawn, bytes):
        content = drawn
    else:
        content[drawn % len(content)] ^= mask
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.npz"
        path.write_bytes(content)
        data = outcome(lambda: datasets.load_features(path), "mine.npz", "split holds")
    assert data is None or np.array_equal(data.X_train, X[:2])


CELLS = st.sampled_from(
    ["0", "1", "2", "-1", "01", "1.0", "", "a", " 1", "nan", "٣", "1e0", '"', "\0"]
)
NAMES = st.sampled_from(
    ["a.jpg", "b/c.jpg", "../a.jpg", "/a.jpg", "b/../a.jpg", "..", "", "\0", "é"]
)


@given(st.lists(st.tuples(NAMES, CELLS, CELLS, CELLS), max_size=4), st.integers(0, 40))
def test_tables(lines, cut):
    text = "img_filename,y,split,place\n" + "\n".join(map(",".join, lines))
    text = text[: len(text) - cut] if cut > 20 else text
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "metadata.csv").write_text(text)
        data = outcome(lambda: datasets.load_waterbirds(folder), "metadata.csv")
        if data is None:
            return
        for split in ("train", "val", "test"):
            assert set(data[f"y_{split}"]) <= {0, 1}
            for path in data[f"X_{split}"]:
                assert Path(folder) in Path(path).parents


@given(st.lists(st.tuples(NAMES, CELLS, CELLS, CELLS), max_size=4), st.integers(0, 40))
def test_tables_of_ones_own(lines, cut):
    text = "file_name,label,split,a\n" + "\n".join(map(",".join, lines))
    text = text[: len(text) - cut] if cut > 20 else text
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.jpg", "b/c.jpg"):
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).touch()
        (Path(folder) / "t.csv").write_text(text)
        data = outcome(lambda: datasets.load_image_table(Path(folder) / "t.csv"), "t.csv")
        if data is None:
            return
        assert len(data.X_train) == len(data.y_train) == len(data.groups_train)
        for split in ("train", "val", "test"):
            for path in data[f"X_{split}"] or ():
                assert Path(folder) in Path(path).parents
                assert Path(path).is_file()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), min_size=1, max_size=3))
def test_caches(flips):
    entries = {bytes([i]) * 32: np.full(8, i, np.float32) for i in range(30)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file that was set aside
        cache = FeatureCache(folder)
        cache.put(entries)
        content = bytearray(cache.path.read_bytes())
        for at, bit in flips:
            content[at % len(content)] ^= 1 << bit
        cache.path.write_bytes(content)
        found = cache.get(entries)
        cache.put(entries)
        found |= cache.get(entries)
    assert all(np.array_equal(value, entries[key]) for key, value in found.items())


@given(arrays())
def test_networks_that_are_passed_take_ready_floats(pixels):
    """No preprocessing is guessed: floats go through untouched, all else is refused."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    own = FeatureExtractor(network, precision="float32", n_jobs=1)
    features = outcome(lambda: own.fit_transform(pixels), "Images ", "image", "images")
    if features is not None:
        assert pixels.dtype.kind == "f"
        wanted = pixels.astype(np.float32).astype(np.float64).mean((2, 3))
        np.testing.assert_allclose(features, wanted, rtol=1e-4)
