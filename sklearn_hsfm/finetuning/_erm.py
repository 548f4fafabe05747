"""ERMClassifier: a backbone fine-tuned end to end on images."""

import json
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from torch import nn

from sklearn_hsfm._choosing.folds import stratified_part
from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm._typing import ArrayLike, Device, FilePath, ImagesLike, Module, RandomStateLike
from sklearn_hsfm._validation_set import class_indices
from sklearn_hsfm.extraction._backbones import check_head, load_network
from sklearn_hsfm.extraction._batches import preprocessed
from sklearn_hsfm.extraction._last_layer import Tap, proof_batch
from sklearn_hsfm.extraction._seeds import seeded
from sklearn_hsfm.finetuning._checkpoint import CheckpointFile
from sklearn_hsfm.finetuning._head import with_head
from sklearn_hsfm.finetuning._labelled import encoded, labelled_images
from sklearn_hsfm.finetuning._network_classifier import NetworkClassifierMixin
from sklearn_hsfm.finetuning._run import curves, make_net, parts_of, trained
from sklearn_hsfm.finetuning._training import Rows, flip

_LARGE = np.iinfo(np.int32).max  # seeds lie below
_COUNT = [Interval(Integral, 1, None, closed="left")]
_NOT_NEGATIVE = [Interval(Real, 0, None, closed="left")]


