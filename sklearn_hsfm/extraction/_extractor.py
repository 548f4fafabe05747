"""FeatureExtractor: images in, features of a frozen backbone out."""

import functools
import os
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_hsfm._compat import HasMethods, Interval, StrOptions, _fit_context
from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import ArrayLike, BackboneLike, Device, FilePath, ImagesLike, Progress
from sklearn_hsfm.extraction._backbones import Backbone, load_network
from sklearn_hsfm.extraction._base import Extractor, check_same
from sklearn_hsfm.extraction._batches import preprocessed, run_batches
from sklearn_hsfm.extraction._cache import FeatureCache
from sklearn_hsfm.extraction._engines import PRECISIONS, check_engine
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.extraction._keys import Keys
from sklearn_hsfm.extraction._last_layer import proof_batch
from sklearn_hsfm.extraction._precision import check_alone, close_precision


class FeatureExtractor(Extractor):
    """Features of a frozen backbone, from images.

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="resnet50"
        A classification model of torchvision by name, "timm:NAME" or "open_clip:NAME" of these
        libraries, "hf:NAME" of transformers, on the hub or in a folder; a network, which is
        copied; or an `ERMClassifier`, which is fitted on the images and ``y`` if it is not yet,
        and brings its preprocessing.
    weights : "DEFAULT", path or None, default="DEFAULT"
        Published weights, downloaded once; a file of torch or safetensors, in which all but a
        head must fit, under whatever prefix; or random ones, the same every time. A network that
        is passed keeps its own unless a path is given.
    layer : str, default="pool"
        "pool" is what enters the last linear layer, the one whose product is the output of the
        network, as ``fit`` proves on one image; of a network without one, as its head was taken
        off, the vector that it returns, or that an encoder of transformers documents. "output" is
        what the network returns, else the output of
        a module by its name. Maps are averaged over space, tokens over tokens.
    preprocess : "auto", callable or None, default="auto"
        From an RGB PIL image (or a float tensor, for float arrays) to a tensor. "auto" is what
        belongs to the weights, or to a network of torchvision or timm that is passed; other
        networks take float tensors as they are, and need a callable for anything else. None
        takes float tensors as they are for any network, such as those of a data set that
        transforms its images itself.
    batch_size : int, default=32
        Images in the network at once.
    engine : {"torch", "openvino"}, default="torch"
        What runs the network. OpenVINO compiles it for the CPU, which takes seconds and pays for
        hundreds of images; it needs ``pip install 'sklearn_hsfm[openvino]'``. ``fit`` compares
        its features with those of torch on one image and refuses it if they are off by more
        than 1 %.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device where there is one and the engine can use it.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Of the forward pass. "auto" is float16 on CUDA, bfloat16 on CPUs with AMX, else float32;
        and float32 as well where ``fit`` finds the others off by more than 1 %. OpenVINO has no
        float16.
    n_jobs : int or None, default=None
        Threads that decode images while the network runs; None is one a core, 8 at most, of which
        one at a time calls a ``preprocess`` of your own. A data set is called by one thread alone.
    cache_dir : path or None, default=None
        Folder of a `FeatureCache`. Images that have been seen, in whichever split, are not
        computed again, and an interrupted run goes on where it stopped. What cannot be written
        there is a warning.
    cache_size : int or None, default=None
        Bytes of features to keep there; None keeps all.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.
    on_error : {"raise"}, default="raise"
        What a broken image does. Skipping it is not offered: features must match ``y``.

    Attributes
    ----------
    n_features_out_ : int
        Features.
    backbone_ : str, torch.nn.Module or estimator
        The backbone, fitted if it had to be.
    backbone_id_ : str
        Hash of the network, its weights and where its features are taken.
    layer_ : str
        The module whose input or output the features are, in words.
    preprocess_ : callable
        What images go through before the network.
    precision_ : str
        The precision that is used.

    See Also
    --------
    FeatureCache : What keeps the features.
    extract_shards : Features of more images than fit into memory, from many processes.

    Notes
    -----
    In a search, extraction is repeated for every candidate unless ``cache_dir`` is set: set it,
    or extract once and search on features.

    `extract_shards` puts the features of many files into one file, on many processes or machines
    at once. Processes may also share ``cache_dir``: each calls ``transform(files[k::n])`` for its
    own ``k`` of ``n``, and ``transform(files)`` afterwards finds everything there. A file counts
    as the same by path, times and size, so all must see it under one path; SQLite needs a file
    system whose locks work, which some network ones lack.

    Features are kept under all that makes them: the state and code of network and
    ``preprocess``, with closures, defaults, attributes and the globals that they read (but not
    files that they read), the versions of torch, torchvision and Pillow, and the image. What has
    no state that could be saved, as an open file, is not kept, with a warning; a class may leave
    what changes no result, as a counter, out of ``__getstate__``.

    Image files are turned upright as their EXIF orientation says, as are PIL images just opened;
    images that were processed already are taken as they are. Of animated ones the first frame
    counts. Transparency is dropped, and 16 bits of grey become 8. Hidden files are left out.

    A network is copied by every clone; wrap the fitted extractor into `FrozenEstimator` to
    avoid that. The network itself is not pickled where it has a name: it is loaded again.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.extraction import FeatureExtractor
    >>> images = np.random.RandomState(0).randint(256, size=(4, 40, 40, 3), dtype=np.uint8)
    >>> extractor = FeatureExtractor("resnet18", weights=None)  # weights="DEFAULT" downloads
    >>> extractor.fit_transform(images).shape
    (4, 512)
    """

    n_features_out_: int
    backbone_: Any
    backbone_id_: str
    layer_: str
    preprocess_: Callable[[Any], Any]
    precision_: str

    _parameter_constraints: dict = {  # noqa: RUF012
        "backbone": [str, nn.Module, HasMethods("fit")],
        "weights": [None, str, os.PathLike],
        "layer": [str],
        "preprocess": [StrOptions({"auto"}), callable, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "engine": [StrOptions(set(PRECISIONS))],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "n_jobs": [None, Interval(Integral, 1, None, closed="left")],
        "cache_dir": [None, str, os.PathLike],
        "cache_size": [None, Interval(Integral, 0, None, closed="left")],
        "progress": PROGRESS,
        "on_error": "no_validation",
    }

    def __init__(
        self,
        backbone: BackboneLike = "resnet50",
        *,
        weights: FilePath | None = "DEFAULT",
        layer: str = "pool",
        preprocess: Literal["auto"] | Callable[[Any], Any] | None = "auto",
        batch_size: int = 32,
        engine: Literal["torch", "openvino"] = "torch",
        device: Device = "auto",
        precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        n_jobs: int | None = None,
        cache_dir: FilePath | None = None,
        cache_size: int | None = None,
        progress: Progress = "auto",
        on_error: Literal["raise"] | Callable[..., Any] = "raise",
    ):
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.engine = engine
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.cache_size = cache_size
        self.progress = progress
        self.on_error = on_error

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ImagesLike, y: ArrayLike | None = None) -> Self:
        """Load the backbone and look at one image.

        Parameters
        ----------
        X : folder, sequence of paths, array, tensor, sequence of PIL images, or Dataset
            Images, as in `transform`.
        y : array-like of shape (n_samples,), default=None
            Labels, for an estimator that is not fitted yet; ignored otherwise.

        Returns
        -------
        FeatureExtractor
            The fitted transformer.

        Raises
        ------
        ValueError
            If the backbone, its layer or its weights do not exist or fit; if no layer is proven
            to be the last one and none is named; if features are not finite, or depend on the
            images beside one in a batch; if ``X`` holds no images, or such as the preprocessing
            does not take; if the engine has no such precision or device, or is more
            than 1 % off.
        ImportError
            If the packages of the backbone or the engine are missing; the message names the
            extra.
        OSError
            If weights cannot be downloaded; the message says where to put the file. If
            ``cache_dir`` cannot be made.
        """
        if self.on_error != "raise":
            raise ValueError(
                f"on_error={self.on_error!r} is not offered: features without rows for broken "
                "images would no longer match y. Remove the images that the error names."
            )
        check_engine(self.engine, self.precision, self._device())
        images = Images(X)
        if self.cache_dir is not None:
            FeatureCache(self.cache_dir)  # an OSError if there can be none
        self.backbone_ = self.backbone
        if hasattr(self.backbone, "fit") and not hasattr(self.backbone, "module_"):
            self.backbone_ = clone(self.backbone).fit(X, y)
        loaded = load_network(self.backbone_, self.weights, self.preprocess)
        self.preprocess_ = loaded.preprocess
        first = proof_batch(self._first(images))
        self._backbone = Backbone(loaded, self.preprocess_, layer=self.layer, batch=first)
        self._tap, self.layer_ = self._backbone.tap, self._backbone.tap.described()
        self.backbone_id_, self._gaps = self._backbone.network_id
        exact = self._one(images, "torch", "float32")
        if self.batch_size > 1:
            run = self._backbone.runner("torch", self._device(), "float32")
            check_alone(run, first)
        of_precision = functools.partial(self._one, images, self.engine)
        self.precision_ = close_precision(
            of_precision, exact, self.engine, self.precision, self._device()
        )
        self.n_features_out_ = exact.shape[1]
        return self

    def _first(self, images):
        """Return the first image as the network takes it, which must be the same each time."""
        name = images.name(0)
        first, again = (preprocessed(images.load(0), self.preprocess_, name) for _ in range(2))
        if not torch.equal(first, again):
            warnings.warn(
                f"{name} is another each time that it is loaded and preprocessed, and so are its "
                "features. Leave augmentation out of data set and preprocess.",
                stacklevel=4,
            )
        return first

    def _one(self, images, engine, precision):
        """Return the features of the first image, (1, n_features)."""
        return next(self._run(images, [0], engine, precision))[1]

    def transform(self, X: ImagesLike) -> np.ndarray:
        """Return the features of images.

        Parameters
        ----------
        X : folder, sequence of paths, array, tensor, sequence of PIL images, or Dataset
            A folder gives its image files, also of folders in it, in the order of their paths.
            Arrays are uint8 (n, height, width, 3) or float (n, channels, height, width). Of
            a dataset's items that are tuples the first element counts, of dicts "image", "img",
            "pixel_values" or "x". Datasets and columns of Hugging Face, and those of WILDS, are
            read like torch's; of a DataLoader its dataset is, if that is in order. Floats are of
            three channels in [0, 1] where they are preprocessed by what belongs to the backbone,
            and else what the backbone takes, such as one channel.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Features, float32.

        Raises
        ------
        ValueError
            If an image cannot be read or preprocessed, naming it. What was computed before is in
            the cache.
        OSError
            If the cache cannot be read.
        """
        check_is_fitted(self)
        return self._features_of(Images(X))

    def _view(self, X):
        return Images(X)

    @property
    def _unit(self):
        return self.batch_size

    def _keys(self):
        made_by = self.backbone_id_, self._gaps, self.preprocess_, self.engine, self.precision_
        hf = isinstance(self.backbone, str) and self.backbone.startswith("hf:")
        return Keys(*made_by, also=("transformers",) if hf else ())

    def _run(self, images, rows, engine=None, precision=None, checked=None):
        """Yield rows and their features; only runs as fitted show progress."""
        backbone = self._loaded()
        run = backbone.runner(engine or self.engine, self._device(), precision or self.precision_)
        progress = self.progress if engine is None else False
        preprocess, size = backbone.preprocess, self.batch_size
        return run_batches(run, images, rows, preprocess, size, self.n_jobs, progress, checked)

    def _device(self):
        compiled = self.engine != "torch"
        return resolve_device("cpu" if compiled and self.device == "auto" else self.device)

    def _loaded(self):
        """Return the backbone; after unpickling it is loaded again, and must be the same."""
        if not hasattr(self, "_backbone"):
            loaded = load_network(self.backbone_, self.weights, self.preprocess)
            backbone = Backbone(loaded, self.preprocess_, self._tap)
            named = f"backbone={self.backbone!r} with weights={self.weights!r}"
            check_same(backbone.network_id.digest, self.backbone_id_, named)
            self._backbone = backbone
        return self._backbone
