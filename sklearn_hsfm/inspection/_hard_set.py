"""HardSetDisplay: the rows that were mined, or that have the largest losses, as a grid."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np

from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._compat import Interval, validate_params
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._typing import ArrayLike, Axes, Figure, ImagesLike
from sklearn_hsfm.inspection._axes import axes_for, plain
from sklearn_hsfm.inspection._kept import check_keeps
from sklearn_hsfm.inspection._pictures import check_images, picture
from sklearn_hsfm.metrics._columns import check_same_length, one_column, sorted_values


class HardSetDisplay:
    """A grid of hard samples, with label, prediction, loss and how often each was mined.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,)
        Which samples, hardest first.
    y_true, y_pred : ndarray of shape (n_rows,)
        Their labels and predictions.
    loss : ndarray of shape (n_rows,)
        Their cross-entropy, in nats.
    pictures : list of ndarray
        What to draw of each sample: an image, or its features as one line.
    times : ndarray of shape (n_rows,), default=None
        In how many epochs each was mined.
    n_epochs : int, default=None
        Of how many.

    Attributes
    ----------
    images_ : list of AxesImage
        What was drawn.
    ax_ : ndarray of Axes of shape (n_rows,)
        Where.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.inspection import HardSetDisplay
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = HSFMClassifier(epochs=5, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> display = HardSetDisplay.from_estimator(
    ...     clf, data.X_val, data.y_val, images=data.X_val.reshape(-1, 16, 8), n_rows=6)
    >>> display.times.tolist()
    [5, 5, 5, 5, 5, 5]
    """

    images_: list[Any]
    ax_: np.ndarray
    figure_: Figure

    def __init__(
        self,
        rows: np.ndarray,
        y_true: np.ndarray,
        y_pred: np.ndarray,
        loss: np.ndarray,
        pictures: list[np.ndarray],
        *,
        times: np.ndarray | None = None,
        n_epochs: int | None = None,
    ):
        self.rows = rows
        self.y_true = y_true
        self.y_pred = y_pred
        self.loss = loss
        self.pictures = pictures
        self.times = times
        self.n_epochs = n_epochs

    @classmethod
    def from_estimator(
        cls,
        estimator: HSFMClassifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        images: ImagesLike = None,
        n_rows: int = 12,
        ax: Sequence[Axes] | np.ndarray | None = None,
    ) -> Self:
        """Draw the samples that a fitted classifier mined most often.

        Parameters
        ----------
        estimator : HSFMClassifier
            Fitted; of an `HSFMClassifierCV` what its ``refit_best`` returns.
        X : array-like of shape (n_samples, n_features)
            The samples that were mined: what ``fit`` got as ``X_val``, or as ``X`` where it got
            none.
        y : array-like of shape (n_samples,)
            Their labels.
        images : array, sequence of paths or of images, default=None
            One for each sample, as `FeatureExtractor` takes them, or grey ones of shape (n_samples,
            height, width); None draws the features.
        n_rows : int, default=12
            How many.
        ax : sequence of matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        HardSetDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator mined nothing, or samples that ``X`` does not have.
        """
        of_loss = " For the samples of largest loss of any classifier use from_predictions."
        check_keeps(estimator, "hard_indices_", of_loss)
        last = int(estimator.hard_indices_.max())
        if last >= len(X):
            raise ValueError(
                f"Sample {last} was mined, but X has {len(X)} samples; pass the validation "
                "samples that fit got, or its training samples where it got none."
            )
        times = np.zeros(len(X), dtype=int)
        for mined in estimator.hard_indices_:
            times[np.unique(mined)] += 1
        return cls.from_predictions(
            y,
            estimator.predict_proba(X),
            images=images,
            features=X,
            classes=estimator.classes_,
            times=times,
            n_epochs=len(estimator.hard_indices_),
            n_rows=n_rows,
            ax=ax,
        )

    @classmethod
    @validate_params(
        {"n_rows": [Interval(Integral, 1, None, closed="left")]},
        prefer_skip_nested_validation=True,
    )
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_proba: ArrayLike,
        *,
        images: ImagesLike = None,
        features: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        times: ArrayLike | None = None,
        n_epochs: int | None = None,
        n_rows: int = 12,
        ax: Sequence[Axes] | np.ndarray | None = None,
    ) -> Self:
        """Draw the samples of largest loss, those that were mined more often first.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels.
        y_proba : array-like of shape (n_samples, n_classes)
            What ``predict_proba`` says.
        images : array, sequence of paths or of images, default=None
            One for each sample, as in `from_estimator`.
        features : array-like of shape (n_samples, n_features), default=None
            What to draw where there are no images.
        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the columns; None takes those of ``y_true``, sorted.
        times : array-like of shape (n_samples,), default=None
            In how many epochs each sample was mined.
        n_epochs : int, default=None
            Of how many.
        n_rows : int, default=12
            How many samples to draw.
        ax : sequence of matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        HardSetDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If lengths differ, probabilities are none, ``n_rows`` is not 1 or more, or there are
            neither images nor features.
        """
        y_true, y_proba = one_column(y_true, "y_true"), _numbers(y_proba, "y_proba")
        if times is not None:
            times = one_column(times, "times")
            check_same_length(y_true=y_true, times=times)
        if classes is None:
            classes = sorted_values(y_true, "y_true")
        else:
            classes = one_column(classes, "classes")
        if y_proba.ndim != 2 or y_proba.shape != (len(y_true), len(classes)):
            raise ValueError(
                f"y_proba has shape {y_proba.shape}; {len(classes)} classes want "
                f"({len(y_true)}, {len(classes)}), one column a class."
            )
        if images is None and features is None:
            raise ValueError("There is nothing to draw: pass images, or features.")
        if not ((y_proba >= 0) & (y_proba <= 1)).all():
            raise ValueError("y_proba holds values that are not between 0 and 1.")
        index = class_indices(y_true, classes, "y_true")
        of_label = y_proba[np.arange(len(index)), index]
        loss = -np.log(np.maximum(of_label, np.finfo(float).tiny))
        keys = [-loss] if times is None else [-loss, -times]
        rows = np.lexsort(keys)[:n_rows]
        if images is None:
            features = _numbers(features, "features")
            check_same_length(y_true=y_true, features=features)
            pictures = [row[None] for row in features[rows]]  # (1, n_features)
        else:
            images = check_images(images, len(y_true))
            pictures = [picture(images, row) for row in rows]
        display = cls(
            rows,
            y_true[rows],
            classes[y_proba[rows].argmax(axis=1)],
            loss[rows],
            pictures,
            times=None if times is None else times[rows],
            n_epochs=n_epochs,
        )
        return display.plot(ax=ax)

    def captions(self) -> list[str]:
        """Return what is written about each sample.

        Returns
        -------
        list of str
            Such as ``"label 1, predicted 0; loss 2.31; mined in 12/40 epochs"``.
        """
        lines = []
        for k, (label, said, loss) in enumerate(
            zip(self.y_true, self.y_pred, self.loss, strict=True)
        ):
            line = f"label {label}, predicted {said}; loss {loss:.2f}"
            if self.times is not None:
                of = "" if self.n_epochs is None else f"/{self.n_epochs}"
                line += f"; mined in {self.times[k]}{of} epochs"
            lines.append(line)
        return lines

    def plot(self, ax: Sequence[Axes] | np.ndarray | None = None, *, n_cols: int = 4) -> Self:
        """Draw the grid.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_cols : int, default=4
            Columns of the grid that is made.

        Returns
        -------
        HardSetDisplay
            This display.
        """
        n = len(self.rows)
        n_grid_rows = -(-n // n_cols)
        self.figure_, self.ax_ = axes_for(
            ax, n=n, n_cols=n_cols, width=1.9 * n_cols, height=2.1 * n_grid_rows
        )
        self.images_ = []
        for a, drawn, caption in zip(self.ax_, self.pictures, self.captions(), strict=True):
            aspect = "auto" if len(drawn) == 1 else "equal"  # features fill their cell
            self.images_.append(a.imshow(drawn, aspect=aspect))
            a.set_title(plain(caption.replace("; ", "\n")), fontsize="small")
            a.set_axis_off()
        return self


def _numbers(values, name):
    """Return rows of numbers as an array (n_samples, n_columns)."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} holds what is no number: {error}") from error
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(f"{name} of shape {array.shape} must be finite numbers, a sample each.")
    return array
