"""FeatureExtractor: inputs, backbones, weights, scikit-learn's ways, cache, errors."""

import copy
import importlib.util
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from torchvision.models import resnet18

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.extraction import FeatureCache, FeatureExtractor, _extractor
from tests.small_network import extractor, to_float


def test_every_kind_of_input_gives_the_same(small, pixels, files):
    fitted = extractor(small).fit(pixels)
    expected = fitted.transform(pixels)
    assert expected.shape == (7, 8)
    assert expected.dtype == np.float32
    floats = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
    tensors = torch.utils.data.TensorDataset(torch.tensor(floats), torch.arange(7))
    for X in (
        [str(f) for f in files],
        files,
        np.array([str(f) for f in files]),
        files[0].parent.parent,
        floats,
        torch.tensor(floats),
        torch.tensor(pixels),
        [Image.fromarray(p) for p in pixels],
        list(pixels),
        tensors,
    ):
        np.testing.assert_allclose(fitted.transform(X), expected, atol=1e-6)


def test_features_are_what_enters_the_head(small, pixels):
    small.eval()
    X = torch.stack([to_float(p) for p in pixels])
    with torch.no_grad():
        pooled = small.norm(small.stem(X)).relu().mean((2, 3))
    fitted = extractor(small).fit(pixels)
    np.testing.assert_allclose(fitted.transform(pixels), pooled, atol=1e-5)
    logits = extractor(small, layer="output").fit_transform(pixels)
    np.testing.assert_allclose(logits, small.fc(pooled).detach(), atol=1e-5)
    maps = extractor(small, layer="stem").fit_transform(pixels)
    np.testing.assert_allclose(maps, small.stem(X).mean((2, 3)).detach(), atol=1e-5)


def test_backbones_by_name(pixels):
    first, second = (
        FeatureExtractor("resnet18", weights=None).fit_transform(pixels[:2]) for _ in range(2)
    )
    assert first.shape == (2, 512)
    assert np.array_equal(first, second)  # random, but the same every time


@pytest.mark.parametrize("weights", [None, "file", "DEFAULT"])
def test_loading_touches_no_generator(weights, pixels, tmp_path, monkeypatch):
    """Neither the CPU's, nor those of GPUs, at once or as soon as they are used."""
    if weights == "file":
        weights = tmp_path / "mine.pt"
        torch.save(resnet18().state_dict(), weights)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *a, **k: STATE)
    before, queued = torch.get_rng_state(), torch.cuda._lazy_seed_tracker.get_calls()
    FeatureExtractor("resnet18", weights=weights, device="cpu").fit(pixels)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.cuda._lazy_seed_tracker.get_calls() == queued


STATE = resnet18().state_dict()


def test_auto_lowers_the_precision_only_where_it_is_good_enough(small, pixels, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._cpu_has_amx", lambda: True)
    assert extractor(small, precision="auto", device="cpu").fit(pixels).precision_ == "bfloat16"
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._TOLERANCE", 1e-6)
    exact = extractor(small, precision="auto", device="cpu").fit(pixels)
    assert exact.precision_ == "float32"
    features = extractor(small).fit_transform(pixels)
    np.testing.assert_array_equal(exact.transform(pixels), features)


def test_offline_says_where_the_file_belongs(pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(OSError, match=r"fetch https://.*resnet18.*\.pth and put .*checkpoints"):
        FeatureExtractor("resnet18").fit(pixels)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("resnet19", ValueError, "near it: .*resnet18"),
        ("timm:resnet18", ImportError, r"pip install 'sklearn_hsfm\[timm\]'"),
        ("open_clip:ViT-B-32", ImportError, r"pip install 'sklearn_hsfm\[clip\]'"),
    ],
)
def test_backbones_that_are_not_here(name, error, message, pixels, monkeypatch):
    for module in ("timm", "open_clip"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(error, match=message):
        FeatureExtractor(name).fit(pixels)


# Engines.


@pytest.fixture
def engine():
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the extra [openvino] is absent")
    return "openvino"


def test_an_engine_gives_the_features_of_torch(engine, small, pixels, tmp_path):
    for layer in ("pool", "output", "stem"):
        own, theirs = (
            extractor(small, layer=layer, engine=e, batch_size=4, cache_dir=tmp_path)
            for e in ("torch", engine)
        )
        expected = own.fit_transform(pixels)
        n_kept = len(FeatureCache(tmp_path))
        features = theirs.fit_transform(pixels)
        assert len(FeatureCache(tmp_path)) == n_kept + 7  # each engine has features of its own
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5)
    again = pickle.loads(pickle.dumps(theirs)).set_params(cache_dir=None)
    np.testing.assert_allclose(again.transform(pixels), features, rtol=1e-6)
    wider = again.transform(pixels[:, :9])  # another shape is compiled, too
    np.testing.assert_allclose(wider, own.transform(pixels[:, :9]), rtol=1e-3, atol=1e-5)


