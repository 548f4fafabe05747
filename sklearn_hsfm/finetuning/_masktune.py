"""MaskTune: one more epoch on images without what the network looks at most."""

import copy
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._core.device import resolve_device
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._typing import ArrayLike, ImagesLike, Module, RandomStateLike
from sklearn_hsfm.extraction._batches import preprocessed, run_batches
from sklearn_hsfm.extraction._images import Images
from sklearn_hsfm.extraction._last_layer import proof_batch
from sklearn_hsfm.extraction._saliency import Saliency, brought_to, most_salient
from sklearn_hsfm.extraction._seeds import seeded
from sklearn_hsfm.finetuning._erm import ERMClassifier
from sklearn_hsfm.finetuning._labelled import labelled_images
from sklearn_hsfm.finetuning._network_classifier import NetworkClassifierMixin
from sklearn_hsfm.finetuning._run import curves, make_net, trained
from sklearn_hsfm.finetuning._training import Rows, flip

_LARGE = np.iinfo(np.int32).max  # seeds lie below


class MaskTuneClassifier(NetworkClassifierMixin, ClassifierMixin, BaseEstimator):
    """MaskTune: train one more epoch on images whose most salient places are masked.

    What a fine-tuned network looks at most may be the shortcut. It is set to 0 in every training
    image, and one further epoch has to find something else. Nobody says what the shortcut is, so
    where the network looks at the object itself, the object is masked.

    Parameters
    ----------
    estimator : ERMClassifier, default=None
        The fine-tuned network; it is fitted on the images first if it is not yet. None is
        `ERMClassifier()`.
    layer : str, default="auto"
        Module whose maps are looked at, by its name; "auto" is the last one that gives maps of
        more than one place.
    n_std : float, default=2.0
        A place is masked where the saliency is more than its mean and so many standard
        deviations, both over the places of that image where it is positive.
    lr : float or None, default=None
        Learning rate of the further epoch, constant; None is that of the estimator.
    augment : "flip", callable or None, default="flip"
        What happens to a masked image, a preprocessed tensor: mirrored half of the time, a
        function of the tensor, or nothing. The estimator's own is for images before that.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out images, batches and augmentation of the further epoch.
    verbose : int, default=0
        Print a line for the epoch.

    Attributes
    ----------
    estimator_ : ERMClassifier
        The network as it was before.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    module_ : torch.nn.Module
        The network behind the further epoch.
    preprocess_ : callable
        What images go through before it.
    coef_, intercept_ : ndarray of shape (n_classes, n_features) and (n_classes,)
        Its head, as ``init_head`` of `HSFMClassifier` takes it.
    layer_ : str
        The module whose maps were looked at.
    masked_fraction_ : ndarray of shape (n_samples,)
        Which part of each training image was masked.
    history_ : dict of ndarray
        "train_loss", "valid_loss" and "valid_acc" of the further epoch, the latter two on
        images that are not masked.

    See Also
    --------
    DaCClassifier : Recombines what is salient and what is not, and refits the head alone.

    Notes
    -----
    Uses class labels; validation labels only as the estimator does. Nothing is chosen by the
    further epoch: it is always kept.

    The saliency is xGradCAM of the predicted class, brought to the size of the network's input
    bilinearly. An image is masked as the network takes it, after preprocessing: 0 is the mean
    colour where that normalises, else black. The optimiser starts anew.

    References
    ----------
    .. [1] S. Asgari et al.: "MaskTune: Mitigating Spurious Correlations by Forcing to Explore",
       NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.finetuning import ERMClassifier, MaskTuneClassifier
    >>> images = np.random.RandomState(0).randint(256, size=(8, 64, 64, 3), dtype=np.uint8)
    >>> y = ["cat", "dog"] * 4
    >>> erm = ERMClassifier("mobilenet_v3_small", weights=None, epochs=1, random_state=0)
    >>> clf = MaskTuneClassifier(erm, random_state=0).fit(images, y, images, y)
    >>> clf.masked_fraction_.shape, clf.predict(images).shape
    ((8,), (8,))
    """

    estimator_: ERMClassifier
    classes_: np.ndarray
    module_: Module
    preprocess_: Callable[[Any], Any]
    layer_: str
    masked_fraction_: np.ndarray
    history_: dict[str, np.ndarray]

    uses = LabelUse(validation_labels=True)

    __metadata_request__fit = {"X_val": True, "y_val": True}  # noqa: RUF012

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [ERMClassifier, None],
        "layer": [str],
        "n_std": [Interval(Real, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither"), None],
        "augment": [StrOptions({"flip"}), callable, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: ERMClassifier | None = None,
        *,
        layer: str = "auto",
        n_std: float = 2.0,
        lr: float | None = None,
        augment: Literal["flip"] | Callable[..., Any] | None = "flip",
        random_state: RandomStateLike = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.layer = layer
        self.n_std = n_std
        self.lr = lr
        self.augment = augment
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ImagesLike, y: ArrayLike, X_val: ImagesLike = None, y_val: ArrayLike | None = None
    ) -> Self:
        """Mask the images and train the further epoch; fit the estimator before if need be.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.
        y : array-like of shape (n_samples,)
            Labels.
        X_val : images, default=None
            Validation images, by which the estimator chooses its epoch; without them both hold
            a part of ``X`` out.
        y_val : array-like of shape (n_val,), default=None
            Their labels.

        Returns
        -------
        MaskTuneClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If images and labels do not fit together or to the estimator's; if no module, or not
            the one that is named, gives maps; if the further epoch diverges.
        """
        rng = check_random_state(self.random_state)
        estimator = ERMClassifier() if self.estimator is None else self.estimator
        if not hasattr(estimator, "module_"):
            estimator = clone(estimator).fit(X, y, X_val, y_val)
        self.estimator_, self.classes_ = estimator, estimator.classes_
        self.preprocess_, self._head_name = estimator.preprocess_, estimator._head_name
        once = copy.copy(estimator)  # what trains as the estimator does, for one epoch
        lr = estimator.lr if self.lr is None else self.lr
        once.set_params(epochs=1, lr=lr, schedule=None, patience=None, checkpoint_dir=None)
        once.set_params(augment=None, verbose=self.verbose)
        images, y = labelled_images(X, y)
        y = class_indices(y, self.classes_, "y")
        first = preprocessed(images.load(0), self.preprocess_, images.name(0))
        train, valid = once._parts(images, y, X_val, y_val, rng, tuple(first.shape))
        salient = self._saliency(images)
        size = tuple(first.shape[-2:])
        train = MaskedRows(
            train, salient, self.n_std, flip if self.augment == "flip" else self.augment
        )
        self.masked_fraction_ = np.array(
            [
                float(most_salient(brought_to(s[None], size), self.n_std).float().mean())
                for s in salient
            ]
        )
        seed, device = int(rng.randint(_LARGE)), resolve_device(once.device)
        with seeded(seed, device):
            network = copy.deepcopy(estimator.module_).requires_grad_(True)
            net = make_net(once, network, train, valid, seed, device)
            history = trained(once, net, train, None, None, {})
        self.module_ = net.module_.cpu().eval()
        self.history_ = curves(history)
        return self

    def masks(self, X: ImagesLike) -> np.ndarray:
        """Return what would be masked in images, by the network as it was before.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.

        Returns
        -------
        bool ndarray of shape (n_samples, height, width)
            The most salient places, in the size that the network takes.
        """
        check_is_fitted(self, "module_")
        images = Images(X)
        first = preprocessed(images.load(0), self.preprocess_, images.name(0))
        salient = brought_to(self._saliency(images), tuple(first.shape[-2:]))
        return most_salient(salient, self.n_std).numpy()

    def _saliency(self, images):
        """Return the saliency of images in the places of the maps, a tensor (n, h, w)."""
        device = resolve_device(self.estimator_.device)
        network = copy.deepcopy(self.estimator_.module_).requires_grad_(False).eval()
        first = preprocessed(images.load(0), self.preprocess_, images.name(0))
        saliency = Saliency(network, self.layer, proof_batch(first))
        self.layer_ = saliency.layer
        network.to(device)
        shape = None

        def run(batch):
            nonlocal shape
            found = saliency(batch.to(device))[0].cpu()
            shape = found.shape[1:]
            return found.flatten(1).numpy()

        rows = range(len(images))
        parts = run_batches(run, images, rows, self.preprocess_, self.estimator_.batch_size)
        found = np.concatenate([values for _, values in parts])
        return torch.from_numpy(found).reshape(len(images), *shape)

    @property
    def _trained_as(self):
        return self.estimator_


class MaskedRows(Rows):
    """Images that are preprocessed, masked where they are most salient, and then augmented."""

    def __init__(self, rows, salient, n_std, augment):
        super().__init__(rows.images, rows.y, rows.rows, rows.preprocess, None, rows.shape)
        self.salient, self.n_std, self.masked_augment = salient, n_std, augment

    def __getitem__(self, index):
        tensor, label = super().__getitem__(index)
        salient = brought_to(self.salient[self.rows[index]][None], tensor.shape[-2:])
        tensor = torch.where(most_salient(salient, self.n_std), 0.0, tensor)
        return (tensor if self.masked_augment is None else self.masked_augment(tensor)), label
