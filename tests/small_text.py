"""A tokenizer of a few words, and random networks that are saved with it."""

import numpy as np
import pytest
import torch

from sklearn_hsfm.extraction import TextExtractor

transformers = pytest.importorskip("transformers", reason="the extra [hf] is absent")
tokenizers = pytest.importorskip("tokenizers", reason="the extra [hf] is absent")

SENTENCE = "the cat sat on mat a dog ran over it and then some more of them came back again"
WORDS = SENTENCE.split()
TEXTS = ["the cat sat", "", "a dog ran over it and then some more of them came back again", "mat",
         "the dog", "nothing known here", "it"]  # fmt: skip
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "vocab_size": len(WORDS) + 4,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 16,
    "patch_size": 8,
}
GPT = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 20, "vocab_size": len(WORDS) + 4}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2, "pad_token_id": 0,
      "vocab_size": len(WORDS) + 4, "decoder_start_token_id": 0}  # fmt: skip


def save_tokenizer(folder, adds_tokens=True, **more):
    """Save a tokenizer of a few words, as BERT's or as one that adds no tokens of its own."""
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    specials = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    if adds_tokens:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        specials |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    own = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **specials, **more)
    own.save_pretrained(folder)


def saved(folder, kind="BertModel", config="BertConfig", options=SIZE, *args, **tokens):
    """Save a random network and its tokenizer as their authors would; return the network."""
    torch.manual_seed(0)
    network = getattr(transformers, kind)(getattr(transformers, config)(**options), *args).eval()
    for name, weights in network.named_parameters():
        if name.endswith("bias"):  # fresh ones are zeros, which prove nothing
            torch.nn.init.normal_(weights, std=0.5)
    network.save_pretrained(folder)
    save_tokenizer(folder, **tokens)
    return network


def exact(folder, kind="hf", **params):
    return TextExtractor(f"{kind}:{folder}", precision="float32", device="cpu", **params)


def ids(text, adds_tokens=True):
    """Return the ids of a text, by hand."""
    own = [4 + WORDS.index(word) if word in WORDS else 1 for word in text.split()]
    return [2, *own, 3] if adds_tokens else own


def one_by_one(network, pool, adds_tokens=True, **options):
    """Return features of texts without batches, padding or masks."""
    found = []
    for text in TEXTS:
        tokens = torch.tensor([ids(text, adds_tokens) or [0]])
        with torch.no_grad():
            found.append(pool(network(input_ids=tokens, **options))[0].numpy())
    return np.stack(found)


def mean(out):
    return out.last_hidden_state.mean(1)