def test_an_engine_has_to_prove_itself(engine, small, pixels, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._TOLERANCE", 0.0)
    with pytest.raises(ValueError, match=rf"engine='{engine}' .*off those of torch.*'torch'"):
        extractor(small, engine=engine, precision="auto").fit(pixels)


def test_an_engine_lowers_the_precision_where_it_is_good_enough(engine, small, pixels, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._cpu_has_amx", lambda: True)
    fitted = extractor(small, engine=engine, precision="auto").fit(pixels)
    assert fitted.precision_ == "bfloat16"
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._TOLERANCE", 1e-5)
    assert fitted.fit(pixels).precision_ in ("bfloat16", "float32")
    np.testing.assert_allclose(
        fitted.transform(pixels), extractor(small).fit_transform(pixels), rtol=1e-4, atol=1e-5
    )


def test_engines_that_cannot_be(small, pixels, monkeypatch):
    for params, message in (
        ({"engine": "openvino", "precision": "float16"}, "has 'auto' and 'float32', 'bfloat16'"),
        ({"engine": "openvino", "device": "meta"}, "runs on the CPU, but device='meta'"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", lambda name: name)
            # A device that is no CPU and everywhere, though nothing can be computed on it.
            patch.setattr(_extractor, "resolve_device", torch.device)
            with pytest.raises(ValueError, match=message):
                extractor(small, **params).fit(pixels)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_hsfm\[openvino\]'"):
        extractor(small, engine="openvino").fit(pixels)


# scikit-learn's ways.


def test_it_is_a_transformer(small, pixels):
    raw = extractor(small)
    with pytest.raises(NotFittedError):
        raw.transform(pixels)
    assert raw.fit(pixels) is raw
    features = raw.transform(pixels)
    assert np.array_equal(raw.transform(pixels), features)
    assert np.array_equal(raw.fit(pixels).transform(pixels), features)
    for batch_size in (1, 3, 7):
        raw.set_params(batch_size=batch_size)
        np.testing.assert_allclose(raw.transform(pixels), features, atol=1e-6)
    assert list(raw.get_feature_names_out()[:2]) == ["featureextractor0", "featureextractor1"]
    frame = raw.set_output(transform="pandas").transform(pixels)
    assert list(frame.columns) == list(raw.get_feature_names_out())
    assert clone(raw).get_params().keys() == raw.get_params().keys()


def test_copies_give_the_same_and_carry_no_network(small, pixels):
    named = FeatureExtractor("resnet18", weights=None).fit(pixels)
    features = named.transform(pixels)
    blob = pickle.dumps(named)
    assert len(blob) < 10_000
    for again in (pickle.loads(blob), copy.deepcopy(named)):
        assert np.array_equal(again.transform(pixels), features)


def test_weights_that_changed_since_the_fit_are_refused(pixels, tmp_path):
    torch.save(resnet18().state_dict(), tmp_path / "mine.pt")
    blob = pickle.dumps(FeatureExtractor("resnet18", weights=tmp_path / "mine.pt").fit(pixels))
    torch.save(resnet18().state_dict(), tmp_path / "mine.pt")
    with pytest.raises(ValueError, match="no longer what this extractor was fitted with"):
        pickle.loads(blob).transform(pixels)


def test_the_network_that_is_passed_is_left_alone(small, pixels):
    small.train()
    before = copy.deepcopy(small.state_dict())
    extractor(small).fit_transform(pixels)
    assert small.training
    assert small.norm.training
    assert small.seen == 0
    assert all(p.requires_grad for p in small.parameters())
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())


@pytest.mark.usefixtures("routing")
def test_in_pipelines_and_searches(small, files, pixels):
    y = np.array([0, 1, 0, 1, 0, 1, 0])
    head = HSFMClassifier(epochs=2, support_per_class=2)
    pipe = Pipeline([("features", extractor(small)), ("head", head)], transform_input=["X_val"])
    X, X_val = [str(f) for f in files], pixels[:6]
    pipe.fit(X, y, X_val=X_val, y_val=y[:6])
    assert pipe.predict(X).shape == (7,)
    search = GridSearchCV(pipe, {"head__Khard": [1, 2]}, cv=2, error_score="raise")
    search.fit(X, y, X_val=X_val, y_val=y[:6])
    frozen = FrozenEstimator(extractor(small).fit(X))
    assert clone(frozen).estimator is frozen.estimator
    Pipeline([("features", frozen), ("head", LogisticRegression())]).fit(X, y)


# Errors come before any work is done, or lose none.


def test_bad_inputs(small, files, pixels, tmp_path):
    fitted = extractor(small).fit(pixels)
    (tmp_path / "empty").mkdir()
    for X, error, message in (
        ([], ValueError, "no images"),
        (pixels[:0], ValueError, "no samples"),
        (pixels[..., :2], ValueError, r"shape \(7, 12, 10, 2\) and dtype uint8; wanted: uint8 \(n"),
        (pixels.astype(int), ValueError, "dtype int64"),
        ([*files, "absent.png"], ValueError, r"1 of 8 image files are not there, first 'absent"),
        (tmp_path / "empty", ValueError, "holds no image"),
        (str(files[0]), ValueError, "not a folder. For single files pass a list"),
        ([1, 2], TypeError, "first item is a int"),
        (np.full((1, 3, 4, 4), np.nan), ValueError, "NaN or infinite pixels"),
    ):
        with pytest.raises(error, match=message):
            fitted.transform(X)
    with pytest.raises(ValueError, match="would no longer match y"):
        extractor(small, on_error="skip").fit(pixels)
    with pytest.raises(ValueError, match=r"layer='neck' is no module .*stem, norm"):
        extractor(small, layer="neck").fit(pixels)


def test_a_broken_image_is_named_and_nothing_is_lost(small, files, tmp_path):
    files[5].write_bytes(b"not an image")
    fitted = extractor(small, cache_dir=tmp_path / "cache", batch_size=2).fit(files[:1])
    with pytest.raises(ValueError, match=r"5\.png \(sample 5 of 7\) cannot be read .*Unidentified"):
        fitted.transform(files)
    assert len(FeatureCache(tmp_path / "cache")) == 4


def test_progress_is_silent_unless_asked(small, pixels, capsys):
    extractor(small).fit_transform(pixels)
    assert capsys.readouterr().err == ""
    extractor(small, progress=True).fit_transform(pixels)
    assert "7/7" in capsys.readouterr().err


@pytest.mark.gpu
def test_the_gpu_gives_the_features_of_the_cpu(pixels):
    on = {
        device: FeatureExtractor("resnet18", weights=None, device=device, precision="float32")
        for device in ("cpu", "cuda")
    }
    first, second = (e.fit_transform(pixels) for e in on.values())
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)
