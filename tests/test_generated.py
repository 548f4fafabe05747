"""Images that a generator makes, what is kept of them, and colours of backgrounds as groups."""

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_hsfm.extraction import FeatureExtractor, background_colour_groups
from sklearn_hsfm.finetuning import GeneratedRowsClassifier, ImageGenerator
from sklearn_hsfm.heads import ExtraRowsClassifier
from sklearn_hsfm.metrics import macro_std_score, worst_group_accuracy_score
from tests.small_network import to_float


class Colours(torch.nn.Module):
    """Mean colours of the patch and of what is around it: features whose meaning is known."""

    def forward(self, x):
        inner = x[..., 4:12, 4:12]
        around = (x.sum((2, 3)) - inner.sum((2, 3))) / (256 - 64)
        return torch.cat([inner.mean((2, 3)), around], dim=1)


def scenes(patch, around, rng):
    """Return images with a red or blue patch before green (0) or yellow (1)."""
    images = rng.randint(90, size=(len(patch), 16, 16, 3)).astype(np.uint8)
    images[..., 1] += 120
    images[around == 1, ..., 0] += 120
    for image, c in zip(images, patch, strict=True):
        image[4:12, 4:12] = rng.randint(180, size=(8, 8, 3))
        image[4:12, 4:12, 2 * c] += 15
    return images


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    y = np.arange(200) % 2
    around = np.where(np.arange(200) < 190, y, 1 - y)  # five of each class disagree
    y_test, around_test = np.arange(80) % 2, np.arange(80) // 2 % 2
    names = np.array(["red", "blue"])
    return (
        (scenes(y, around, rng), names[y], around),
        (scenes(y_test, around_test, rng), names[y_test], around_test),
    )


def extractor():
    return FeatureExtractor(Colours(), layer="output", preprocess=to_float, precision="float32")


def other_background(images, y, cells):
    """Make of each image one with the other background, for as long as cells say which it has."""
    made = images.copy()
    hidden = np.ones((16, 16), dtype=bool)
    hidden[4:12, 4:12] = False
    red = np.where(cells == 1, -120, 120)[:, None]
    made[:, hidden, 0] = np.clip(made[:, hidden, 0].astype(int) + red, 0, 255)
    return made, y, None


def test_generated_images_repair_the_worst_group(data):
    (X, y, around), (X_test, y_test, around_test) = data
    groups = np.char.add(y_test, around_test.astype(str))
    plain = ExtraRowsClassifier().fit(extractor().fit_transform(X), y)
    clf = GeneratedRowsClassifier(other_background, extractor(), min_probability=0.0)
    clf.fit(X, y, cells=around)
    before = plain.predict(clf.extractor_.transform(X_test))
    worst = [
        worst_group_accuracy_score(y_test, pred, groups) for pred in (before, clf.predict(X_test))
    ]
    assert worst[1] > worst[0] + 0.2
    assert clf.generated_[:2] == (200, 200)
    assert clf.generated_.by_class == {"blue": (100, 100), "red": (100, 100)}
    assert clf.generated_.seconds > 0


def test_what_the_first_head_does_not_see_is_left_out(data):
    (X, y, around), _ = data
    clf = GeneratedRowsClassifier(other_background, extractor(), min_probability=0.5)
    clf.fit(X, y, cells=around)
    features, made = (clf.extractor_.transform(a) for a in (X, other_background(X, y, around)[0]))
    first = ExtraRowsClassifier().fit(features, y)  # a regression of the same penalty
    of_label = first.predict_proba(made)[np.arange(200), (y == "red").astype(int)]
    np.testing.assert_array_equal(clf.kept_, of_label >= 0.5)
    assert 0 < clf.kept_.sum() < 200
    assert clf.generated_.kept == clf.kept_.sum()
    again = ExtraRowsClassifier()
    again.fit(features, y, X_extra=made[clf.kept_], y_extra=y[clf.kept_])
    np.testing.assert_allclose(clf.coef_, again.coef_, atol=1e-6)


