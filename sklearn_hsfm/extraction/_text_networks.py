"""Networks that read: of transformers with a pooling, and of sentence-transformers."""

import json
import os
import threading

import numpy as np
import torch
from torch import nn

from sklearn_hsfm.extraction._hf import Found, check_folder, quiet
from sklearn_hsfm.extraction._identity import identify
from sklearn_hsfm.extraction._last_layer import last_layer, tapped
from sklearn_hsfm.extraction._need import need
from sklearn_hsfm.extraction._seeds import seeded

SEED = 0  # of what a file lacks and nothing reads, that an identity is the same each time
_BEYOND = 10**6  # what tokenizers say where they know no limit
_OTHER = "The quick brown fox jumps over the lazy dog, and over another one."
_WORDS = {"mean": "mean of tokens", "cls": "first token", "pooler": "pooler_output"}
_SETTING = (str, bool, int, float, type(None), list, tuple, dict)


def load_text_network(backbone, pooling, max_length):
    """Return the network that the parameters of `TextExtractor` name."""
    kind, _, name = backbone.partition(":")
    if kind == "hf":
        return TokenNetwork(name, pooling, max_length)
    if kind == "st":
        return SentenceNetwork(name, pooling, max_length)
    raise ValueError(
        f"backbone={backbone!r}; it is 'st:NAME' of sentence-transformers or 'hf:NAME' of "
        "transformers, where NAME is one on the hub or a local folder."
    )


class _TextNetwork:
    """A frozen network that gives features of texts, and what makes it that network.

    Attributes
    ----------
    network : torch.nn.Module
    network_id : Identity
        Of the network, its tokenizer, what is pooled and how many tokens are read.
    pooling : str
        Where the features are, in words.
    max_length : int or None
        Tokens that are read; None is all.
    """

    def encoder(self, device, precision):
        """Return a function from texts to their features and how many were longer than is read."""
        self.network.to(device)
        lowered = torch.autocast(
            device.type, dtype=getattr(torch, precision), enabled=precision != "float32"
        )

        def encode(texts):
            # Tokenizers and hooks mix up what two threads pass.
            with self._alone, torch.inference_mode(), lowered:
                values, n_cut = self._encoded(texts, device)
            return values.float().cpu().numpy(), n_cut

        return encode

    def _finish(self, network, *parts):
        self.network = network.eval().requires_grad_(False)
        self.network_id = identify(*parts, self.pooling, self.max_length)
        self._alone = threading.Lock()


class TokenNetwork(_TextNetwork):
    """A network of transformers, with its tokenizer."""

    def __init__(self, name, pooling, max_length):
        found = Found(name)
        with found.fetching(), quiet(found.transformers):
            self.tokenizer = found.transformers.AutoTokenizer.from_pretrained(
                name, trust_remote_code=False
            )
        network, pooling = _read(found, pooling)
        self.max_length = _limit(max_length, self.tokenizer.model_max_length, network)
        specials = self.tokenizer.num_special_tokens_to_add()
        if self.max_length is not None and self.max_length <= specials:
            raise ValueError(
                f"max_length={self.max_length}; each text has {specials} tokens of the "
                "tokenizer's own beside those of its words."
            )
        fillers = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0
        self._pad = next(token for token in fillers if token is not None)
        parts = network.state_dict(), _config(network), _tokenizer_parts(self.tokenizer)
        own = _Pooled(network, pooling, self.tokenizer.cls_token_id).eval()
        self._features, self.pooling = self._where(own, pooling, found.shown)
        self._finish(own, "hf", type(network), *parts)

    def _where(self, own, pooling, shown):
        if pooling != "head":
            return own, _WORDS[pooling]
        batch, _ = self._tokens([_OTHER, _OTHER[10:40]])
        last = last_layer(own, batch)
        if last is None:
            raise ValueError(
                f"{shown} is a classifier, and no linear layer is proven to give its output. Pass "
                "pooling='mean', or another."
            )
        return tapped(own, last.tap), last.tap.described().replace("network.", "", 1)

    def _encoded(self, texts, device):
        batch, n_cut = self._tokens(texts)
        return self._features(batch.to(device)), n_cut

    def _tokens(self, texts):
        """Return ids and attention mask, (n, 2, length), and how many texts were cut."""
        limit = self.max_length
        ids = self._ids(texts, limit and limit + 1)  # one more tells which are longer
        cut = [i for i, own in enumerate(ids) if limit and len(own) > limit]
        if cut:
            for i, own in zip(cut, self._ids([texts[i] for i in cut], limit), strict=True):
                ids[i] = own
        # An empty text is nothing at all to a tokenizer that adds no tokens of its own.
        ids = [own or [self._pad] for own in ids]
        batch = np.full((len(ids), 2, max(map(len, ids))), self._pad, dtype=np.int64)
        batch[:, 1] = 0
        for row, own in zip(batch, ids, strict=True):
            row[0, : len(own)], row[1, : len(own)] = own, 1
        return torch.from_numpy(batch), len(cut)

    def _ids(self, texts, length):
        options = {"truncation": True, "max_length": length} if length else {"truncation": False}
        made = self.tokenizer(
            texts, **options, padding=False, return_attention_mask=False, verbose=False
        )
        return list(made["input_ids"])


