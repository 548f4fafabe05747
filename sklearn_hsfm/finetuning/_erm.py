"""ERMClassifier: a backbone fine-tuned end to end on images."""

import copy
import hashlib
import json
import math
import tempfile
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Checkpoint
from skorch.helper import predefined_split
from torch import nn

from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm._validation_set import class_indices, stratified_part
from sklearn_hsfm.extraction._backbones import described, last_linear, load_network
from sklearn_hsfm.extraction._batches import run_batches
from sklearn_hsfm.extraction._engines import torch_engine
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.finetuning._training import (
    Last,
    Net,
    Patience,
    Rows,
    Schedule,
    SeedOfEpoch,
    flip,
    learning_rates,
)

_COUNT = [Interval(Integral, 1, None, closed="left")]
_NOT_NEGATIVE = [Interval(Real, 0, None, closed="left")]


class ERMClassifier(ClassifierMixin, BaseEstimator):
    """Fine-tune a backbone and its head end to end, by plain empirical risk minimisation.

    Parameters
    ----------
    backbone, weights, preprocess : as in `FeatureExtractor`
        What to fine-tune. The last linear layer is replaced by one for the classes.
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
        Images of a step.
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
        ends as it would have without the interruption.
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
        "train_loss", "valid_loss" and "valid_acc" of each epoch.
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

    __metadata_request__fit = {"X_val": True, "y_val": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "backbone": [str, nn.Module],
        "weights": "no_validation",  # load_network says more
        "preprocess": [StrOptions({"auto"}), callable],
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
        backbone="resnet50",
        *,
        weights="DEFAULT",
        preprocess="auto",
        epochs=20,
        lr=1e-3,
        schedule=None,
        momentum=0.9,
        weight_decay=1e-4,
        batch_size=32,
        augment="flip",
        validation_fraction=0.1,
        patience=None,
        checkpoint_dir=None,
        device="auto",
        precision="float32",
        n_jobs=None,
        random_state=None,
        verbose=0,
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
    def fit(self, X, y, X_val=None, y_val=None):
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
            If images and labels do not fit together, or ``checkpoint_dir`` holds a run with
            other settings.
        """
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        images, y = self._labelled(X, y, "y")
        self.classes_, y = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()}; it must have two or more."
            )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network, self.preprocess_ = load_network(self.backbone, self.weights, self.preprocess)
            network = _with_head(network, len(self.classes_))
            train, valid = self._parts(images, y, X_val, y_val, rng)
            net = self._net(network, train, valid, seed)
            self._train(net, train, seed)
        self.module_ = net.module_.cpu().eval()
        self.history_ = {
            key: np.array(net.history[:, key]) for key in ("train_loss", "valid_loss", "valid_acc")
        }
        self.best_epoch_ = int(self.history_["valid_acc"].argmax()) + 1
        self.n_iter_ = len(net.history)
        return self

    def _labelled(self, X, y, name):
        images = Images(X)
        y = column_or_1d(y)
        check_classification_targets(y)
        if len(y) != len(images):
            raise ValueError(f"There are {len(images)} images, but {name} has {len(y)} labels.")
        return images, y

    def _parts(self, images, y, X_val, y_val, rng):
        """Return the data sets that are trained on and that choose the epoch."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val come together; only one of them was passed.")
        augment = flip if self.augment == "flip" else self.augment
        every = np.arange(len(y))
        if X_val is None:
            held = stratified_part(y, self.validation_fraction, rng)
            train = Rows(images, y, every[~held], self.preprocess_, augment)
            return train, Rows(images, y, every[held], self.preprocess_)
        images_val, y_val = self._labelled(X_val, y_val, "y_val")
        y_val = class_indices(y_val, self.classes_, "y_val")
        valid = Rows(images_val, y_val, np.arange(len(y_val)), self.preprocess_)
        return Rows(images, y, every, self.preprocess_, augment), valid

    def _net(self, network, train, valid, seed):
        callbacks = [("seed", SeedOfEpoch(seed))]
        if self.schedule is not None:
            n_batches = math.ceil(len(train) / self.batch_size)
            rates = learning_rates(self.schedule, self.lr, self.epochs, n_batches)
            callbacks.append(("schedule", Schedule(rates)))
        return Net(
            network,
            precision=self.precision,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            optimizer__momentum=self.momentum,
            optimizer__weight_decay=self.weight_decay,
            lr=self.lr,
            max_epochs=self.epochs,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            iterator_train__num_workers=self.n_jobs or 0,
            iterator_valid__num_workers=self.n_jobs or 0,
            classes=np.arange(len(self.classes_)),
            train_split=predefined_split(valid),
            callbacks=callbacks,
            device=resolve_device(self.device),
            verbose=self.verbose,
        )

    def _train(self, net, train, seed):
        """Train what is left, checkpoint after checkpoint, and go back to the best epoch."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch if self.checkpoint_dir is None else self.checkpoint_dir)
            folder.mkdir(parents=True, exist_ok=True)
            _check_same_run(folder, self._run_id(train, seed))
            last = Last(folder / "last.pt")
            best = Checkpoint(monitor="valid_acc_best", dirname=folder, fn_prefix="best_")
            stop = Patience(self.patience)
            # The best is written first: "last" is what says how far a run has come.
            ends = [("best", best), ("last", last), ("stop", stop)]
            net.set_params(callbacks=[*net.callbacks, *ends])
            net.initialize()
            last.resume(net)
            left = self.epochs - len(net.history)
            if left > 0 and not stop.is_due(net.history):
                net.partial_fit(train, epochs=left)
            history = net.history
            done = "valid_acc" in history[-1] and len(history) == self.epochs
            if not (done or stop.is_due(history)):
                raise KeyboardInterrupt  # which skorch takes for the end of the training
            net.load_params(checkpoint=best)
            net.history = history

    def _run_id(self, train, seed):
        settings = {
            name: described(value)
            for name, value in self.get_params(deep=False).items()
            if name not in ("backbone", "checkpoint_dir", "device", "epochs", "verbose")
        }
        if self.schedule is not None:  # without one more epochs can be added to a run
            settings["epochs"] = self.epochs
        settings["random_state"] = seed if self.random_state is not None else "any"
        settings["n_train"], settings["classes"] = len(train), self.classes_.tolist()
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @property
    def coef_(self):
        """Weights of the head, (n_classes, n_features)."""
        return self._head().weight.detach().numpy().copy()

    @property
    def intercept_(self):
        """Intercepts of the head, (n_classes,)."""
        return self._head().bias.detach().numpy().copy()

    def _head(self):
        if "module_" not in vars(self):  # so that hasattr tells whether it is fitted
            raise AttributeError("ERMClassifier has no head before fit.")
        return last_linear(self.module_)[1]

    def decision_function(self, X):
        """Return the logits of images.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the log-odds of ``classes_[1]``.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X):
        """Return the probability of each class, (n_samples, n_classes).

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return softmax(self._logits(X), axis=1)

    def predict(self, X):
        """Return the most probable class of each image.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the kind that ``fit`` was given.
        """
        index = self._logits(X).argmax(axis=1)
        return self.classes_[index]

    def _logits(self, X):
        check_is_fitted(self, "module_")
        images, network = Images(X), copy.deepcopy(self.module_)
        run = torch_engine(network, network, resolve_device(self.device), self.precision)
        logits = np.empty((len(images), len(self.classes_)), dtype=np.float32)
        rows = range(len(images))
        for some, values in run_batches(run, images, rows, self.preprocess_, self.batch_size):
            logits[some] = values
        return logits

    def __sklearn_tags__(self):
        """Return the tags: images are not two-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _with_head(network, n_classes):
    """Replace the last linear layer by one for the classes; all parts are trained."""
    name, old = last_linear(network)
    if name is None:
        raise ValueError("The backbone has no linear layer that could become the head.")
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Linear(old.in_features, n_classes))
    return network.requires_grad_(True)


def _check_same_run(folder, run_id):
    """Refuse a folder of checkpoints that another run left."""
    mark = folder / "run.txt"
    if mark.is_file() and mark.read_text() != run_id:
        raise ValueError(
            f"checkpoint_dir={str(folder)!r} holds a run with other settings or data. Empty it to "
            "start anew, or name another folder."
        )
    mark.write_text(run_id)
