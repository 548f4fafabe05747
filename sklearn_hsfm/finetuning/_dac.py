"""Decompose-and-compose: the last layer refitted on images put together from others."""

from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state

from sklearn_hsfm._compat import Interval, StrOptions, _fit_context
from sklearn_hsfm._init_head import A_HEAD
from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm._linear_head import log_probabilities
from sklearn_hsfm._typing import ArrayLike, Head, ImagesLike, RandomStateLike
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning._made_rows import MadeRows, smallest
from sklearn_hsfm.finetuning._over_features import OverFeaturesMixin
from sklearn_hsfm.heads import ExtraRowsClassifier


class DaCClassifier(OverFeaturesMixin, ClassifierMixin, BaseEstimator):
    """Decompose-and-compose (DaC): refit the last layer on recombined images.

    Where the network looks decides what of a training image is foreground. The foreground of one
    image is put before the background of an image of another class, so that the background tells
    no class any more, and the last layer is refitted on the images as they are, on their
    foregrounds alone and on the combinations. The network stays.

    Parameters
    ----------
    extractor : FeatureExtractor, default=None
        Makes the features: of a frozen network, or with an `ERMClassifier` as its backbone; fitted
        on the images first if it is not yet. None is `FeatureExtractor()`.
    foreground : {"salient", "rest"}, default="salient"
        What keeps its label: the places that the network looks at, or the others. Take "rest"
        where what it looks at is the shortcut, as an easy digit beside a difficult object.
    alpha : float, default=6.0
        Weight of a foreground alone and of a combination; an image as it is has 1. Published
        are 6, and 10 for Waterbirds.
    quantile : float, default=0.8
        Part of the images of each class, those with the smallest losses, that is taken apart.
    n_combined : int, default=1
        Backgrounds for each foreground.
    layer : str, default="auto"
        Module whose maps are looked at; "auto" is the last that gives maps of more than one place.
    init_head : None, estimator, tuple (coef, intercept), torch.nn.Linear or network, default=None
        The head that says where the network looks and which losses are small. None is that of
        the `ERMClassifier` in the extractor, else a logistic regression on the features.
    C : float, default=0.01
        Inverse strength of the L2 penalty of the new head, on standardised features.
    random_state : int, RandomState instance or None, default=None
        Draws who is combined with whom.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    extractor_ : FeatureExtractor
        The fitted extractor.
    head_ : ExtraRowsClassifier
        The fitted head.
    coef_, intercept_ : ndarray
        Its weights on raw features, and intercepts.
    layer_ : str
        The module whose maps were looked at.
    taken_apart_ : ndarray of shape (n_taken,)
        Training images that were taken apart, as indices.
    foreground_fraction_ : ndarray of shape (n_taken,)
        Which part of each of them is foreground.

    See Also
    --------
    MaskTuneClassifier : Hides what is salient, and trains the whole network on.
    sklearn_hsfm.heads.ExtraRowsClassifier : The head, for images that you made yourself.
    sklearn_hsfm.deployment.repaired : The network with ``head_`` in place.

    Notes
    -----
    Uses class labels alone; the published figures select by validation groups.

    Saliency is xGradCAM of the image's class. Of the most salient places a tenth, two tenths, and
    so on are kept, the others have the mean colour, and the knee of the losses, the point farthest
    below the diagonal, says how many are enough; the paper names an elbow, and this is our
    reading of it. With ``foreground="rest"`` the other places are the foreground. What is neither
    the foreground of the one image nor the background of the other has the mean colour, too.

    The paper draws combinations for each batch of a stochastic descent, and takes the smallest
    losses of the batch; here they are drawn once, the smallest losses are those of the class, and
    an exact solver fits.

    References
    ----------
    .. [1] F. Noohdani et al.: "Decompose-and-Compose: A Compositional Approach to Mitigating
       Spurious Correlation", CVPR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.extraction import FeatureExtractor
    >>> from sklearn_hsfm.finetuning import DaCClassifier
    >>> images = np.random.RandomState(0).randint(256, size=(8, 64, 64, 3), dtype=np.uint8)
    >>> y = ["cat", "dog"] * 4
    >>> clf = DaCClassifier(FeatureExtractor("resnet18", weights=None), random_state=0)
    >>> clf.fit(images, y).predict(images).shape, clf.taken_apart_.shape
    ((8,), (6,))
    """

    classes_: np.ndarray
    extractor_: FeatureExtractor
    head_: ExtraRowsClassifier
    layer_: str
    taken_apart_: np.ndarray
    foreground_fraction_: np.ndarray

    uses = LabelUse()

    _parameter_constraints: dict = {  # noqa: RUF012
        "extractor": [FeatureExtractor, None],
        "foreground": [StrOptions({"salient", "rest"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "quantile": [Interval(Real, 0, 1, closed="right")],
        "n_combined": [Interval(Integral, 1, None, closed="left")],
        "layer": [str],
        "init_head": [None, *A_HEAD],
        "C": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        *,
        foreground: Literal["salient", "rest"] = "salient",
        alpha: float = 6.0,
        quantile: float = 0.8,
        n_combined: int = 1,
        layer: str = "auto",
        init_head: Head | None = None,
        C: float = 0.01,
        random_state: RandomStateLike = None,
    ):
        self.extractor = extractor
        self.foreground = foreground
        self.alpha = alpha
        self.quantile = quantile
        self.n_combined = n_combined
        self.layer = layer
        self.init_head = init_head
        self.C = C
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ImagesLike, y: ArrayLike) -> Self:
        """Take images apart, combine them, and refit the last layer.

        Parameters
        ----------
        X : images
            As in `FeatureExtractor.transform`.
        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        DaCClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If images and labels do not fit together, ``y`` has one class, or no module, or not the
            one that is named, gives maps.
        """
        rng = check_random_state(self.random_state)
        images, labels, y = self._labelled(X, y)
        features = self._features(X, labels)
        head = self._first_head(features, y)
        losses = -log_probabilities(features @ head[0].T + head[1])[np.arange(len(y)), y]
        self.taken_apart_ = smallest(losses, y, self.quantile)
        made = MadeRows(self.extractor_, self.layer, self.foreground, images, y, head)
        extra, labels_extra, self.foreground_fraction_ = made.of(
            self.taken_apart_, self.n_combined, rng
        )
        self.layer_ = made.layer
        made_as = self.classes_[labels_extra]
        self._refit(features, labels, self.alpha, X_extra=extra, y_extra=made_as)
        return self
