"""Images as they come: modes, orientation, odd files and folders, and code of others."""

import os
import sys
import tarfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_hsfm.extraction import FeatureCache, FeatureExtractor
from sklearn_hsfm.extraction._images import Images
from tests.small_network import Small, extractor, to_float

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4  # grey, 0 to 252
COLOUR = np.random.RandomState(0).randint(256, size=(8, 8, 3), dtype=np.uint8)


def grey(pixels):
    return np.repeat(np.asarray(pixels, np.uint8)[..., None], 3, axis=-1)


def loaded(path):
    return np.asarray(Images([path]).load(0)).astype(int)


def test_bits_and_modes_are_the_same_picture(tmp_path):
    """Eight bits of red, green and blue, whatever the file has."""
    deep = RAMP.astype(np.uint16) * 257
    alpha = np.full((8, 8, 1), 128, np.uint8)
    colour, wanted = Image.fromarray(COLOUR), COLOUR.astype(int)
    cases = {
        "L.png": (Image.fromarray(RAMP), grey(RAMP), 0),
        "LA.png": (Image.fromarray(RAMP).convert("LA"), grey(RAMP), 0),
        "1.png": (Image.fromarray(RAMP > 100), grey((RAMP > 100) * 255), 0),
        "P.png": (Image.fromarray(RAMP).convert("P"), grey(RAMP), 0),
        "RGB.png": (colour, wanted, 0),
        "RGBA.png": (Image.fromarray(np.concatenate([COLOUR, alpha], 2)), wanted, 0),
        "CMYK.tif": (colour.convert("CMYK"), wanted, 1),
        "I16.png": (Image.fromarray(deep), grey(RAMP), 0),
        "I16.tif": (Image.fromarray(deep), grey(RAMP), 0),
        "colour.ppm": (colour, wanted, 0),
    }
    for name, (image, expected, off) in cases.items():
        image.save(tmp_path / name)
        assert np.abs(loaded(tmp_path / name) - expected).max() <= off, name
    (tmp_path / "deep.pgm").write_bytes(b"P5 8 8 65535\n" + deep.astype(">u2").tobytes())
    assert np.array_equal(loaded(tmp_path / "deep.pgm"), grey(RAMP))


@pytest.mark.parametrize("pixels", [RAMP.astype(np.float32), RAMP.astype(np.int32)])
def test_pixels_without_a_known_range_are_refused(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    for X in ([tmp_path / "a.tif"], [Image.fromarray(pixels)]):
        with pytest.raises(
            ValueError, match=r"its mode is '[FI]', whose pixels have no known range"
        ):
            Images(X).load(0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright(suffix, orientation, tmp_path):
    upright = Image.fromarray(grey(np.arange(0, 256, 16).repeat(16).reshape(16, 16)))
    lying = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the tag asks to turn it back
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x0112] = orientation
    (upright if lying is None else upright.transpose(lying)).save(path, exif=exif, quality=100)
    expected = np.asarray(upright).astype(int)
    assert np.abs(loaded(path) - expected).max() < 12
    with Image.open(path) as opened:  # as it stands in the file
        assert np.abs(np.asarray(Images([opened]).load(0)) - expected).max() < 12
        taken = opened.convert("RGB")  # processed, and so taken as it is
    assert np.array_equal(np.asarray(Images([taken]).load(0)), np.asarray(taken))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0no TIFF", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0"]
)
def test_tags_that_are_broken_say_nothing(exif, tmp_path):
    Image.fromarray(grey(RAMP)).save(tmp_path / "a.jpg", exif=exif, quality=100)
    assert np.abs(loaded(tmp_path / "a.jpg") - grey(RAMP).astype(int)).max() < 12


def test_of_animations_the_first_frame_counts(tmp_path):
    frames = [Image.fromarray(grey(np.full((8, 8), value))) for value in (10, 200)]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(loaded(tmp_path / name) - 10).max() <= 2, name


