"""Vision networks of transformers: which features, which weights, which preprocessing."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_hsfm.extraction import FeatureCache, FeatureExtractor
from tests.evil_pickle import Evil
from tests.small_vision import NETWORKS, OF_NETWORK, VIT, saved, transformers


@pytest.fixture(scope="module")
def pixels():
    return np.random.RandomState(0).randint(256, size=(3, 40, 48, 3), dtype=np.uint8)


def exact(folder, **params):
    return FeatureExtractor(f"hf:{folder}", precision="float32", device="cpu", **params)


def prepared(pixels):
    """Return what the processor above does to images, by torch alone."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    images = torch.nn.functional.interpolate(
        images, (32, 32), mode="bilinear", antialias=True, align_corners=False
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    return (images.round() / 255 - mean) / std


@pytest.mark.parametrize("name", NETWORKS)
def test_the_features_of_a_network(name, pixels, tmp_path):
    kind, config, options, width, where = NETWORKS[name]
    own = saved(tmp_path, kind, config, options)
    extractor = exact(tmp_path)
    features = extractor.fit_transform(pixels)
    assert features.shape == (3, width)
    assert extractor.layer_ == where
    X = torch.stack([extractor.preprocess_(Image.fromarray(p)) for p in pixels])
    with torch.no_grad():
        if where.startswith("input"):
            head = own.get_submodule(where.removeprefix("input of "))
            entered = []
            head.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
            own.get_image_features(X) if hasattr(own, "get_image_features") else own(X)
            expected = entered[0].reshape(3, -1)
        else:
            tower = own.vision_model if hasattr(own, "vision_model") else own
            expected = tower(X).pooler_output.reshape(3, -1)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_output_is_what_the_network_is_for(pixels, tmp_path):
    kind, config, options, *_ = NETWORKS["CLIP"]
    saved(tmp_path, kind, config, options)
    assert exact(tmp_path, layer="output").fit(pixels).n_features_out_ == 16
    tokens = exact(tmp_path, layer="vision_model.encoder.layers.1").fit(pixels)
    assert tokens.layer_ == "output of vision_model.encoder.layers.1, mean over axes (1,)"


def test_a_pooler_that_the_file_lacks_is_not_taken(pixels, tmp_path):
    """As of DINO: its features are what the library's own classifier puts a head on."""
    torch.manual_seed(0)
    network = transformers.ViTModel(transformers.ViTConfig(**VIT), add_pooling_layer=False).eval()
    network.save_pretrained(tmp_path)
    X = torch.randn(3, 3, 32, 32)
    extractor = exact(tmp_path, preprocess=None)
    with torch.no_grad():
        expected = network(X).last_hidden_state[:, 0]
    np.testing.assert_allclose(extractor.fit_transform(X), expected, atol=1e-5)
    assert extractor.layer_ == "input of classifier"
    with pytest.raises(ValueError, match=r"no 'classifier' of this shape.* Pass layer='pool'"):
        exact(tmp_path, preprocess=None, layer="output").fit(X)


def test_weights_that_the_file_lacks(pixels, tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path, "Dinov2Model", "Dinov2Config", VIT)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"the file lacks layernorm.weight, which would be random"):
        exact(tmp_path).fit(pixels)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("ViTMSNModel", "ViTMSNConfig", r"returns \(2, 17, 32\). Pass layer='output'"),
        ("IJepaModel", "IJepaConfig", r"returns \(2, 16, 32\). Pass layer='output'"),
        ("ViTMAEModel", "ViTMAEConfig", r"layer='pool' is what enters the last linear layer"),
    ],
)
def test_encoders_that_document_no_vector_are_refused(kind, config, message, pixels, tmp_path):
    saved(tmp_path, kind, config, VIT)
    with pytest.raises(ValueError, match=message):
        exact(tmp_path).fit(pixels)


@pytest.mark.skipif(
    "siglip2_vision_model" not in transformers.CONFIG_MAPPING,
    reason="this transformers does not load Siglip2's vision tower by itself",
)
def test_inputs_of_another_kind_are_refused(pixels, tmp_path):
    options = {key: value for key, value in VIT.items() if key != "image_size"}
    saved(tmp_path, "Siglip2VisionModel", "Siglip2VisionConfig", {**options, "num_patches": 16})
    with pytest.raises(ValueError, match="The backbone fails on an image"):
        exact(tmp_path).fit(pixels)
    transformers.Siglip2ImageProcessor(patch_size=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"gives pixel_values.* and not one image of three chan"):
        exact(tmp_path).fit(pixels)


# Preprocessing.


def test_preprocessing_is_that_of_the_folder(pixels, tmp_path):
    saved(tmp_path, "ViTModel", "ViTConfig", VIT)
    plain = exact(tmp_path).fit(pixels)
    features = plain.transform(pixels)
    ready = prepared(pixels)
    np.testing.assert_allclose(
        exact(tmp_path, preprocess=None).fit_transform(ready), features, atol=0.02
    )
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(plain.transform(floats), features, atol=0.02)
    np.testing.assert_allclose(
        plain.transform([Image.fromarray(p) for p in pixels]), features, atol=1e-6
    )
    with pytest.raises(ValueError, match=r"floats lie in \[0, 1\].* preprocess=None"):
        plain.transform(ready)
    os.remove(tmp_path / "preprocessor_config.json")
    with pytest.raises(ValueError, match="does not know what a ViTModel was trained with"):
        exact(tmp_path).fit(pixels)


# Weights.


