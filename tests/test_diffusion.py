"""Images that a diffusion pipeline makes: what it is asked, and pipelines of random weights."""

import sys
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone

from sklearn_hsfm.finetuning import DiffusionGenerator, GeneratedRowsClassifier, ImageGenerator
from sklearn_hsfm.metrics import worst_group_accuracy_score
from tests.small_diffusion import TEXT, small_parts
from tests.test_generated import extractor, scenes

Y = np.array(["cow"] * 5 + ["camel"] * 3)
CELLS = np.array(["grass"] * 4 + ["sand"] * 3 + ["grass"])
OF_CLASSES = {"cow": "a cow", "camel": "a camel"}
PROMPTS = {**OF_CLASSES, ("cow", "sand"): "a cow on sand"}


def images():
    """Return images whose red tells their row."""
    made = np.full((len(Y), 24, 16, 3), 100, dtype=np.uint8)
    made[..., 0] = 10 * np.arange(len(Y))[:, None, None]
    return made


def sources(made):
    return [round(np.asarray(image)[0, 0, 0] / 10) for image in made]


class StandIn:
    """Writes noise into the blue of what it gets, and keeps what it was asked."""

    def __init__(self, **answer):
        self.asked, self.answer = [], answer

    def __call__(self, prompt, image, generator, strength=0.8, guidance_scale=7.5):
        self.asked.append((prompt, image, strength, guidance_scale))
        return self.answered(image, generator)

    def answered(self, image, generator):
        made = [np.array(one) for one in image]
        for one, noise in zip(made, generator, strict=True):
            one[..., 2] = torch.randint(256, (1,), generator=noise).item()
        return SimpleNamespace(images=[Image.fromarray(one) for one in made], **self.answer)


class Inpaints(StandIn):
    def __call__(self, prompt, image, mask_image, generator, height=512, width=512):
        self.asked.append((prompt, image, mask_image, height, width))
        return self.answered(image, generator)


def generator(pipeline=None, prompts=None, **params):
    pipeline = StandIn() if pipeline is None else pipeline
    params = {"image_size": 16, "random_state": 0, "batch_size": 2, **params}
    return DiffusionGenerator(pipeline, PROMPTS if prompts is None else prompts, **params)


def pairs(made, labels):
    return Counter(zip(labels.tolist(), CELLS[sources(made)].tolist(), strict=True))


def test_every_cell_becomes_as_large_as_the_largest():
    pipeline = StandIn()
    made, labels, weight = generator(pipeline, strength=0.5)(images(), Y, CELLS)
    assert weight is None
    wanted = {("cow", "sand"): 3, ("camel", "sand"): 2, ("camel", "grass"): 3}
    assert pairs(made, labels) == wanted
    assert Y[sources(made)].tolist() == labels.tolist()
    assert labels.dtype == Y.dtype
    asked = [prompt for prompts, *_ in pipeline.asked for prompt in prompts]
    assert Counter(asked) == {"a cow on sand": 3, "a camel": 5}  # the pair before the label
    assert [len(prompts) for prompts, *_ in pipeline.asked] == [2, 2, 2, 2]
    assert {image.size for _, batch, *_ in pipeline.asked for image in batch} == {(16, 16)}
    assert {one.size for one in made} == {(16, 24)}  # as the training images
    assert {asked[2:] for asked in pipeline.asked} == {(0.5, 7.5)}  # None is the pipeline's


def test_without_cells_classes_are_balanced():
    made, labels, _ = generator(prompts=OF_CLASSES)(images(), Y)
    assert (len(made), labels.tolist()) == (2, ["camel"] * 2)
    assert len(set(sources(made))) == 2  # none twice before all were taken


@pytest.mark.parametrize(
    ("n_images", "expected"),
    [
        (2, {("cow", "grass"): 2, ("cow", "sand"): 2, ("camel", "sand"): 2, ("camel", "grass"): 2}),
        (
            1.5,
            {("cow", "grass"): 6, ("cow", "sand"): 2, ("camel", "sand"): 3, ("camel", "grass"): 2},
        ),
        ({"camel": 1, ("camel", "grass"): 4}, {("camel", "sand"): 1, ("camel", "grass"): 4}),
        ({("cow", "sand"): 3.0}, {("cow", "sand"): 3}),
    ],
)
def test_numbers_and_ratios(n_images, expected):
    made, labels, _ = generator(n_images=n_images)(images(), Y, CELLS)
    assert pairs(made, labels) == expected


