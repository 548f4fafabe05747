"""Masked images: what is masked is masked, and figures are those of scikit-learn and a count."""

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from sklearn_hsfm.inspection import MaskedSensitivityDisplay, masked_sensitivity
from sklearn_hsfm.inspection._masked_scores import auc, auc_interval, drop_interval
from tests.where import Shares, halves

QUICK = {"random_state": 0, "progress": False, "n_bootstrap": 50}


class Watching:
    """A classifier that keeps what it saw."""

    classes_ = np.array([0, 1])

    def __init__(self):
        self.seen = []

    def predict(self, images):
        self.seen.append(images)
        return np.zeros(len(images), dtype=int)


@pytest.fixture(scope="module")
def model():
    images, y, _ = halves(400, 0.95, 0)
    return make_pipeline(Shares(), LogisticRegression(C=100)).fit(images, y)


@pytest.fixture(scope="module")
def upper():
    mask = np.zeros((300, 16, 8), dtype=bool)
    mask[:, :8] = True
    return mask


def row(found, condition, group="all"):
    return np.flatnonzero((found.condition == condition) & (found.group == group)).item()


def test_what_is_masked_has_the_mean_colour():
    images = np.random.RandomState(0).randint(256, size=(5, 6, 4, 3), dtype=np.uint8)
    mask = np.random.RandomState(1).uniform(size=(5, 6, 4)) < 0.5
    model = Watching()
    found = masked_sensitivity(model, images, mask, [0, 1, 0, 1, 0], **QUICK)
    plain, without, alone = model.seen
    assert np.array_equal(plain, images)
    assert found.colour == pytest.approx(images.mean(axis=(0, 1, 2)))
    grey = np.round(found.colour).astype(np.uint8)
    assert np.array_equal(without, np.where(mask[..., None], grey, images))
    assert np.array_equal(alone, np.where(mask[..., None], images, grey))


@pytest.mark.parametrize(("fill", "colour"), [(7, [7, 7, 7]), ((1, 2, 3), [1, 2, 3])])
def test_the_fill_may_be_a_colour(fill, colour):
    images = np.full((4, 6, 4, 3), 99, dtype=np.uint8)
    model = Watching()
    masked_sensitivity(model, images, np.ones((4, 6, 4), bool), [0, 1, 0, 1], fill=fill, **QUICK)
    assert (model.seen[1] == colour).all()
    assert (model.seen[2] == 99).all()


def test_floats_and_files_keep_their_form(tmp_path):
    images = np.random.RandomState(0).randint(256, size=(3, 6, 4, 3), dtype=np.uint8)
    mask = np.zeros((3, 6, 4), dtype=bool)
    mask[:, 0] = True
    model = Watching()
    floats = images.transpose(0, 3, 1, 2) / np.float32(255)
    masked_sensitivity(model, floats, mask, [0, 1, 0], fill=0.5, **QUICK)
    assert model.seen[1].dtype == np.float32
    assert model.seen[1].shape == (3, 3, 6, 4)
    assert (model.seen[1][:, :, 0] == 0.5).all()
    paths = []
    for i, image in enumerate(images):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(paths[-1])
    masked_sensitivity(model, paths, mask, [0, 1, 0], fill=5, **QUICK)
    assert (np.asarray(model.seen[-2][2])[0] == 5).all()


def test_the_shortcut_is_what_is_left(model, upper):
    images, y, held = halves(300, 0.95, 1)
    found = masked_sensitivity(model, images, upper, y, held, **QUICK)
    assert found.leaks_ is True
    assert "AUC" in found.reason_
    left = row(found, "object masked")
    assert found.accuracy[left] > 0.9
    assert found.auc_low[left] > 0.9
    assert found.accuracy[row(found, "object masked", "False")] < 0.1  # the shortcut is all it has
    assert found.count[row(found, "as given", "True")] == held.sum()


def test_without_a_shortcut_nothing_is_left(model, upper):
    images, y, _ = halves(300, 0.5, 2)
    found = masked_sensitivity(model, images, upper, y, **QUICK)
    assert found.leaks_ is not True
    assert 0.4 < found.auc[row(found, "object masked")] < 0.6
    alone = row(found, "object alone")
    assert found.auc_low[alone] > found.auc_high[row(found, "as given")]  # the shortcut did harm


