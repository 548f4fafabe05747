"""masked_sensitivity: what a classifier still tells without the object, and of it alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.utils import check_random_state

from sklearn_hsfm._compat import HasMethods, Interval, validate_params
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import (
    ArrayLike,
    Classifier,
    DataFrame,
    ImagesLike,
    Progress,
    RandomStateLike,
)
from sklearn_hsfm.inspection._image_edits import (
    check_grid,
    fill_colour,
    filled,
    grid_boxes,
    images_and_classes,
    judged,
    pixels,
    within,
)
from sklearn_hsfm.inspection._masked_scores import auc_interval, drop_interval
from sklearn_hsfm.metrics import group_scores
from sklearn_hsfm.metrics._columns import check_same_length, one_column
from sklearn_hsfm.metrics._groups import group_membership

AS_GIVEN, NO_OBJECT, OBJECT_ALONE = "as given", "object masked", "object alone"
ALL = "all"
HARDLY = 0.6  # an AUC below says little


@dataclass(frozen=True)
class MaskedSensitivity:
    """What `masked_sensitivity` found; prints as text.

    Attributes
    ----------
    reason_ : str
        The answer in words.
    leaks_ : bool
        Whether the classes can be told with the object masked: True where the interval of the AUC
        lies above 0.5, False where it lies below 0.6, None in between and for a grid.
    condition : ndarray of shape (n_rows,)
        "as given", "object masked", "object alone", or "window r, c masked" of a grid.
    group : ndarray of shape (n_rows,)
        "all", or a group, as text.
    count : ndarray of shape (n_rows,)
        Images.
    accuracy, accuracy_low, accuracy_high : ndarray of shape (n_rows,)
        Accuracy with Wilson's interval.
    auc, auc_low, auc_high : ndarray of shape (n_rows,)
        Area under the ROC curve with its bootstrap interval, each class against the rest and
        averaged; NaN where a group lies within one class.
    drop, drop_low, drop_high : ndarray of shape (n_rows,)
        Accuracy as given less accuracy masked, with the bootstrap interval of the pairs; those of
        all conditions together cover with the confidence that was asked for (Bonferroni).
    grid : tuple of int or None
        Rows and columns of the grid.
    colour : ndarray of shape (3,)
        What masked pixels were filled with.

    See Also
    --------
    masked_sensitivity : Makes it, with an example.
    """

    reason_: str
    leaks_: bool | None
    condition: np.ndarray
    group: np.ndarray
    count: np.ndarray
    accuracy: np.ndarray
    accuracy_low: np.ndarray
    accuracy_high: np.ndarray
    auc: np.ndarray
    auc_low: np.ndarray
    auc_high: np.ndarray
    drop: np.ndarray
    drop_low: np.ndarray
    drop_high: np.ndarray
    grid: tuple | None
    colour: np.ndarray

    def __str__(self):
        """Return the table as text."""
        width = max(len(str(g)) for g in self.group)
        lines = [self.reason_]
        for k, (condition, group) in enumerate(zip(self.condition, self.group, strict=True)):
            auc = f"{self.auc[k]:.3f} [{self.auc_low[k]:.3f}, {self.auc_high[k]:.3f}]"
            lines.append(
                f"{condition:<20} {group:<{width}} {self.count[k]:>6}  accuracy "
                f"{self.accuracy[k]:.3f} [{self.accuracy_low[k]:.3f}, {self.accuracy_high[k]:.3f}]"
                + ("" if np.isnan(self.auc[k]) else f"  AUC {auc}")
            )
        return "\n".join(lines)

    def to_frame(self) -> DataFrame:
        """Return a row for each condition and group.

        Returns
        -------
        pandas.DataFrame
            Counts, accuracies, AUCs and drops with their intervals.
        """
        import pandas as pd

        columns = ["condition", "group", "count"]
        for name in ("accuracy", "auc", "drop"):
            columns += [name, f"{name}_low", f"{name}_high"]
        return pd.DataFrame({name: getattr(self, name) for name in columns})

    def drop_map(self, group: str = ALL) -> np.ndarray:
        """Return the drop of accuracy when each window is masked.

        Parameters
        ----------
        group : str, default="all"
            Of which group.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            Drops, one a window.

        Raises
        ------
        ValueError
            If the masks were no grid, or there is no such group.
        """
        if self.grid is None:
            raise ValueError('The masks were no grid; pass masks="grid" for a map.')
        rows = (self.group == str(group)) & (self.condition != AS_GIVEN)
        if not rows.any():
            raise ValueError(f"group={group!r}; there are {np.unique(self.group).tolist()}.")
        return self.drop[rows].reshape(self.grid)


@validate_params(
    {
        "estimator": [HasMethods("predict")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_bootstrap": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    },
    prefer_skip_nested_validation=True,
)
def masked_sensitivity(
    estimator: Classifier,
    images: ImagesLike,
    masks: ArrayLike | Literal["grid"] | Callable[..., ArrayLike],
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    grid: tuple[int, int] = (4, 4),
    fill: Literal["mean"] | float | Sequence[float] = "mean",
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: RandomStateLike = None,
    progress: Progress = "auto",
) -> MaskedSensitivity:
    """Ask a classifier of images with the object masked, with all else masked, and unmasked.

    Parameters
    ----------
    estimator : classifier
        Fitted, with ``classes_``; takes images, as a Pipeline of `FeatureExtractor` and a head.
    images : folder, sequence of paths, array, sequence of PIL images, or Dataset
        As in `FeatureExtractor.transform`. The estimator gets arrays as arrays, all else as PIL
        images.
    masks : array-like of shape (n_samples, height, width), "grid" or callable
        Where the object is, True on its pixels; "grid" masks each window of ``grid`` in turn; a
        callable takes an image, (height, width, 3), and returns its mask, (height, width).
    y : array-like of shape (n_samples,)
        Labels.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
        Group ids or boolean membership: the accuracy of each is told as well.
    grid : tuple of int, default=(4, 4)
        Rows and columns of "grid".
    fill : "mean", float or three floats, default="mean"
        Colour of masked pixels, in their units; "mean" is that of the images.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap : int, default=1000
        Resamples for the intervals of AUC and drop.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Returns
    -------
    MaskedSensitivity
        Prints as text.

    Raises
    ------
    ValueError
        If lengths, labels, masks, grid or fill do not fit.

    See Also
    --------
    MaskedSensitivityDisplay : Bars, or a map.

    Notes
    -----
    The AUC with the object masked is the question of [1]_: where its interval is above one half,
    the rest of the image gives the class away. It does not say that the classifier leans on the
    rest when the object is there; the drop from "as given" to "object alone" does, as far as
    images with one colour around the object are like those that it was fitted on. The shape of a
    mask shows, and may give the class away itself: masks that are boxes say less.

    References
    ----------
    .. [1] T. Sourget et al.: "Mask of truth: model sensitivity to unexpected regions of medical
       images", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_hsfm.inspection import masked_sensitivity
    >>> rng = np.random.RandomState(0)
    >>> y = np.arange(200) % 2
    >>> images = rng.randint(100, size=(200, 8, 8, 3), dtype=np.uint8)
    >>> images[y == 1, 4:] += 50  # the lower half gives the class away
    >>> flat = FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255)
    >>> model = make_pipeline(flat, LogisticRegression()).fit(images, y)
    >>> upper = np.zeros((200, 8, 8), dtype=bool)
    >>> upper[:, :4] = True
    >>> print(masked_sensitivity(model, images, upper, y, random_state=0).reason_)
    The classes can be told with the object masked: AUC 1.00 [1.00, 1.00].
    """
    y = one_column(y, "y")
    images, classes = images_and_classes(estimator, images, len(y))
    index = class_indices(y, classes, "y")
    member, names = np.ones((len(y), 1), dtype=bool), [ALL]
    if groups is not None:
        found, of_group = group_membership(groups, len(y))
        of_group = of_group.toarray()
        used = of_group.any(axis=0)
        member = np.column_stack([member, of_group[:, used]])
        names += [str(name) for name in found[used]]
    colour = fill_colour(fill, images)
    shape, edits = None, [(AS_GIVEN, lambda image, i: image)]
    if isinstance(masks, str):
        if masks != "grid":
            raise ValueError(f'masks={masks!r}; it must be "grid", an array or a callable.')
        shape = check_grid(grid)
        edits += [_window(r, c, shape, colour) for r in range(shape[0]) for c in range(shape[1])]
    else:
        mask_of = _masks(masks, images)
        edits += [
            (NO_OBJECT, lambda image, i: filled(image, mask_of(image, i), colour)),
            (OBJECT_ALONE, lambda image, i: filled(image, ~mask_of(image, i), colour)),
        ]
    everyone, rng = np.arange(len(y)), check_random_state(random_state)
    ends = 50 * (1 - confidence), 50 * (1 + confidence)
    each = (1 - confidence) / max(len(edits) - 1, 1)  # all drops together miss as rarely as one
    ends_of_drop = 50 * each, 50 * (2 - each)
    rows, plain = [], None
    for name, edit in edits:
        proba = judged(estimator, images, classes, everyone, edit, progress, name)
        hit = proba.argmax(axis=1) == index
        plain = hit if plain is None else plain
        scores = group_scores(hit, np.ones(len(y), dtype=bool), member, confidence=confidence)
        for k, group in enumerate(names):
            of_group = np.flatnonzero(member[:, k])
            auc = auc_interval(proba[of_group], index[of_group], ends, n_bootstrap, rng)
            drop = drop_interval(plain[of_group], hit[of_group], ends_of_drop, n_bootstrap, rng)
            accuracy = scores.accuracy[k], scores.low[k], scores.high[k]
            rows.append((name, group, scores.count[k], *accuracy, *auc, *drop))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    leaks, reason = _answer(rows, shape)
    return MaskedSensitivity(reason, leaks, *columns, grid=shape, colour=colour)


def _window(r, c, shape, colour):
    """Return the name of a window, and what masks it."""

    def edit(image, i):
        box = grid_boxes(*image.shape[:2], *shape)[r * shape[1] + c]
        return filled(image, within(image, [box]), colour)

    return f"window {r}, {c} masked", edit


def _masks(masks, images):
    """Return what gives the mask of an image, checked."""
    if not callable(masks):
        if not hasattr(masks, "shape"):
            masks = [np.asarray(mask) for mask in masks]
        check_same_length(images=images, masks=masks)
        for i in (0, len(masks) - 1):
            _checked(masks[i], pixels(images, i), i)
        return lambda image, i: _checked(masks[i], image, i)
    return lambda image, i: _checked(masks(image), image, i)


def _checked(mask, image, i):
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != image.shape[:2]:
        raise ValueError(
            f"The mask of image {i} has shape {mask.shape} and dtype {mask.dtype}; a boolean one "
            f"of shape {image.shape[:2]} is needed, True on the object."
        )
    return mask


def _answer(rows, grid):
    """Return whether the classes can be told without the object, and the answer in words."""
    of_all = {row[0]: row for row in rows if row[1] == ALL}
    if grid is not None:
        windows = [row for name, row in of_all.items() if name != AS_GIVEN]
        name, *_, drop, low, high = max(windows, key=lambda row: row[-3])
        if low <= 0:
            return None, "No window is needed: masking one costs no accuracy that can be told."
        return (
            None,
            f"Most is lost with {name}: accuracy falls by {drop:.2f} [{low:.2f}, {high:.2f}].",
        )
    area, low, high = of_all[NO_OBJECT][6:9]
    shown = f"AUC {area:.2f} [{low:.2f}, {high:.2f}]"
    if np.isnan(area):
        return None, "Cannot tell: the images are of one class."
    if low > 0.5:
        return True, f"The classes can be told with the object masked: {shown}."
    if high < HARDLY:
        return False, f"With the object masked the classes can hardly be told: {shown}."
    return None, f"Cannot tell whether the classes can be told with the object masked: {shown}."
