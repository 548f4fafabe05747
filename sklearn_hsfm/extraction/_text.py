"""TextExtractor: texts in, features of a frozen network out."""

from collections.abc import Iterable
from numbers import Integral
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import Device, FilePath, Progress
from sklearn_hsfm.extraction._base import Extractor, check_same
from sklearn_hsfm.extraction._cache import FeatureCache
from sklearn_hsfm.extraction._keys import Keys
from sklearn_hsfm.extraction._precision import close_precision, depends_on_others
from sklearn_hsfm.extraction._text_networks import load_text_network, proof_texts
from sklearn_hsfm.extraction._texts import WINDOW, Texts, run_texts

_MAKERS = "transformers", "tokenizers", "sentence-transformers"


class TextExtractor(Extractor):
    """Features of a frozen network, from texts.

    Parameters
    ----------
    backbone : str, default="st:all-MiniLM-L6-v2"
        "st:NAME" of sentence-transformers (extra ``text``) or "hf:NAME" of transformers (extra
        ``hf``). NAME is one on the hub, downloaded once, or a local folder as ``save_pretrained``
        writes it. Weights are read from safetensors alone, and code that comes with them is
        never run.
    pooling : {"auto", "mean", "cls", "pooler"}, default="auto"
        How the tokens of a network of transformers become one vector: their mean, those that are
        padding left out; the first, if it is the classification token; or what the network's
        pooler gives, if the file has its weights. "auto" is what enters the last linear layer of
        a network that was saved as a classifier, as ``fit`` proves on two texts, the pooler
        of the text half of CLIP and its like, and the mean of all others. Models of
        sentence-transformers have a pooling of their own.
    max_length : int or None, default=None
        Tokens of a text that are read, with those that the tokenizer adds. What is longer is cut,
        with a warning that says how many texts were. None is what the model says.
    batch_size : int, default=32
        Texts in the network at once. Those of like length are put together.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device where there is one.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Of the forward pass. "auto" is float16 on CUDA, bfloat16 on CPUs with AMX, else float32;
        and float32 as well where ``fit`` finds the others off by more than 1 %.
    cache_dir : path or None, default=None
        Folder of a `FeatureCache`. Texts that have been seen are not computed again, and an
        interrupted run goes on where it stopped.
    cache_size : int or None, default=None
        Bytes of features to keep there; None keeps all.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Attributes
    ----------
    n_features_out_ : int
        Features.
    backbone_id_ : str
        Hash of the network, its weights, tokenizer, pooling and `max_length_`.
    pooling_ : str
        Where the features are, in words.
    max_length_ : int or None
        Tokens that are read; None is all.
    precision_ : str
        The precision that is used.

    See Also
    --------
    FeatureExtractor : The same for images.
    extract_shards : Features of more texts than fit into memory, from many processes.

    Notes
    -----
    In a search, extraction is repeated for every candidate unless ``cache_dir`` is set: set it,
    or extract once and search on features.

    Features of a text do not depend on the texts beside it, but for rounding: ``fit`` compares
    them alone and padded. Texts that the cache knew are not counted again as cut.

    The network is not pickled: it is loaded again where it is needed, and refused if it is no
    longer that of the fit.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_hsfm import HSFMClassifierCV
    >>> from sklearn_hsfm.extraction import TextExtractor
    >>> pipe = make_pipeline(TextExtractor(cache_dir="features"), HSFMClassifierCV())
    >>> pipe[0].backbone  # fit downloads it; a local folder is named in the same way
    'st:all-MiniLM-L6-v2'
    >>> pipe.fit(texts, y).predict(texts)  # doctest: +SKIP
    """

    n_features_out_: int
    backbone_id_: str
    pooling_: str
    max_length_: int | None
    precision_: str

    _parameter_constraints: dict = {  # noqa: RUF012
        "backbone": [str],
        "pooling": [StrOptions({"auto", "mean", "cls", "pooler"})],
        "max_length": [None, Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "cache_dir": [None, str, PathLike],
        "cache_size": [None, Interval(Integral, 0, None, closed="left")],
        "progress": PROGRESS,
    }

    def __init__(
        self,
        backbone: str = "st:all-MiniLM-L6-v2",
        *,
        pooling: Literal["auto", "mean", "cls", "pooler"] = "auto",
        max_length: int | None = None,
        batch_size: int = 32,
        device: Device = "auto",
        precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        cache_dir: FilePath | None = None,
        cache_size: int | None = None,
        progress: Progress = "auto",
    ):
        self.backbone = backbone
        self.pooling = pooling
        self.max_length = max_length
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.cache_dir = cache_dir
        self.cache_size = cache_size
        self.progress = progress

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Iterable[str], y: Any = None) -> Self:
        """Load the network and look at one text.

        Parameters
        ----------
        X : sequence of str
            Texts, as in `transform`.
        y : None
            Ignored.

        Returns
        -------
        TextExtractor
            The fitted transformer.

        Raises
        ------
        ValueError
            If the network does not exist, its file lacks weights or holds pickles, its pooling is
            not to be had, or ``max_length`` more than it has places for; if features are not
            finite, or depend on the texts beside one in a batch.
        TypeError
            If ``X`` holds anything but str, saying where.
        ImportError
            If a library is missing; the message names the extra.
        OSError
            If weights cannot be downloaded, or ``cache_dir`` not be made.
        """
        texts = Texts(X)
        if self.cache_dir is not None:
            FeatureCache(self.cache_dir)  # an OSError if there can be none
        device = self._device()
        self._backbone = load_text_network(self.backbone, self.pooling, self.max_length)
        self.backbone_id_, self._gaps = self._backbone.network_id
        self.pooling_, self.max_length_ = self._backbone.pooling, self._backbone.max_length
        exact = self._one(texts, "float32")

        def run(some):
            return self._backbone.encoder(device, "float32")(some)[0]

        if depends_on_others(run, proof_texts(texts[0])):
            raise ValueError(
                f"{self.backbone}: the features of a text depend on the texts beside it in a "
                "batch, as the network reads the padding, or are drawn at random. Name another."
            )
        self.precision_ = close_precision(
            lambda tried: self._one(texts, tried), exact, "torch", self.precision, device
        )
        self.n_features_out_ = exact.shape[1]
        return self

    def transform(self, X: Iterable[str]) -> np.ndarray:
        """Return the features of texts.

        Parameters
        ----------
        X : sequence of str
            A list, an array or a pandas Series, of one dimension. Texts may be empty.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Features, float32.

        Raises
        ------
        ValueError
            If the network fails on a text, naming it. What was computed before is in the cache.
        TypeError
            If ``X`` holds anything but str, saying where.
        OSError
            If the cache cannot be read.
        """
        check_is_fitted(self)
        return self._features_of(Texts(X))

    def _view(self, X):
        return Texts(X)

    @property
    def _unit(self):
        return self.batch_size * WINDOW

    def _keys(self):
        return Keys(self.backbone_id_, self._gaps, "text", "torch", self.precision_, _MAKERS)

    def _one(self, texts, precision):
        """Return the features of the first text, (1, n_features)."""
        encode = self._backbone.encoder(self._device(), precision)
        return next(run_texts(encode, texts, range(1), 1))[1]

    def _run(self, texts, rows, checked=None):
        """Yield rows and their features; a text cannot change meanwhile, so none is checked."""
        encode = self._loaded().encoder(self._device(), self.precision_)
        return run_texts(encode, texts, rows, self.batch_size, self.progress)

    def _loaded(self):
        """Return the network; after unpickling it is loaded again, and must be the same."""
        if not hasattr(self, "_backbone"):
            loaded = load_text_network(self.backbone, self.pooling, self.max_length)
            named = f"backbone={self.backbone!r}"
            check_same(loaded.network_id.digest, self.backbone_id_, named)
            self._backbone = loaded
        return self._backbone