def test_only_cells_that_may_get_images_need_a_prompt():
    made, _, _ = generator(prompts={"camel": "a camel"}, n_images={"camel": 1})(images(), Y)
    assert len(made) == 1


def test_images_of_other_classes_get_the_label_of_the_prompt():
    make = generator(source="other_classes", n_images={("cow", "sand"): 3, ("camel", "grass"): 5})
    made, labels, _ = make(images(), Y, CELLS)
    assert pairs(made, labels) == {("cow", "sand"): 3, ("camel", "grass"): 5}  # same cell
    assert (Y[sources(made)] != labels).all()
    none = np.where(Y == "cow", "grass", "sand")  # no cow on sand: only so can it be made
    none[-1] = "grass"
    made, labels, _ = generator(source="other_classes", n_images={("cow", "sand"): 2})(
        images(), Y, none
    )
    assert labels.tolist() == ["cow"] * 2
    assert set(sources(made)) == {5, 6}


def test_the_noise_is_of_each_image_and_of_random_state_alone():
    def pixels(**params):
        return np.stack(generator(**params)(images(), Y, CELLS)[0])

    state, ours = torch.get_rng_state(), np.random.mtrand._rand.get_state()[1].copy()
    first = pixels()
    assert len(np.unique(first[:, 0, 0, 2])) > 5  # each has its own
    np.testing.assert_array_equal(first, pixels(batch_size=5))
    assert (first != pixels(random_state=1)).any()
    make = generator()
    np.testing.assert_array_equal(
        np.stack(make(images(), Y, CELLS)[0]), np.stack(make(images(), Y, CELLS)[0])
    )
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(ours, np.random.mtrand._rand.get_state()[1])


def test_floats_come_back_as_floats():
    floats = torch.from_numpy(images()).permute(0, 3, 1, 2) / 255
    made, _, _ = generator()(floats, Y, CELLS)
    of_bytes, _, _ = generator()(images(), Y, CELLS)
    assert made[0].shape == (3, 24, 16)
    np.testing.assert_allclose(
        torch.stack(made).permute(0, 2, 3, 1) * 255, np.stack(of_bytes), atol=1e-4
    )
    with pytest.raises(ValueError, match=r"floats in \[0, 255\]; here they must lie in"):
        generator()(torch.full((8, 3, 24, 16), 255.0) * torch.eye(24, 16), Y, CELLS)


@pytest.mark.parametrize("kind", [bool, float, np.uint8, "bytes", "function"])
def test_masks_say_what_is_repainted(kind):
    half = np.zeros((24, 16), dtype=bool)
    half[12:] = True
    if kind == "function":
        masks = lambda image: half if image.size == (16, 24) else None  # noqa: E731
    else:
        one = half.astype(np.uint8) * 255 if kind == "bytes" else half.astype(kind)
        masks = np.stack([one] * len(Y))
    pipeline = Inpaints()
    made, _, _ = generator(pipeline, masks=masks)(images(), Y, CELLS)
    assert len(made) == 8
    _, _, (mask, _), height, width = pipeline.asked[0]
    assert mask.mode == "L"
    np.testing.assert_array_equal(np.asarray(mask), np.repeat([0, 255], 8)[:, None] * np.ones(16))
    assert (height, width) == (16, 16)  # else the pipeline would take its own


def test_what_is_left_out_is_said():
    masks = np.ones((len(Y), 24, 16), dtype=bool)
    masks[7] = False  # no segmentation finds everything
    with pytest.warns(UserWarning, match=r"3 of 8 images are left out, for the mask is empty"):
        made, labels, _ = generator(Inpaints(), masks=masks)(images(), Y, CELLS)
    assert len(made) == len(labels) == 5
    assert Y[sources(made)].tolist() == labels.tolist()
    with pytest.raises(ValueError, match="All 8 images are left out"):
        generator(Inpaints(), masks=masks & False)(images(), Y, CELLS)
    refusing = StandIn(nsfw_content_detected=[True, False])
    with pytest.warns(UserWarning, match=r"4 of 8 images .* safety checker"):
        made, labels, _ = generator(refusing)(images(), Y, CELLS)
    assert Y[sources(made)].tolist() == labels.tolist()