class ERMClassifier(NetworkClassifierMixin, ClassifierMixin, BaseEstimator):
    """Fine-tune a backbone and its head end to end, by plain empirical risk minimisation.

    Parameters
    ----------
    backbone, weights, preprocess : as in `FeatureExtractor`
        What to fine-tune. The last linear layer, which ``fit`` finds by running the network on
        the first image, is replaced by one for the classes; a network without one that returns
        vectors gets one behind it.
    epochs : int, default=20
        Epochs at most.
    lr : float, default=1e-3
        Learning rate of SGD, the largest of a schedule.
    schedule : {"cosine", "step", "one-cycle"} or None, default=None
        Of the learning rate, over all steps of all epochs: down along a cosine; to a tenth after
        each third of the epochs; up and down again as torch's `OneCycleLR`; or constant.
    momentum : float, default=0.9
        Momentum of SGD.
    weight_decay : float, default=1e-4
        Weight decay of SGD.
    batch_size : int, default=32
        Images of a step. Where a single image would be left over and the network has batch
        normalisation, which cannot train on one, each epoch leaves one image out.
    augment : "flip", callable or None, default="flip"
        What happens to a training image before it is preprocessed: mirrored half of the time,
        a function of the PIL image, or nothing.
    validation_fraction : float, default=0.1
        Part of the images, stratified by class, that chooses the epoch when ``fit`` gets no
        ``X_val``.
    patience : int or None, default=None
        Epochs without a better validation accuracy after which training stops.
    checkpoint_dir : path or None, default=None
        Folder for a checkpoint after every epoch. A fit that was interrupted goes on there, and
        ends as it would have without the interruption, if settings, network, images, labels and
        validation images are the same. A checkpoint that cannot be written is a warning.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device where there is one.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the forward pass; weights stay float32.
    n_jobs : int or None, default=None
        Processes that decode and augment images; None leaves that to the one that trains. Each
        number of them draws other augmentations.
    random_state : int, RandomState instance or None, default=None
        Draws the head, the held-out images, batches and augmentation.
    verbose : int, default=0
        Print a line an epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    module_ : torch.nn.Module
        The network, of the epoch with the best validation accuracy (of equals the first).
    preprocess_ : callable
        What images go through before it.
    coef_, intercept_ : ndarray of shape (n_classes, n_features) and (n_classes,)
        The head, as ``init_head`` of `HSFMClassifier` takes it.
    history_ : dict of ndarray
        "train_loss", "valid_loss" and "valid_acc" of each epoch, before training diverged, if
        it did.
    best_epoch_ : int
        The epoch that was kept, from 1.
    n_iter_ : int
        Epochs that were trained.

    See Also
    --------
    FeatureExtractor : Takes this estimator as its backbone.

    Notes
    -----
    Uses validation labels to choose the epoch, by plain accuracy: ERM knows no groups.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.extraction import FeatureExtractor
    >>> from sklearn_hsfm.finetuning import ERMClassifier
    >>> images = np.random.RandomState(0).randint(256, size=(8, 32, 32, 3), dtype=np.uint8)
    >>> y = ["cat", "dog"] * 4
    >>> erm = ERMClassifier("mobilenet_v3_small", weights=None, epochs=1, random_state=0)
    >>> erm = erm.fit(images, y, images, y)
    >>> FeatureExtractor(erm).fit(images).transform(images).shape, erm.coef_.shape
    ((8, 1024), (2, 1024))
    """

    classes_: np.ndarray
    module_: Module
    preprocess_: Callable[[Any], Any]
    history_: dict[str, np.ndarray]
    best_epoch_: int
    n_iter_: int

    __metadata_request__fit = {"X_val": True, "y_val": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "backbone": [str, nn.Module],
        "weights": "no_validation",  # load_network says more
        "preprocess": [StrOptions({"auto"}), callable, None],
        "epochs": _COUNT,
        "lr": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"cosine", "step", "one-cycle"}), None],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": _NOT_NEGATIVE,
        "batch_size": _COUNT,
        "augment": [StrOptions({"flip"}), callable, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [None, *_COUNT],
        "checkpoint_dir": "no_validation",
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "n_jobs": [None, *_COUNT],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | Module = "resnet50",
        *,
        weights: FilePath | None = "DEFAULT",
        preprocess: Literal["auto"] | Callable[[Any], Any] | None = "auto",
        epochs: int = 20,
        lr: float = 1e-3,
        schedule: Literal["cosine", "step", "one-cycle"] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        batch_size: int = 32,
        augment: Literal["flip"] | Callable[..., Any] | None = "flip",
        validation_fraction: float = 0.1,
        patience: int | None = None,
        checkpoint_dir: FilePath | None = None,
        device: Device = "auto",
        precision: Literal["float32", "bfloat16"] = "float32",
        n_jobs: int | None = None,
        random_state: RandomStateLike = None,
        verbose: int = 0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.preprocess = preprocess
        self.epochs = epochs
        self.lr = lr
        self.schedule = schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.augment = augment
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ImagesLike, y: ArrayLike, X_val: ImagesLike = None, y_val: ArrayLike | None = None
    ) -> Self:
        """Fine-tune the network.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.
        y : array-like of shape (n_samples,)
            Labels.
        X_val : images, default=None
            Validation images, to choose the epoch.
        y_val : array-like of shape (n_val,), default=None
            Their labels.

        Returns
        -------
        ERMClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If images and labels do not fit together; if the network has no last layer that could
            be replaced; if training diverges in its first epoch (later it is a warning, and the
            best epoch before is kept); if ``checkpoint_dir`` holds a run with other settings or
            data, more epochs, or a damaged one, or this run holds what cannot be known again.
        OSError
            If ``checkpoint_dir`` cannot be made or read.
        """
        file = None if self.checkpoint_dir is None else CheckpointFile(self.checkpoint_dir)
        saved = None if file is None else file.read()
        root = self.random_state
        if root is None:  # a run that goes on draws what it drew
            root = check_random_state(None).randint(_LARGE) if saved is None else saved["drawn"]
        rng, device = check_random_state(root), resolve_device(self.device)
        seed = int(rng.randint(_LARGE))
        images, labels = labelled_images(X, y)
        self.classes_, y = encoded(labels)
        with seeded(seed, device):
            loaded = load_network(self.backbone, self.weights, self.preprocess)
            self.preprocess_ = loaded.preprocess
            first = preprocessed(images.load(0), self.preprocess_, images.name(0))
            train, valid = self._parts(images, y, X_val, y_val, rng, tuple(first.shape))
            parts = None if file is None else parts_of(self, loaded.network, train, valid, seed)
            if saved is not None:
                file.check(saved, parts, self.epochs)
            network, head = with_head(loaded.network, len(self.classes_), proof_batch(first))
            check_head(loaded.unread, Tap(head, before=True))
            net = make_net(self, network.requires_grad_(True), train, valid, seed, device)
            drawn = int(root) if self.random_state is None else None
            marks = {"parts": json.dumps(parts), "drawn": drawn}
            history = trained(self, net, train, file, saved, marks)
        self.module_, self._head_name = net.module_.cpu().eval(), head
        self.history_ = curves(history)
        self.best_epoch_ = int(self.history_["valid_acc"].argmax()) + 1
        self.n_iter_ = len(history)
        return self

    def _parts(self, images, y, X_val, y_val, rng, shape):
        """Return the data sets that are trained on and that choose the epoch."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val come together; only one of them was passed.")
        augment = flip if self.augment == "flip" else self.augment
        every = np.arange(len(y))
        if X_val is None:
            held = stratified_part(y, self.validation_fraction, rng)
            train = Rows(images, y, every[~held], self.preprocess_, augment, shape)
            return train, Rows(images, y, every[held], self.preprocess_, None, shape)
        images_val, y_val = labelled_images(X_val, y_val, "y_val")
        y_val = class_indices(y_val, self.classes_, "y_val")
        valid = Rows(images_val, y_val, np.arange(len(y_val)), self.preprocess_, None, shape)
        return Rows(images, y, every, self.preprocess_, augment, shape), valid
