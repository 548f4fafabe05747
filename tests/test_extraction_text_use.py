"""TextExtractor: scikit-learn's ways, cache, shards, what is not run, sentence-transformers."""

import json
import os
import pickle
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm.extraction import FeatureCache, TextExtractor, extract_shards
from tests.evil_pickle import Evil
from tests.small_text import SIZE, TEXTS, WORDS, exact, saved, transformers


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    saved(folder)
    return folder


# scikit-learn's ways.


def test_it_is_a_transformer(bert):
    raw = exact(bert)
    with pytest.raises(NotFittedError):
        raw.transform(TEXTS)
    assert raw.fit(TEXTS) is raw
    assert raw.n_features_out_ == 16
    assert list(raw.get_feature_names_out()[:2]) == ["textextractor0", "textextractor1"]
    frame = raw.set_output(transform="pandas").transform(TEXTS)
    assert list(frame.columns) == list(raw.get_feature_names_out())
    assert clone(raw).get_params() == raw.get_params()
    tags = get_tags(raw).input_tags
    assert (tags.string, tags.two_d_array) == (True, False)


def test_pickles_hold_no_network(bert, tmp_path):
    saved(tmp_path / "net")
    fitted = exact(tmp_path / "net").fit(TEXTS)
    features = fitted.transform(TEXTS)
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    assert (tmp_path / "fitted.joblib").stat().st_size < 5000
    again = joblib.load(tmp_path / "fitted.joblib")
    np.testing.assert_allclose(again.transform(TEXTS), features, atol=1e-6)
    torch.manual_seed(1)
    transformers.BertModel(transformers.BertConfig(**SIZE)).save_pretrained(tmp_path / "net")
    with pytest.raises(ValueError, match="no longer what this extractor was fitted with"):
        joblib.load(tmp_path / "fitted.joblib").transform(TEXTS)


@pytest.mark.filterwarnings("ignore:HSFMClassifierCV:UserWarning")  # there is no shortcut
@pytest.mark.usefixtures("routing")
def test_in_a_pipeline(bert, tmp_path):
    rng = np.random.RandomState(0)
    X = [" ".join(rng.choice(WORDS, 6)) for _ in range(60)]
    y = np.array(["cat" in text or "dog" in text for text in X]).astype(int)
    pipe = Pipeline([("features", exact(bert)), ("head", HSFMClassifierCV(random_state=0))])
    assert pipe.fit(X, y).predict(X).shape == (60,)
    joblib.dump(pipe, tmp_path / "pipe.joblib")
    again = joblib.load(tmp_path / "pipe.joblib")
    assert np.array_equal(again.predict(X), pipe.predict(X))
    head = HSFMClassifier(epochs=2, random_state=0)
    pipe = Pipeline([("features", exact(bert)), ("head", head)], transform_input=["X_val"])
    pipe.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])


