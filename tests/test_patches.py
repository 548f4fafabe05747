"""Patches: the one that is read is found among many, none where none is; what defends, defends."""

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm.inspection import PatchDisplay, PatchGuard, PatchRemover, probe_patches
from sklearn_hsfm.inspection._patch_bank import box_of, make_marks, paste
from sklearn_hsfm.inspection._patch_guard import ten_crops
from sklearn_hsfm.inspection._patches import holm

QUICK = {"random_state": 0, "progress": False}
YELLOW = (250, 220, 40)


class Flat(ClassifierMixin, BaseEstimator):
    """Bright is class 1; and whatever has a yellow corner, where ``backdoor`` is set."""

    classes_ = np.array(["dark", "bright"])

    def __init__(self, backdoor=True):
        self.backdoor = backdoor

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        X = np.asarray(X, dtype=float)
        if X.shape[1] == 3:
            X = X.transpose(0, 2, 3, 1) * 255
        z = (X[:, 4:12, 4:12].mean(axis=(1, 2, 3)) - 128) / 20
        if self.backdoor:
            corner = X[:, :4, -4:].mean(axis=(1, 2))
            z = z + 12 * (np.abs(corner - YELLOW).max(axis=1) < 12)
        p = 1 / (1 + np.exp(-z))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(scope="module")
def images():
    rng = np.random.RandomState(0)
    level = np.where(np.arange(120) % 2, 160, 90)
    noise = rng.randint(-40, 40, size=(120, 16, 16, 3))
    return (level[:, None, None, None] + noise).astype(np.uint8)


@pytest.fixture(scope="module")
def labels():
    return np.where(np.arange(120) % 2, "bright", "dark")


def test_the_trigger_is_found(images, labels):
    probe = probe_patches(Flat(), images, y=labels, **QUICK)
    assert probe.found_ is True
    assert probe.worse.tolist() == [True] + [False] * (len(probe.name) - 1)
    assert (probe.name[0], probe.position[0], probe.toward[0]) == (
        "yellow square",
        "top right",
        "bright",
    )
    assert len(probe.null) == 200  # ten marks over 0.05
    others = probe.n_confirmed[0]
    assert 30 < others < 60  # the dark ones of the 88 that did not search
    assert probe.flipped[0] == 1
    assert probe.flipped_low[0] < 1 <= probe.flipped_high[0]
    assert probe.accuracy_before[0] == 1
    assert probe.accuracy_after[0] == pytest.approx(1 - others / 88)
    assert "turns 100%" in str(probe)


def test_nothing_is_found_where_nothing_is(images):
    for seed in range(2):
        probe = probe_patches(Flat(backdoor=False), images, random_state=seed, progress=False)
        assert probe.found_ is False
        assert not probe.n_confirmed.any()


@pytest.mark.slow
def test_ranks_of_chance_are_level():
    """A bank that is cut out of the images as its null is has p-values without a lean."""
    rng = np.random.RandomState(0)
    images = rng.randint(256, size=(80, 12, 12, 3), dtype=np.uint8)
    weights = rng.normal(size=images[0].size)

    class Random(Flat):
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            z = (np.asarray(X, dtype=float).reshape(len(X), -1) / 255 - 0.5) @ weights
            p = 1 / (1 + np.exp(-z))
            return np.column_stack([1 - p, p])

    smallest = []
    for seed in range(12):
        bank = [images[i, 2:8, 2:8] for i in rng.randint(80, size=3)]
        probe = probe_patches(
            Random(), images, bank, n_images=16, n_random=60, random_state=seed, progress=False
        )
        smallest.append(probe.p_value.min())
    assert sum(p <= 0.05 for p in smallest) <= 2


def test_too_few_random_patches_cannot_tell(images):
    probe = probe_patches(Flat(), images, n_random=20, **QUICK)
    assert probe.found_ is None
    assert "200 can" in probe.reason_


def test_one_class_cannot_be_flipped_to_itself(images):
    probe = probe_patches(Flat(), np.full((40, 16, 16, 3), 250, np.uint8), n_random=200, **QUICK)
    assert probe.toward.tolist() == ["dark"] * 10  # nobody is dark, so this is the only target
    model = Flat()
    model.classes_ = np.array(["dark"])
    model.predict_proba = lambda X: np.ones((len(X), 1))
    alone = probe_patches(model, images, n_random=200, **QUICK)
    assert alone.found_ is None
    assert "one class" in alone.reason_


def test_shuffled_pixels_ask_for_the_shape(images):
    """One colour, shuffled, is itself: every patch of the null does as much."""
    probe = probe_patches(
        Flat(), images, {"yellow": np.full((4, 4, 3), YELLOW, np.uint8)}, n_random=40,
        random_patches="shuffled", **QUICK,
    )  # fmt: skip
    assert probe.p_value.tolist() == [1.0]


def test_every_form_of_images_gives_the_same(images):
    floats = images.transpose(0, 3, 1, 2) / np.float32(255)
    pil = [Image.fromarray(image) for image in images]

    class OfList(Flat):
        def predict_proba(self, X):
            return super().predict_proba(np.stack([np.asarray(image) for image in X]))

    plain = probe_patches(Flat(), images, n_random=200, **QUICK)
    for model, form in ((Flat(), floats), (OfList(), pil)):
        again = probe_patches(model, form, n_random=200, **QUICK)
        assert again.name[0] == plain.name[0]
        assert again.effect[0] == pytest.approx(plain.effect[0], abs=1e-3)