def test_weights_from_elsewhere(pixels, tmp_path):
    kind, config, options, *_ = NETWORKS["ViT, classifier"]
    own = saved(tmp_path, kind, config, options)
    expected = exact(tmp_path).fit_transform(pixels)
    torch.save(own.state_dict(), tmp_path / "pytorch_model.bin")
    os.remove(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"has pickled weights.*weights='.*pytorch_model.bin' rea"):
        exact(tmp_path).fit(pixels)
    given = exact(tmp_path, weights=tmp_path / "pytorch_model.bin")
    np.testing.assert_allclose(given.fit_transform(pixels), expected, atol=1e-6)
    random = exact(tmp_path, weights=None)
    first = random.fit_transform(pixels)
    assert np.array_equal(first, random.fit_transform(pixels))
    assert np.abs(first - expected).max() > 0.1
    encoder = own.vit.state_dict()
    torch.save(encoder, tmp_path / "encoder.bin")
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["architectures"] = ["ViTModel"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    without_pooler = exact(tmp_path, weights=tmp_path / "encoder.bin")
    np.testing.assert_allclose(without_pooler.fit_transform(pixels), expected, atol=1e-6)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_are_computed_in_float32(half, pixels, tmp_path):
    saved(tmp_path, "ViTModel", "ViTConfig", VIT).to(half).save_pretrained(tmp_path)
    extractor = exact(tmp_path).fit(pixels)
    assert {p.dtype for p in extractor._backbone.network.parameters()} == {torch.float32}


# Nothing that comes with weights is run.


def test_code_in_a_folder_is_not_run(pixels, tmp_path):
    saved(tmp_path, "ViTModel", "ViTConfig", VIT)
    ran = tmp_path / "ran"
    (tmp_path / "modeling_own.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    settings = json.loads((tmp_path / "config.json").read_text())
    of_own = {"AutoConfig": "modeling_own.C", "AutoModel": "modeling_own.M"}
    settings |= {"auto_map": of_own, "attn_implementation": "someone/kernel"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    own = json.loads((tmp_path / "preprocessor_config.json").read_text())
    own |= {"auto_map": {"AutoImageProcessor": "modeling_own.P"}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(own))
    network = exact(tmp_path).fit(pixels)._backbone.network
    assert type(network).__module__ == "transformers.models.vit.modeling_vit"
    assert network.config._attn_implementation in ("sdpa", "eager")
    settings["model_type"] = "own"
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="could not be loaded"):
        exact(tmp_path).fit(pixels)
    assert not ran.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_a_pickle_is_not_run(pixels, tmp_path):
    saved(tmp_path, "ViTModel", "ViTConfig", VIT)
    os.remove(tmp_path / "model.safetensors")
    ran = tmp_path / "ran"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(ran)))
    for weights in ("DEFAULT", tmp_path / "pytorch_model.bin"):
        with pytest.raises(ValueError, match=r"pickled weights|is no file of torch's|holds Python"):
            exact(tmp_path, weights=weights).fit(pixels)
    assert not ran.exists()


def test_names_that_are_none(pixels, tmp_path, monkeypatch):
    for name in (tmp_path / "absent", "./absent", ""):
        with pytest.raises(ValueError, match="there is no folder"):
            exact(name).fit(pixels)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"hf:.*empty' could not be loaded|hf:.*empty could not"):
        exact(tmp_path / "empty").fit(pixels)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(OSError, match=r"hf:someone/vit could not.* name a folder that save_pretra"):
        exact("someone/vit").fit(pixels)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_hsfm\[hf\]'"):
        exact("someone/vit").fit(pixels)


def offline(*args, **kwargs):
    raise OSError("no network")


# Cache and pickles.


def test_a_copy_of_the_folder_is_the_same_network(pixels, tmp_path):
    for folder in ("first", "second"):
        saved(tmp_path / folder, "CLIPModel", *NETWORKS["CLIP"][1:3])
    first, second = (
        exact(tmp_path / f, cache_dir=tmp_path / "cache").fit(pixels) for f in ("first", "second")
    )
    features = first.transform(pixels)
    assert first.backbone_id_ == second.backbone_id_
    assert np.array_equal(second.transform(pixels), features)
    assert len(FeatureCache(tmp_path / "cache")) == 3
    again = pickle.loads(pickle.dumps(first)).set_params(cache_dir=None)
    np.testing.assert_allclose(again.transform(pixels), features, atol=1e-6)


def test_another_process_finds_the_features(pixels, tmp_path):
    saved(tmp_path / "net", "ViTModel", "ViTConfig", VIT)
    fitted = exact(tmp_path / "net", cache_dir=tmp_path / "cache").fit(pixels)
    fitted.transform(pixels)
    code = (
        "import numpy as np, sys\n"
        "from sklearn_hsfm.extraction import FeatureExtractor\n"
        "X = np.random.RandomState(0).randint(256, size=(3, 40, 48, 3), dtype=np.uint8)\n"
        "e = FeatureExtractor('hf:' + sys.argv[1], precision='float32', device='cpu',\n"
        "                     cache_dir=sys.argv[2]).fit(X)\n"
        "e.transform(X)\n"
        "print(e.backbone_id_)\n"
    )
    args = [sys.executable, "-c", code, tmp_path / "net", tmp_path / "cache"]
    out = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    assert out.split() == [fitted.backbone_id_]
    assert len(FeatureCache(tmp_path / "cache")) == 3


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch16_dinov3"])
def test_dino_through_timm(name, pixels):
    timm = pytest.importorskip("timm", reason="the extra [timm] is absent")
    network = timm.create_model(name, num_classes=0, depth=1).eval()
    extractor = FeatureExtractor(network, precision="float32", device="cpu")
    features = extractor.fit_transform(pixels)
    assert extractor.layer_ == OF_NETWORK
    X = torch.stack([extractor.preprocess_(Image.fromarray(p)) for p in pixels])
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(X), pre_logits=True)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