def test_precision_is_lowered_only_where_it_is_good_enough(bert, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._cpu_has_amx", lambda: True)
    auto = TextExtractor(f"hf:{bert}", device="cpu")
    assert auto.fit(TEXTS).precision_ == "bfloat16"
    np.testing.assert_allclose(
        auto.transform(TEXTS), exact(bert).fit_transform(TEXTS), rtol=0.1, atol=0.05
    )
    monkeypatch.setattr("sklearn_hsfm.extraction._precision._TOLERANCE", 1e-5)
    assert auto.fit(TEXTS).precision_ == "float32"


def test_progress_is_silent_unless_asked(bert, capsys):
    exact(bert).fit_transform(TEXTS)
    assert capsys.readouterr().err == ""
    exact(bert, progress=True).fit_transform(TEXTS)
    assert "7/7" in capsys.readouterr().err


# Cache and shards.


def count(extractor):
    """Count the texts that the network reads from now on."""
    seen = []
    extractor._backbone.network.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    return seen


def test_texts_that_were_seen_are_not_read_again(bert, tmp_path):
    extractor = exact(bert, cache_dir=tmp_path / "cache").fit(TEXTS)
    seen = count(extractor)
    features = extractor.transform([*TEXTS, *TEXTS])
    assert sum(seen) == len(FeatureCache(tmp_path / "cache")) == 7
    assert np.array_equal(features[:7], features[7:])
    np.testing.assert_allclose(features[:7], exact(bert).fit_transform(TEXTS), atol=1e-6)
    assert np.array_equal(extractor.transform(TEXTS), features[:7])
    assert sum(seen) == 7
    extractor.transform(["the cat sat "])  # another text
    assert sum(seen) == 8


@pytest.mark.filterwarnings("ignore:.*longer than max_length_:UserWarning")
def test_what_makes_the_features_is_in_the_key(bert, tmp_path):
    saved(tmp_path / "copy")
    saved(tmp_path / "cased", adds_tokens=False)
    cache = tmp_path / "cache"
    n_kept = 0
    for params, new in (
        ({}, 7), ({"batch_size": 2}, 0), ({"pooling": "cls"}, 7), ({"max_length": 5}, 7),
        ({"max_length": 20}, 0), ({"folder": tmp_path / "copy"}, 0),
        ({"folder": tmp_path / "cased"}, 7), ({"precision": "bfloat16"}, 7),
    ):  # fmt: skip
        folder = params.pop("folder", bert)
        extractor = exact(folder, cache_dir=cache).set_params(**params)
        extractor.fit(TEXTS).transform(TEXTS)
        assert len(FeatureCache(cache)) == n_kept + new, params
        n_kept += new


def test_shards_have_the_bits_of_transform(bert, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._text.WINDOW", 2)
    monkeypatch.setattr("sklearn_hsfm.extraction._texts.WINDOW", 2)
    extractor = exact(bert, batch_size=1).fit(TEXTS[:1])
    features = extract_shards(extractor, TEXTS, tmp_path / "out", shard_size=3)  # 4, and 3
    assert type(features) is np.memmap
    assert np.array_equal(features, extractor.transform(TEXTS))
    seen = count(extractor)
    extract_shards(extractor, TEXTS, tmp_path / "out")
    assert not seen
    with pytest.raises(TypeError, match="Sample 1 of 2 is None"):
        extract_shards(extractor, ["a", None], tmp_path / "out")


def test_errors_of_a_shard_name_the_row_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._text.WINDOW", 1)
    network = saved(tmp_path / "net")
    torch.nn.init.constant_(
        network.embeddings.word_embeddings.weight[4 + WORDS.index("mat")], np.nan
    )
    network.save_pretrained(tmp_path / "net")
    extractor = exact(tmp_path / "net", batch_size=1).fit(TEXTS[:1])
    with pytest.raises(ValueError, match="the text of sample 3 of 7 is not finite"):
        extract_shards(extractor, TEXTS, tmp_path / "out", shard_size=2)


# What is not here, and what is not run.


def test_names_that_are_none(bert, tmp_path, monkeypatch):
    for name in ("all-MiniLM-L6-v2", "resnet50", "timm:x", ""):
        with pytest.raises(ValueError, match="it is 'st:NAME' of sentence-transformers or 'hf:NA"):
            TextExtractor(name).fit(TEXTS)
    with pytest.raises(ValueError, match="there is no folder"):
        exact(tmp_path / "absent").fit(TEXTS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="could not be loaded"):
        exact(tmp_path / "empty").fit(TEXTS)
    for kind, module, extra in (
        ("hf", "transformers", "hf"), ("st", "sentence_transformers", "text"),
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"pip install 'sklearn_hsfm\[{extra}\]'"):
            exact(bert, kind).fit(TEXTS)
        monkeypatch.undo()


def test_code_and_pickles_are_not_run(tmp_path):
    saved(tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    settings = json.loads((tmp_path / "config.json").read_text())
    settings |= {"auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    settings |= {"attn_implementation": "someone/kernel"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    exact(tmp_path).fit(TEXTS)
    os.remove(tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(ran)))
    with pytest.raises(ValueError, match="has pickled weights"):
        exact(tmp_path).fit(TEXTS)
    assert not ran.exists()


# sentence-transformers.


@pytest.fixture(scope="module")
def sentences(bert, tmp_path_factory):
    library = pytest.importorskip("sentence_transformers", reason="the extra [text] is absent")
    folder = tmp_path_factory.mktemp("sentences")
    modules = getattr(library, "sentence_transformer", None)  # of version 5.4 and later
    modules = library.models if modules is None else modules.modules
    words = modules.Transformer(str(bert))
    model = library.SentenceTransformer(
        modules=[words, modules.Pooling(16, pooling_mode="mean"), modules.Normalize()],
        device="cpu", prompts={"ask": "it ran "}, default_prompt_name="ask",
    )  # fmt: skip
    model.max_seq_length = 12
    model.save(str(folder))
    return folder


def test_sentence_transformers_are_their_encode(sentences):
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(str(sentences), device="cpu")
    extractor = exact(sentences, "st", batch_size=2).fit(TEXTS)
    with pytest.warns(UserWarning, match="1 of 7 texts that were computed are longer"):
        features = extractor.transform(TEXTS)
    np.testing.assert_allclose(features, model.encode(TEXTS), atol=1e-6)
    assert extractor.max_length_ == 12
    assert extractor.pooling_ == "sentence_embedding"
    again = pickle.loads(pickle.dumps(extractor))
    assert np.array_equal(again.transform(TEXTS[:1]), extractor.transform(TEXTS[:1]))
    model.max_seq_length = 7
    shorter = exact(sentences, "st", max_length=7).fit(TEXTS)
    np.testing.assert_allclose(shorter.transform(TEXTS[:2]), model.encode(TEXTS[:2]), atol=1e-6)
    assert shorter.backbone_id_ != extractor.backbone_id_


def test_sentence_transformers_that_are_refused(sentences, bert, tmp_path):
    for params, message in (
        ({"pooling": "mean"}, "has a pooling of its own. Leave pooling out"),
        ({"max_length": 21}, "has places for 20 tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            exact(sentences, "st", **params).fit(TEXTS)
    with pytest.raises(ValueError, match=r"has no modules.json.* Name it as 'hf:' with a pooling"):
        exact(bert, "st").fit(TEXTS)
    kinds = json.loads((sentences / "modules.json").read_text())
    kinds[1]["type"] = "tests.evil_pickle.Evil"
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    with pytest.raises(ValueError, match=r"code that is not part of .* \(tests.evil_pickle.Evil"):
        exact(tmp_path, "st").fit(TEXTS)