class _Pooled(nn.Module):
    """A network of transformers as a function of ids and masks, (n, 2, length)."""

    def __init__(self, network, pooling, first_id):
        super().__init__()
        self.network, self.pooling, self.first_id = network, pooling, first_id

    def forward(self, batch):
        ids, mask = batch.unbind(1)
        if self.pooling == "cls" and (self.first_id is None or (ids[:, 0] != self.first_id).any()):
            raise ValueError(
                "pooling='cls' is the first token, where a tokenizer puts its classification "
                "token; this one does not. Pass pooling='mean'"
            )
        out = self.network(input_ids=ids, attention_mask=mask)
        if self.pooling == "head":
            return out
        if self.pooling == "pooler":
            if getattr(out, "pooler_output", None) is None:
                raise ValueError("the network has no pooler. Pass pooling='mean'")
            return out.pooler_output
        tokens = out.last_hidden_state
        if self.pooling == "cls":
            return tokens[:, 0]
        weights = mask.unsqueeze(-1).float()
        return (tokens.float() * weights).sum(1) / weights.sum(1)  # (n, d)


class SentenceNetwork(_TextNetwork):
    """A model of sentence-transformers: its ``encode`` is what gives the features."""

    def __init__(self, name, pooling, max_length):
        shown = f"st:{name}"
        if pooling != "auto":
            raise ValueError(
                f"pooling={pooling!r}: a model of sentence-transformers has a pooling of its own. "
                "Leave pooling out, or name the network as 'hf:NAME'."
            )
        library = need("sentence_transformers", "text")
        local = check_folder(name, shown)
        if local:
            _check_modules(name, shown)
        with seeded(SEED), quiet(need("transformers", "text"), bars_only=True):
            model = _loaded(library, name, shown, local)
        model = model.float()
        self.tokenizer = getattr(model, "tokenizer", None)
        own = getattr(model, "max_seq_length", None)
        if max_length is not None:
            if own is None:
                raise ValueError(f"max_length={max_length}, but {shown} reads texts of any length.")
            model.max_seq_length = _limit(max_length, own, *_with_positions(model))
        self.max_length = None if own is None else int(model.max_seq_length)
        self.pooling = "sentence_embedding"
        settings = [
            {k: v for k, v in vars(m).items() if k[0] != "_" and isinstance(v, _SETTING)}
            for m in model.children()
        ]
        prompts = model.prompts, model.default_prompt_name, model.truncate_dim
        self._prompt = (model.prompts or {}).get(model.default_prompt_name) or ""
        configs = [_config(network) for network in _with_positions(model)]
        kinds = [type(module) for module in model.children()]
        parts = model.state_dict(), configs, kinds, settings, prompts
        self._finish(model, "st", *parts, _tokenizer_parts(self.tokenizer))

    def _encoded(self, texts, device):
        values = self.network.encode(
            texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
        )
        return values, self._n_cut(texts)

    def _n_cut(self, texts):
        if self.max_length is None or not hasattr(self.tokenizer, "num_special_tokens_to_add"):
            return 0
        ids = self.tokenizer(
            [self._prompt + text.strip() for text in texts],
            truncation=True, max_length=self.max_length + 1, padding=False, verbose=False,
        )["input_ids"]  # fmt: skip
        return sum(len(own) > self.max_length for own in ids)