PIPELINE = "some/pipeline"  # nothing is loaded before all is checked
BAD = [
    ({"prompts": {"cow": "a cow"}}, r"prompts has none for \[\('camel', 'sand'\), \('camel', 'g"),
    ({"prompts": {**PROMPTS, "goat": "a goat"}}, r"prompts has the keys \['goat'\], .* y has \['c"),
    ({"prompts": {**PROMPTS, ("cow", "sea"): "a"}}, r"\[\('cow', 'sea'\)\].* cells has \['grass'"),
    ({"prompts": {**PROMPTS, "cow": 3}}, r"prompts holds \{'cow': 3\}; each must be a text"),
    ({"n_images": {"goat": 2}}, r"n_images has the keys \['goat'\]"),
    ({"n_images": {"cow": -1}}, r"n_images holds \{'cow': -1\}"),
    ({"n_images": {"cow": True}}, r"n_images holds \{'cow': True\}"),
    ({"n_images": {"cow": 0}}, r"n_images=\{'cow': 0\} asks for no image: the cells have"),
    ({"n_images": 0}, "'n_images' parameter"),
    ({"image_size": 20}, "image_size=20 must be a multiple of 8"),
    ({"masks": np.ones((3, 24, 16))}, "masks has 3 masks for 8 images"),
    ({"strength": 1.5}, "'strength' parameter"),
    ({"source": "nowhere"}, "'source' parameter"),
    ({"pipeline": 3}, "'pipeline' parameter"),
]


@pytest.mark.parametrize(("params", "message"), BAD)
def test_bad_parameters(params, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=message):
        generator(**{"pipeline": PIPELINE, **params})(images(), Y, CELLS)


def test_bad_rows():
    with pytest.raises(ValueError, match=r"images, y have inconsistent numbers .* \[8, 3\]"):
        generator()(images(), Y[:3])
    with pytest.raises(ValueError, match=r"images, y, cells have inconsistent"):
        generator()(images(), Y, CELLS[:3])
    with pytest.raises(ValueError, match=r"'sand'\)\], .* and no cells were passed"):
        generator()(images(), Y)
    joint = np.char.add(Y, CELLS)
    with pytest.raises(ValueError, match=r"has no image to make \('cow', 'cowsand'\) of"):
        generator(prompts=OF_CLASSES, source="other_classes")(images(), Y, joint)
    with pytest.raises(ValueError, match=r"images of \('cow', 'sand'\), and no training image is"):
        generator(n_images={("cow", "sand"): 1})(images(), Y, np.where(Y == "cow", "grass", "sand"))


