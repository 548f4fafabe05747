"""TextExtractor: which features, of which networks; lengths, and what can be given."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_text import (
    GPT,
    SIZE,
    T5,
    TEXTS,
    VISION,
    WORDS,
    exact,
    mean,
    one_by_one,
    save_tokenizer,
    saved,
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    saved(folder)
    return folder


# Which features.


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize(
    ("pooling", "pool", "words"),
    [
        ("auto", mean, "mean of tokens"),
        ("mean", mean, "mean of tokens"),
        ("cls", lambda out: out.last_hidden_state[:, 0], "first token"),
        ("pooler", lambda out: out.pooler_output, "pooler_output"),
    ],
)
def test_poolings(pooling, pool, words, batch_size, tmp_path):
    network = saved(tmp_path)
    extractor = exact(tmp_path, pooling=pooling, batch_size=batch_size)
    features = extractor.fit_transform(TEXTS)
    assert features.dtype == np.float32
    assert extractor.pooling_ == words
    np.testing.assert_allclose(features, one_by_one(network, pool), atol=1e-5)


NETWORKS = {
    "RoBERTa": ("RobertaModel", "RobertaConfig", {**SIZE, "max_position_embeddings": 21}),
    "DistilBERT": (
        "DistilBertModel", "DistilBertConfig",
        {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 20,
         "vocab_size": len(WORDS) + 4},
    ),
    "GPT-2": ("GPT2Model", "GPT2Config", GPT),
    "T5": ("T5EncoderModel", "T5Config", T5),
    "T5, both halves": ("T5Model", "T5Config", T5),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("adds_tokens", [True, False])
def test_networks_of_other_kinds(name, adds_tokens, tmp_path):
    network = saved(tmp_path, *NETWORKS[name], adds_tokens=adds_tokens)
    network = network.get_encoder() if name.startswith("T5") else network
    features = exact(tmp_path).fit_transform(TEXTS)
    np.testing.assert_allclose(features, one_by_one(network, mean, adds_tokens), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "config", "options", "head", "width"),
    [
        ("BertForSequenceClassification", "BertConfig", SIZE, "classifier", 16),
        ("RobertaForSequenceClassification", "RobertaConfig",
         {**SIZE, "max_position_embeddings": 21}, "classifier.out_proj", 16),
        ("DistilBertForSequenceClassification", *NETWORKS["DistilBERT"][1:], "classifier", 16),
    ],
)  # fmt: skip
def test_a_classifier_gives_what_enters_its_last_layer(
    kind, config, options, head, width, tmp_path
):
    network = saved(tmp_path, kind, config, options)
    extractor = exact(tmp_path)
    features = extractor.fit_transform(TEXTS)
    assert extractor.pooling_ == f"input of {head}"
    assert features.shape == (len(TEXTS), width)
    last = network.get_submodule(head)
    with torch.no_grad():
        logits = last(torch.from_numpy(features))
    np.testing.assert_allclose(logits, one_by_one(network, lambda out: out.logits), atol=1e-5)
    as_encoder = exact(tmp_path, pooling="mean").fit_transform(TEXTS)
    assert np.abs(as_encoder - features).max() > 0.01


def test_a_classifier_without_a_proof_is_refused(tmp_path):
    saved(tmp_path, "GPT2ForSequenceClassification", "GPT2Config", {**GPT, "pad_token_id": 0})
    with pytest.raises(ValueError, match=r"no linear layer is proven .* Pass pooling='mean'"):
        exact(tmp_path).fit(TEXTS)
    assert exact(tmp_path, pooling="mean").fit(TEXTS).n_features_out_ == 16


def test_the_text_half_of_clip(tmp_path):
    text = {**SIZE, "bos_token_id": 2, "eos_token_id": 3}
    options = {"text_config": text, "vision_config": VISION, "projection_dim": 8}
    network = saved(tmp_path, "CLIPModel", "CLIPConfig", options).text_model
    extractor = exact(tmp_path)
    expected = one_by_one(network, lambda out: out.pooler_output)
    np.testing.assert_allclose(extractor.fit_transform(TEXTS), expected, atol=1e-5)
    assert extractor.pooling_ == "pooler_output"


def test_poolings_that_are_not_to_be_had(tmp_path):
    saved(tmp_path / "bare", "BertModel", "BertConfig", SIZE, False)  # no pooler
    with pytest.raises(ValueError, match=r"the file lacks pooler.dense.* Pass pooling='mean'"):
        exact(tmp_path / "bare", pooling="pooler").fit(TEXTS)
    exact(tmp_path / "bare", pooling="mean").fit(TEXTS)
    saved(tmp_path / "gpt", *NETWORKS["GPT-2"], adds_tokens=False)
    for pooling, message in (("pooler", "has no pooler"), ("cls", "this one does not")):
        with pytest.raises(ValueError, match=message):
            exact(tmp_path / "gpt", pooling=pooling).fit(TEXTS)


def test_networks_that_read_the_padding_are_refused(tmp_path):
    """As SigLIP, which takes the last token, whatever it is."""
    text = {**SIZE, "bos_token_id": 2, "eos_token_id": 3}
    options = {"text_config": text, "vision_config": VISION}
    saved(tmp_path, "SiglipModel", "SiglipConfig", options)
    with pytest.raises(ValueError, match="depend on the texts beside it in a batch"):
        exact(tmp_path, pooling="pooler", batch_size=1).fit(TEXTS)


# Lengths.


def test_long_texts_are_cut_and_counted(bert, tmp_path):
    short = exact(bert, max_length=5).fit(TEXTS)
    with pytest.warns(UserWarning, match="1 of 7 texts that were computed are longer than max_le"):
        features = short.transform(TEXTS)
    np.testing.assert_allclose(features[2], short.transform(["a dog ran"])[0], atol=1e-5)
    assert exact(bert).fit(TEXTS).max_length_ == 20
    save_tokenizer(tmp_path / "said", model_max_length=9)
    for file in ("config.json", "model.safetensors"):
        (tmp_path / "said" / file).write_bytes((bert / file).read_bytes())
    assert exact(tmp_path / "said").fit(TEXTS).max_length_ == 9
    assert exact(tmp_path / "said", max_length=20).fit(TEXTS).max_length_ == 20
    for length, message in ((21, "has places for 20 tokens"), (2, "each text has 2 tokens of the")):
        with pytest.raises(ValueError, match=message):
            exact(bert, max_length=length).fit(TEXTS)


def test_places_that_are_not_for_tokens_do_not_count(tmp_path):
    saved(tmp_path, *NETWORKS["RoBERTa"])
    extractor = exact(tmp_path).fit(TEXTS)
    assert extractor.max_length_ == 20  # of 21: they are counted from the padding's number on
    with pytest.warns(UserWarning, match="longer than max_length_"):
        extractor.transform(["the " * 50])


# Inputs.


@pytest.mark.parametrize(
    "kind",
    [list, tuple, np.array, lambda x: np.array(x, dtype=object), pd.Series,
     lambda x: pd.Series(x, index=range(5, 12), dtype=object), pd.array,
     lambda x: np.array(x, dtype=np.dtypes.StringDType())],
)  # fmt: skip
def test_every_kind_of_input_gives_the_same(kind, bert):
    fitted = exact(bert).fit(TEXTS)
    np.testing.assert_allclose(fitted.transform(kind(TEXTS)), fitted.transform(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("one text", TypeError, "X is one text; wanted is a list"),
        (b"bytes", TypeError, "X is a bytes"),
        (iter(TEXTS), TypeError, "X is a list_iterator"),
        ({"a": "b"}, TypeError, "X is a dict"),
        (pd.DataFrame({"text": TEXTS}), TypeError, "X is a DataFrame"),
        (np.array([TEXTS]).T, ValueError, r"X has shape \(7, 1\).*Pass one column"),
        ([], ValueError, "There are no texts"),
        (["a", None], TypeError, "Sample 1 of 2 is None, a NoneType, and no str. Drop the sample"),
        (pd.Series(["a", "b", np.nan]), TypeError, "Sample 2 of 3 is nan, a float"),
        (pd.Series(["a", pd.NA], dtype="string"), TypeError, "Sample 1 of 2 is <NA>"),
        ([["a", "b"]], TypeError, "Sample 0 of 1 is .*, a list"),
        (["a", b"b"], TypeError, "Sample 1 of 2 is b'b', a bytes"),
        (["a", "\ud800"], ValueError, "Sample 1 of 2 is no valid Unicode"),
    ],
)
def test_what_is_no_sequence_of_texts_is_refused(X, error, message, bert):
    fitted = exact(bert).fit(TEXTS)
    for method in (fitted.transform, exact(bert).fit):
        with pytest.raises(error, match=message):
            method(X)


def test_features_that_are_not_finite_are_named(bert, tmp_path):
    network = saved(tmp_path)
    torch.nn.init.constant_(
        network.embeddings.word_embeddings.weight[4 + WORDS.index("mat")], np.nan
    )
    network.save_pretrained(tmp_path)
    fitted = exact(tmp_path).fit(TEXTS)
    with pytest.raises(ValueError, match="gives for the text of sample 3 of 7 is not finite"):
        fitted.transform(TEXTS)