def test_a_callable_is_the_array(model, upper):
    images, y, _ = halves(300, 0.95, 1)
    one = masked_sensitivity(model, images, upper, y, **QUICK)
    other = masked_sensitivity(model, images, lambda image: upper[0], y, **QUICK)
    assert other.accuracy.tolist() == one.accuracy.tolist()


def test_the_grid_shows_where(model):
    images, y, held = halves(300, 0.95, 1)
    found = masked_sensitivity(model, images, "grid", y, held, grid=(2, 1), **QUICK)
    drops = found.drop_map()
    assert drops.shape == (2, 1)
    assert drops[1, 0] > drops[0, 0]
    assert found.leaks_ is None
    assert "window 1, 0 masked" in found.reason_
    # Where the shortcut misleads, it does better without it.
    assert found.drop_map("False")[1, 0] < 0
    with pytest.raises(ValueError, match="there are"):
        found.drop_map("nobody")


def test_windows_that_say_nothing_are_said():
    images, y, _ = halves(40, 0.5, 0)
    found = masked_sensitivity(Watching(), images, "grid", y, grid=(2, 2), **QUICK)
    assert "no accuracy that can be told" in found.reason_


def test_auc_is_that_of_scikit_learn():
    rng = np.random.RandomState(0)
    y, proba = rng.randint(3, size=90), rng.dirichlet(np.ones(3), size=90).round(1)
    proba /= proba.sum(axis=1, keepdims=True)
    assert auc(proba, y) == pytest.approx(roc_auc_score(y, proba, multi_class="ovr"))
    assert auc(proba[:, :2], y % 2) == pytest.approx(
        (roc_auc_score(y % 2, proba[:, 1]) + roc_auc_score(1 - y % 2, proba[:, 0])) / 2
    )


def test_intervals_cover_as_they_say():
    rng = np.random.RandomState(0)
    inside = []
    for _ in range(25):
        y = np.arange(80) % 2
        z = rng.normal(size=80) + y  # AUC 0.7602
        low, high = auc_interval(np.column_stack([-z, z]), y, (5, 95), 100, rng)[1:]
        inside.append(low <= 0.7602 <= high)
    assert 0.72 < np.mean(inside) <= 1
    drop, low, high = drop_interval(np.ones(50, bool), np.arange(50) < 40, (2.5, 97.5), 500, rng)
    assert drop == pytest.approx(0.2)
    assert 0.05 < low < 0.15
    assert 0.25 < high < 0.35


@pytest.mark.parametrize(
    ("masks", "change", "message"),
    [
        (np.ones((3, 16, 8), bool), {}, "inconsistent"),
        (np.ones((300, 8, 8), bool), {}, r"mask of image 0 .*\(16, 8\)"),
        (np.ones((300, 16, 8)), {}, "boolean"),
        ("cells", {}, '"grid"'),
        ("grid", {"grid": (0, 2)}, "1 or more"),
        ("grid", {"fill": "black"}, "fill"),
        ("grid", {"fill": (1, 2)}, "fill"),
        ("grid", {"groups": [1, 2]}, "groups has 2"),
    ],
)
def test_what_does_not_fit_is_refused(model, masks, change, message):
    images, y, _ = halves(300, 0.5, 0)
    with pytest.raises(ValueError, match=message):
        masked_sensitivity(model, images, masks, y, **{**QUICK, **change})


def test_an_unfitted_classifier_is_refused():
    with pytest.raises(ValueError, match="classes_"):
        masked_sensitivity(LogisticRegression(), np.zeros((2, 4, 4, 3), np.uint8), "grid", [0, 1])


def test_the_table_and_the_displays(model, upper):
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
    matplotlib.use("agg")
    images, y, held = halves(300, 0.95, 1)
    display = MaskedSensitivityDisplay.from_estimator(model, images, upper, y, held, **QUICK)
    table = display.sensitivity.to_frame()
    assert len(table) == 9
    bars = [bar.get_width() for bar in display.bars_["all"]]
    assert bars == table[table.group == "all"].accuracy.tolist()
    display = MaskedSensitivityDisplay.from_estimator(
        model, images, "grid", y, grid=(2, 1), **QUICK
    )
    assert display.image_.get_array().tolist() == display.sensitivity.drop_map().tolist()
    matplotlib.pyplot.close("all")