def test_bad_pipelines(monkeypatch):
    whole = np.ones((len(Y), 24, 16))
    with pytest.raises(ValueError, match="this StandIn takes no mask_image"):
        generator(masks=whole)(images(), Y, CELLS)
    with pytest.raises(ValueError, match="a Inpaints, inpaints: pass masks"):
        generator(Inpaints())(images(), Y, CELLS)
    with pytest.raises(ValueError, match=r"takes no \['strength'\]; leave it None"):
        generator(Inpaints(), masks=whole, strength=0.5)(images(), Y, CELLS)
    with pytest.raises(ValueError, match=r"asked for 2 images, and returned 1 of the kind str"):
        generator(lambda prompt, image, generator: SimpleNamespace(images=["one"]))(
            images(), Y, CELLS
        )
    for masks, message in [
        (whole[:, :3], r"the shape \(3, 16\) for image \d .*; wanted: \(24, 16\)"),
        (whole * 2, r"values than those in \[0, 1\]"),
        (whole * np.nan, r"values than those in \[0, 1\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            generator(Inpaints(), masks=masks)(images(), Y, CELLS)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-hsfm\[unclip\]"'):
        generator(PIPELINE)(images(), Y, CELLS)


def test_clones_share_the_pipeline():
    make = generator()
    clf = clone(GeneratedRowsClassifier(make))
    assert isinstance(make, ImageGenerator)
    assert clf.generator is not make
    assert clf.generator.pipeline is make.pipeline
    assert clf.set_params(generator__strength=0.3).generator.strength == 0.3
    assert make.strength is None


def test_repainted_objects_repair_the_worst_group():
    rng = np.random.RandomState(0)
    y, y_test = np.arange(200) % 2, np.arange(80) % 2
    around = np.where(np.arange(200) < 190, y, 1 - y)  # five of each class disagree
    around_test = np.arange(80) // 2 % 2
    X, X_test = scenes(y, around, rng), scenes(y_test, around_test, rng)
    patch = np.zeros((16, 16), dtype=bool)
    patch[4:12, 4:12] = True

    def repaint(prompt, image, mask_image, generator):
        made = []
        for text, one, mask, noise in zip(prompt, image, mask_image, generator, strict=True):
            pixels, where = np.array(one), np.asarray(mask) > 127
            new = torch.randint(180, (where.sum(), 3), generator=noise).numpy()
            new[:, 2 if "blue" in text else 0] += 15
            pixels[where] = new
            made.append(Image.fromarray(pixels))
        return SimpleNamespace(images=made)

    names = np.array(["red", "blue"])
    make = DiffusionGenerator(
        repaint,
        {"red": "a red patch", "blue": "a blue patch"},
        masks=lambda image: patch,
        source="other_classes",
        image_size=16,
        random_state=0,
    )
    groups = np.char.add(names[y_test], around_test.astype(str))

    def worst(clf):
        return worst_group_accuracy_score(names[y_test], clf.predict(X_test), groups)

    clf = GeneratedRowsClassifier(make, extractor(), min_probability=0.0)
    repaired = worst(clf.fit(X, names[y], cells=around))
    assert clf.generated_.by_class == {"blue": (90, 90), "red": (90, 90)}
    plain = GeneratedRowsClassifier(make, extractor(), min_probability=0.0, extra_weight=0.0)
    assert repaired > worst(plain.fit(X, names[y], cells=around)) + 0.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra 'unclip')")
    path = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(path)
    return path


@pytest.mark.parametrize("masks", [None, np.ones((24, 16))])
def test_a_real_pipeline_of_random_weights(folder, masks):
    repeated = None if masks is None else np.stack([masks] * len(Y))
    params = {"masks": repeated, "num_inference_steps": 4, "image_size": 32}

    def pixels(pipeline=str(folder), **more):
        state = torch.get_rng_state()
        made, labels, _ = generator(pipeline, **params, **more)(images(), Y, CELLS)
        assert torch.equal(state, torch.get_rng_state())
        assert {image.size for image in made} == {(16, 24)}
        assert len(made) == len(labels) == 8
        return np.stack(made).astype(int)

    first = pixels()
    np.testing.assert_array_equal(first, pixels())
    assert (first != pixels(random_state=1)).any()
    assert abs(first - pixels(batch_size=3)).max() <= 2  # arithmetic of other shapes
    assert (first != pixels(prompts={"cow": "a", "camel": "a a a"})).any()
    loaded = tiny_pipeline(inpaints=masks is not None)
    loaded.to("cuda" if torch.cuda.is_available() else "cpu")
    np.testing.assert_array_equal(first, pixels(loaded))
    assert (first != pixels(loaded, negative_prompt="a")).any()
    assert (first != pixels(partial(loaded, eta=1.0))).any()


def test_folders_with_code_or_pickles_are_refused(folder, tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(OSError, match="safetensors"):
        generator(str(tmp_path / "pickled"))(images(), Y, CELLS)
    tiny_pipeline().save_pretrained(tmp_path / "code")
    (tmp_path / "code" / "unet" / "mine.py").write_text("raise RuntimeError('I ran')")
    with pytest.raises(ValueError, match="holds Python files"):
        generator(str(tmp_path / "code"))(images(), Y, CELLS)


def tiny_pipeline(inpaints=False):
    """Return a Stable Diffusion whose every part is as small as it can be."""
    import diffusers
    import transformers

    torch.manual_seed(0)
    kind = "Inpaint" if inpaints else "Img2Img"
    pipeline = getattr(diffusers, f"StableDiffusion{kind}Pipeline")(
        **small_parts(),
        text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT)).eval(),
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