def test_sizes_that_are_extreme(small, tmp_path, monkeypatch):
    Image.fromarray(COLOUR[:1, :1]).save(tmp_path / "one.png")
    Image.fromarray(np.zeros((100, 20_000, 3), np.uint8)).save(tmp_path / "wide.png")
    assert loaded(tmp_path / "one.png").shape == (1, 1, 3)
    assert loaded(tmp_path / "wide.png").shape == (100, 20_000, 3)
    resnet = FeatureExtractor("resnet18", weights=None).fit([tmp_path / "one.png"])
    assert resnet.transform([tmp_path / "one.png", tmp_path / "wide.png"]).shape == (2, 512)
    Image.fromarray(np.zeros((1, 20_000, 3), np.uint8)).save(tmp_path / "line.png")
    with pytest.raises(ValueError, match=r"line.png \(sample 0 of 1\).* 20000 x 1 pixels"):
        resnet.transform([tmp_path / "line.png"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"wide.png .*DecompressionBombError"):
        resnet.transform([tmp_path / "wide.png"])


def test_files_that_are_cut_off_are_named(small, files):
    content = files[3].read_bytes()
    files[3].write_bytes(content[: len(content) // 2])
    fitted = extractor(small).fit(files[:1])
    with pytest.raises(ValueError, match=r"3.png \(sample 3 of 7\) cannot be read .*Remove it"):
        fitted.transform(files)


def test_folders_hold_what_a_user_sees(files, tmp_path):
    folder = files[0].parent.parent
    for name in (".hidden.png", "._0.png", "folder.png/0.png", ".cache/0.png", "__MACOSX/0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(COLOUR).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.fromarray(COLOUR).save(elsewhere / "A.JPG", "JPEG")
    (folder / "link").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(folder)  # and so on, without an end
    (folder / "z.png").symlink_to(files[0])
    found = [os.path.relpath(path, folder) for path in Images(folder).source]
    deep = [f"deep/{i}.png" for i in range(7)]
    assert found == [*deep, "folder.png/0.png", "link/A.JPG", "z.png"]
    (folder / "gone.png").symlink_to(tmp_path / "absent.png")
    os.mkfifo(folder / "pipe.png")  # reading it would wait for ever
    with pytest.raises(ValueError, match=r"2 of 12 image files are not there, first '.*gone.png"):
        Images(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_names_that_are_no_text(small, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    Image.fromarray(COLOUR).save(os.fsdecode(path))
    fitted = extractor(small, cache_dir=tmp_path / "cache").fit(tmp_path)
    features = fitted.transform(tmp_path)
    assert np.array_equal(fitted.transform([os.fsdecode(path)]), features)
    assert len(FeatureCache(tmp_path / "cache")) == 1
    Path(os.fsdecode(path)).write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"caf\\xe9.png \(sample 0 of 1\)") as raised:
        fitted.transform(tmp_path)
    str(raised.value).encode()  # any terminal can show it


# Code of others.


class OneHandle(torch.utils.data.Dataset):
    """Images in a tar file that is open once: two threads would read each other's bytes."""

    def __init__(self, path):
        self.tar = tarfile.open(path)  # noqa: SIM115
        self.members, self.threads = self.tar.getmembers(), set()

    def __len__(self):
        return len(self.members)

    def __getitem__(self, index):
        self.threads.add(threading.get_ident())
        return Image.open(self.tar.extractfile(self.members[index]))  # read when it is loaded


def test_a_data_set_is_called_by_one_thread(small, files, pixels, tmp_path):
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for path in files * 10:
            tar.add(path)
    right = extractor(small).fit_transform(pixels)
    for cache_dir in (None, tmp_path / "cache"):
        images = OneHandle(tmp_path / "all.tar")
        fitted = extractor(small, n_jobs=8, cache_dir=cache_dir).fit(images)
        features = fitted.transform(images)
        np.testing.assert_allclose(features, np.tile(right, (10, 1)), atol=1e-6)
        assert images.threads == {threading.get_ident()}


def test_a_preprocessing_of_ones_own_sees_one_image_at_a_time(small, pixels):
    inside, most = [0], [0]
    lock = threading.Lock()

    def preprocess(image):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.002)
        with lock:
            inside[0] -= 1
        return to_float(image)

    for n_jobs, wanted in ((None, 1), (4, 4)):
        most[0] = 0
        extractor(small, preprocess=preprocess, n_jobs=n_jobs).fit_transform(
            np.tile(pixels, (9, 1, 1, 1))
        )
        assert most[0] == 1 if n_jobs is None else 1 < most[0] <= wanted


@pytest.mark.parametrize(
    ("preprocess", "error", "message"),
    [
        (lambda image: np.asarray(image), TypeError, "image 0 .*returns ndarray; .* float tensor"),
        (lambda image: torch.zeros(3, 8, 8).int(), TypeError, "returns torch.int32"),
        (lambda image: 1 / 0, ValueError, "image 0 .*preprocessing fails with ZeroDivisionError"),
        (lambda image: torch.zeros(8), ValueError, "fails on an image that is"),
    ],
)
def test_a_preprocessing_that_fails_is_said(small, pixels, preprocess, error, message):
    with pytest.raises(error, match=message):
        extractor(small, preprocess=preprocess).fit(pixels)


def test_images_of_several_sizes_are_named(small, pixels):
    images = [Image.fromarray(image) for image in pixels]
    images[4] = images[4].resize((9, 9))
    fitted = extractor(small).fit(images)
    with pytest.raises(
        ValueError, match=r"image 0 \(sample 0 of 7\) is \(3, 12, 10\) .*image 4 .*9, 9"
    ):
        fitted.transform(images)
    assert fitted.set_params(batch_size=1).transform(images).shape == (7, 8)


def test_images_that_a_network_cannot_take_are_named(small, pixels):
    fitted = extractor(small).fit(pixels)
    with pytest.raises(
        ValueError, match=r"network fails on a batch of 2 from image 0 .*\(3, 1, 1\)"
    ):
        fitted.transform(pixels[:2, :1, :1])


class Odd(torch.utils.data.Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.item


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": 1}, "it is a int, and neither a PIL image nor an array"),
        ({"pixels": 1}, r"an item has \['pixels'\], and its image is wanted under 'image' or"),
        ({"image": 1, "x": 2}, r"an item has \['image', 'x'\], and its image is wanted under"),
        (np.zeros((8, 8)), r"shape \(1, 8, 8\)"),
        (np.zeros(3), r"shape \(1, 3\)"),
        (np.full((3, 8, 8), np.inf), "NaN or infinite pixels"),
        ((), "it is a tuple"),
    ],
)
def test_items_of_a_data_set_that_are_no_images(small, pixels, item, message):
    fitted = extractor(small).fit(pixels)
    with pytest.raises(ValueError, match=rf"image 0 \(sample 0 of 1\) cannot be read .*{message}"):
        fitted.transform(Odd(item))


def test_a_data_set_that_fails_is_said(small, pixels):
    class Short(Odd):
        def __getitem__(self, index):
            raise OSError("no such member")

    with pytest.raises(ValueError, match=r"data set fails at image 0 .*OSError: no such member"):
        extractor(small).fit(pixels).transform(Short(None))


def test_arrays_of_no_images(small, pixels):
    fitted = extractor(small).fit(pixels)
    for X in (np.zeros(3), np.zeros((2, 3)), np.uint8(3).reshape(1), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"Images have shape .*; wanted: uint8"):
            fitted.transform(X)


def test_sixteen_bits_do_not_warn(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(tmp_path / "a.png")


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("preprocess", [None, "auto"])
def test_floats_have_as_many_channels_as_the_network_takes(channels, preprocess, tmp_path):
    """X-rays have one channel, satellites four and more."""
    torch.manual_seed(0)
    network = Small()
    network.stem = torch.nn.Conv2d(channels, 8, 3, stride=2)
    X = 100 * np.random.RandomState(0).rand(5, channels, 9, 12).astype(np.float32) - 50
    fitted = extractor(network, preprocess=preprocess, cache_dir=tmp_path).fit(X)
    with torch.no_grad():
        network.eval().fc = torch.nn.Identity()
        wanted = network(torch.from_numpy(X)).numpy()
    for form in (X, torch.from_numpy(X), list(X)):
        np.testing.assert_allclose(fitted.transform(form), wanted, rtol=1e-5, atol=1e-5)


def test_channels_that_do_not_fit_are_said(small, pixels):
    floats = pixels.transpose(0, 3, 1, 2) / np.float32(255)
    for last in (pixels / np.float32(255), floats[:, :1].transpose(0, 2, 3, 1)):
        with pytest.raises(ValueError, match=r"channels in the last place; wanted: \(n, channels,"):
            extractor(small, preprocess=None).fit(last)
    with pytest.raises(ValueError, match=r"image 0 \(sample 0 of 7\).*and these have 1\. Repeat"):
        FeatureExtractor("resnet18", weights=None).fit(floats[:, :1])
    with pytest.raises(ValueError, match=r"image 3 \(sample 3 of 7\) has 1 channels; here it must"):
        Images(floats[:, :1]).in_colour(3)