def test_where_none_is_kept_it_is_erm_and_that_is_said(data):
    (X, y, around), _ = data
    clf = GeneratedRowsClassifier(other_background, extractor(), min_probability=1.0)
    with pytest.warns(UserWarning, match=r"of every generated image of \['blue', 'red'\]"):
        clf.fit(X, y, cells=around)
    erm = ExtraRowsClassifier().fit(clf.extractor_.transform(X), y)
    np.testing.assert_allclose(clf.coef_, erm.coef_)


def test_weights_are_the_generators(data):
    (X, y, around), _ = data

    def weighted(images, y, cells):
        made, labels, _ = other_background(images, y, cells)
        return made, labels, np.where(np.arange(len(labels)) % 2, 0.0, 2.0)

    def half(images, y, cells):
        made, labels, _ = other_background(images, y, cells)
        return made[::2], labels[::2], None

    params = {"min_probability": 0.0}
    one = GeneratedRowsClassifier(weighted, extractor(), **params).fit(X, y, cells=around)
    two = GeneratedRowsClassifier(half, extractor(), extra_weight=2.0, **params)
    np.testing.assert_allclose(one.coef_, two.fit(X, y, cells=around).coef_, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda X, y: X, "must return three things"),
        (lambda X, y: (X, y[:5], None), "returned 200 images, 5 labels"),
        (lambda X, y: (X, y, np.ones(3)), r"weights of shape \(3,\)"),
        (lambda X, y: (X, np.full(200, "green"), None), r"does not have: \['green'\]"),
    ],
)
def test_what_a_generator_must_not_return(data, returned, message):
    (X, y, _), _ = data
    clf = GeneratedRowsClassifier(lambda images, y, cells: returned(images, y), extractor())
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)


def test_bad_input(data):
    (X, y, _), _ = data
    with pytest.raises(ValueError, match="200 images, but 3 cells"):
        GeneratedRowsClassifier(other_background, extractor()).fit(X, y, cells=[0, 1, 2])
    with pytest.raises(ValueError, match="'generator' parameter"):
        GeneratedRowsClassifier("diffusion").fit(X, y)
    assert isinstance(other_background, ImageGenerator)


COLOURS = {
    "black": (10, 10, 30),
    "white": (250, 250, 240),
    "grey": (120, 120, 125),
    "brown": (110, 60, 20),
    "red": (220, 20, 30),
    "orange": (250, 130, 10),
    "yellow": (240, 230, 30),
    "green": (30, 160, 40),
    "blue": (40, 90, 230),
    "purple": (180, 40, 220),
}


def test_the_colour_of_the_border_counts():
    images = np.zeros((len(COLOURS), 20, 30, 3), dtype=np.uint8)
    images[:] = np.array(list(COLOURS.values()))[:, None, None]
    images[:, 3:-3, 4:-4] = (255, 0, 0)  # the object
    assert background_colour_groups(images).tolist() == list(COLOURS)
    floats = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    assert background_colour_groups(floats).tolist() == list(COLOURS)
    assert set(background_colour_groups(images, border=0.5)) == {"red"}  # all of it
    with pytest.raises(ValueError, match="'border' parameter"):
        background_colour_groups(images, border=0.7)
    with pytest.raises(ValueError, match=r"image 0 .* floats in \[0, 255\]; here they must lie"):
        background_colour_groups(floats * 255)


def test_colours_are_groups(tmp_path):
    for k in range(8):
        Image.new("RGB", (6, 6), COLOURS["green" if k % 2 else "blue"]).save(tmp_path / f"{k}.png")
    groups = background_colour_groups(tmp_path)
    y, pred = np.zeros(8), np.array([0, 1] * 4)
    assert macro_std_score(y, pred, groups) == pytest.approx(0.5)  # accuracies 1 and 0