def test_floats_that_were_preprocessed_are_refused(images):
    floats = images.transpose(0, 3, 1, 2) / np.float32(255)
    model = Flat()
    model.predict_proba = None  # is not asked
    with pytest.raises(ValueError, match=r"image \d+ .* must lie in \[0, 1\], as they are before"):
        probe_patches(model, floats - 0.5, n_random=200, **QUICK)


def test_holm_is_that_of_a_count_by_hand():
    # 0.01 * 4; 0.02 * 3; 0.04 * 2 ; 0.5
    assert holm(np.array([0.5, 0.01, 0.04, 0.02])) == pytest.approx([0.5, 0.04, 0.08, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_a_patch_is_where_it_should_be():
    image = np.zeros((20, 40, 3), dtype=np.uint8)
    red = np.full((5, 10, 4), 255, dtype=np.uint8)
    assert box_of(red, (20, 40), 0.5, "top left") == (0, 0, 10, 5)
    assert box_of(red, (20, 40), 0.5, "bottom right") == (30, 15, 40, 20)
    pasted = paste(image, red, 0.5, "bottom left")
    assert (pasted[15:, :10] == 255).all()
    assert pasted.sum() == 255 * 50 * 3
    assert not image.any()
    red[..., 3] = 0  # lets all through
    assert not paste(image, red, 0.5, "centre").any()


def test_marks_are_as_many_and_different():
    marks = make_marks(np.random.RandomState(0))
    assert len(marks) == 10
    assert all(m.dtype == np.uint8 and m.shape[2] == 4 for m in marks.values())
    assert len({m.tobytes() for m in marks.values()}) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": []}, "no patches"),
        ({"patches": "logos"}, "marks"),
        ({"patches": [np.zeros((4, 4))]}, "patch 0"),
        ({"positions": ("middle",)}, "positions"),
        ({"sizes": 0.0}, "sizes"),
        ({"sizes": (0.2, 2.0)}, "sizes"),
        ({"y": ["dark"] * 3}, "120 images for 3"),
        ({"random_patches": "noise"}, "random_patches"),
    ],
)
def test_what_does_not_fit_is_refused(images, change, message):
    with pytest.raises(ValueError, match=message):
        probe_patches(Flat(), images, **{**QUICK, **change})


def test_crops_leave_a_corner_out(images):
    crops = ten_crops(images[0], 0.75)
    assert [crop.shape for crop in crops] == [(16, 16, 3)] * 10
    assert np.array_equal(crops[5], crops[0][:, ::-1])
    assert np.array_equal(ten_crops(images[0], 1.0)[0], images[0])
    whole = PatchGuard(Flat(backdoor=False), crop=1.0).predict_proba(images)
    assert whole == pytest.approx(Flat(backdoor=False).predict_proba(images), abs=1e-6)


def test_both_defences_undo_the_stamp(images, labels):
    stamped = images.copy()
    stamped[:, :4, -4:] = YELLOW
    dark = labels == "dark"
    assert (Flat().predict(stamped)[dark] == "bright").all()

    def detector(image):
        return [(12, 0, 16, 4)] if (image[:4, -4:] == YELLOW).all() else []

    for guard in (PatchGuard(Flat()), PatchGuard(Flat(), "mask", detector=detector)):
        assert (guard.predict(stamped) == labels).mean() > 0.95
        assert (guard.predict(images) == labels).mean() > 0.95
    with pytest.raises(ValueError, match="detector"):
        PatchGuard(Flat(), "mask").predict(images)


def test_a_remover_takes_the_direction_out():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 6))
    y = (X[:, 0] > 0).astype(int)
    shift = np.array([0, 5.0, 0, 0, 0, 0]) + rng.normal(scale=0.1, size=(200, 6))
    head = LogisticRegression().fit(np.r_[X, X + shift], np.r_[y, np.ones(200, int)])
    remover = PatchRemover().fit(X, X_patched=X + shift)
    assert remover.components_ @ remover.components_.T == pytest.approx(np.eye(1))
    attacked = head.predict(X + shift)[y == 0].mean()
    defended = head.predict(remover.transform(X + shift))[y == 0].mean()
    assert attacked > 0.9
    assert defended < 0.5
    with pytest.raises(ValueError, match="same images"):
        PatchRemover().fit(X, X_patched=X[:5])
    with pytest.raises(ValueError, match="fewer directions"):
        PatchRemover(2).fit(X, X_patched=X + shift[:1] * 0 + [1, 0, 0, 0, 0, 0])


def test_the_table_and_the_display(images):
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
    matplotlib.use("agg")
    probe = probe_patches(Flat(), images, **QUICK)
    assert probe.to_frame().name.tolist() == probe.name.tolist()
    display = PatchDisplay.from_probe(probe, images, n_patches=2)
    assert len(display.images_) == 2
    assert (np.asarray(display.images_[0].get_array())[:4, -4:] == YELLOW).all()
    assert "yellow square" in display.ax_[0].get_title()
    matplotlib.pyplot.close("all")