def _read(found, pooling):
    """Return a network whose features nothing makes that is random, and its pooling by name."""
    library, classifies = found.transformers, False
    if pooling == "auto":
        classifies = found.was("ForSequenceClassification")
        pooling = "head" if classifies else "mean"
        if _has_two_towers(found) or found.config.model_type.endswith("_text_model"):
            pooling = "pooler"
    factory = library.AutoModelForSequenceClassification if classifies else library.AutoModel
    with seeded(SEED):
        network, lacks = found.load(factory)
    unused = ("pooler.",) if pooling in ("mean", "cls") else ()
    if _has_two_towers(found):
        network, unused = network.text_model, ("vision_model.", *unused)
    elif not classifies and hasattr(network, "encoder") and hasattr(network, "decoder"):
        network, unused = network.get_encoder(), ("decoder.", *unused)
    lacks = [name for name in lacks if not name.startswith(unused)]
    if lacks:
        raise ValueError(
            f"{found.shown}: the file lacks {', '.join(lacks[:3])}, which would be random. "
            "Pass pooling='mean', or name the folder of a network that was saved whole."
        )
    return network, pooling


def _has_two_towers(found):
    return None not in (found.part("text_config"), found.part("vision_config"))


def proof_texts(text):
    """Return a text and a longer one beside it: padding may not change its features."""
    return [text, f"{text[:400]} {_OTHER}"]


def _loaded(library, name, shown, local):
    try:
        return library.SentenceTransformer(
            name, device="cpu", trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except Exception as error:  # each version of the libraries raises its own
        why = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"
        advice = "" if local else " Where there is no network, name a folder that it was saved in."
        raise (ValueError if local else OSError)(
            f"{shown} could not be loaded ({why}).{advice}"
        ) from error


def _check_modules(folder, shown):
    """Refuse a folder that says of no pooling, or names code that is not the library's."""
    path = os.path.join(folder, "modules.json")
    if not os.path.exists(path):
        raise ValueError(
            f"{shown} has no modules.json, so nothing says how its tokens are pooled. Name it as "
            "'hf:' with a pooling."
        )
    with open(path, encoding="utf-8") as file:
        kinds = [str(module.get("type")) for module in json.load(file)]
    foreign = [kind for kind in kinds if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise ValueError(
            f"{shown} needs code that is not part of sentence-transformers ({foreign[0]}), and "
            "code that comes with weights is not run."
        )


def _with_positions(model):
    """Return the network of transformers in a model of sentence-transformers, if there is one."""
    found = (m for m in model.modules() if hasattr(m, "config") and hasattr(m, "base_model_prefix"))
    return [*found][:1]


def _limit(max_length, own, network=None):
    """Return how many tokens are read, if the network has a place for as many."""
    config = getattr(network, "config", None)
    places = getattr(config, "max_position_embeddings", None) or None
    pad = getattr(getattr(network, "base_model", network), "embeddings", None)
    if places is not None and getattr(pad, "padding_idx", None) is not None:
        places -= pad.padding_idx + 1  # RoBERTa and its like count from there
    own = None if own is None or own > _BEYOND else int(own)
    if max_length is None:
        return min((n for n in (own, places) if n is not None), default=None)
    if places is not None and max_length > places:
        raise ValueError(
            f"max_length={max_length}, but the network has places for {places} tokens. Pass "
            f"max_length={places} or less, and cut longer texts into several."
        )
    return int(max_length)


def _config(network):
    """Return the configuration of a network, without where it came from and what wrote it."""
    settings = network.config.to_dict()
    return {k: v for k, v in settings.items() if k not in ("_name_or_path", "transformers_version")}


def _tokenizer_parts(tokenizer):
    """Return what makes a tokenizer, without the cutting and padding of its last call."""
    inner = getattr(tokenizer, "backend_tokenizer", None) or tokenizer
    if not hasattr(inner, "to_str"):
        return (tokenizer,)
    made = json.loads(inner.to_str())
    made = {name: value for name, value in made.items() if name not in ("truncation", "padding")}
    return type(tokenizer).__name__, json.dumps(made, sort_keys=True)
