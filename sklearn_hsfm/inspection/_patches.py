"""probe_patches: which stamps change what a classifier says, more than any patch would (SLANT)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_random_state

from sklearn_hsfm._compat import HasMethods, Interval, StrOptions, one_or_several, validate_params
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._progress import PROGRESS, bar
from sklearn_hsfm._typing import (
    ArrayLike,
    Classifier,
    DataFrame,
    ImagesLike,
    OneOrSeveral,
    Progress,
    RandomStateLike,
)
from sklearn_hsfm.inspection._image_edits import (
    as_given,
    images_and_classes,
    judged,
    pixels,
    probabilities,
)
from sklearn_hsfm.inspection._patch_bank import POSITIONS, checked_patches, paste, random_patch
from sklearn_hsfm.metrics._columns import one_column
from sklearn_hsfm.metrics._scores import _wilson

_CORNERS = ("top left", "top right", "bottom left", "bottom right")
_LEAST = 8  # images that are not of a class already, for it to be a target
_CONFIRM = 500  # images, others than those that searched
_SIZE = one_or_several(Interval(Real, 0, 1, closed="right"))


@dataclass(frozen=True)
class PatchProbe:
    """What `probe_patches` found, worst patch first; prints as text.

    Attributes
    ----------
    found_ : bool
        Whether any patch changes predictions more than random ones; None where it cannot be told.
    reason_ : str
        The answer in words.
    name : ndarray of shape (n_patches,)
        Patches.
    size : ndarray of shape (n_patches,)
        Size at which each does most.
    position : ndarray of shape (n_patches,)
        Position at which it does.
    toward : ndarray of shape (n_patches,)
        Class that it makes more probable.
    effect : ndarray of shape (n_patches,)
        By how much, on images that were taken for another class.
    p_value : ndarray of shape (n_patches,)
        Share of random patches with such an effect, by Holm's method for the number of patches.
    worse : ndarray of shape (n_patches,)
        Whether the p-value is ``alpha`` or less.
    n_confirmed : ndarray of shape (n_patches,)
        Images of another class that were not searched; 0 where nothing was confirmed.
    flipped, flipped_low, flipped_high : ndarray of shape (n_patches,)
        Share of these that become ``toward``, with Wilson's interval; NaN where not confirmed.
    accuracy_before, accuracy_after : ndarray of shape (n_patches,)
        Accuracy on the images that were not searched, without and with the patch; NaN without
        ``y``.
    null : ndarray of shape (n_random,)
        Effects of the random patches.
    patches : dict of str to ndarray of shape (height, width, 4)
        The patches.

    See Also
    --------
    probe_patches : Makes it, with an example.
    """

    found_: bool | None
    reason_: str
    name: np.ndarray
    size: np.ndarray
    position: np.ndarray
    toward: np.ndarray
    effect: np.ndarray
    p_value: np.ndarray
    worse: np.ndarray
    n_confirmed: np.ndarray
    flipped: np.ndarray
    flipped_low: np.ndarray
    flipped_high: np.ndarray
    accuracy_before: np.ndarray
    accuracy_after: np.ndarray
    null: np.ndarray
    patches: dict[str, np.ndarray]

    def __str__(self):
        """Return the patches as text."""
        lines = [self.reason_]
        for k, name in enumerate(self.name):
            mark = "->" if self.worse[k] else "  "
            line = (
                f"{mark} {name}, {self.size[k]:g} of a side, {self.position[k]}: toward "
                f"{self.toward[k]} by {self.effect[k]:+.2f} (p {self.p_value[k]:.3f})"
            )
            if self.n_confirmed[k]:
                line += (
                    f"; turns {self.flipped[k]:.0%} [{self.flipped_low[k]:.0%}, "
                    f"{self.flipped_high[k]:.0%}] of {self.n_confirmed[k]} other images"
                )
            lines.append(line)
        return "\n".join(lines)

    def to_frame(self) -> DataFrame:
        """Return a row for each patch.

        Returns
        -------
        pandas.DataFrame
            All but the null and the patches themselves.
        """
        import pandas as pd

        names = [name for name in self.__dataclass_fields__ if name[-1] != "_"]
        kept = [name for name in names if name not in ("null", "patches")]
        return pd.DataFrame({name: getattr(self, name) for name in kept})


@validate_params(
    {
        "estimator": [HasMethods("predict")],
        "sizes": _SIZE,
        "n_images": [Interval(Integral, _LEAST, None, closed="left")],
        "n_random": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "random_patches": [StrOptions({"cut out", "shuffled"})],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    },
    prefer_skip_nested_validation=True,
)
def probe_patches(
    estimator: Classifier,
    images: ImagesLike,
    patches: Literal["marks"] | Mapping[str, ArrayLike] | Sequence[Any] = "marks",
    y: ArrayLike | None = None,
    *,
    sizes: OneOrSeveral[float] = 0.25,
    positions: Sequence[str] = _CORNERS,
    n_images: int = 32,
    n_random: int | Literal["auto"] = "auto",
    random_patches: Literal["cut out", "shuffled"] = "cut out",
    alpha: float = 0.05,
    random_state: RandomStateLike = None,
    progress: Progress = "auto",
) -> PatchProbe:
    """Paste patches on images and tell which change the predictions more than any patch would.

    Parameters
    ----------
    estimator : classifier
        Fitted, with ``classes_``; takes images, as a Pipeline of `FeatureExtractor` and a head.
    images : folder, sequence of paths, array, sequence of PIL images, or Dataset
        As in `FeatureExtractor.transform`. The estimator gets arrays as arrays, all else as PIL
        images.
    patches : "marks", dict or sequence, default="marks"
        Patches, by name or in a row: PIL images or uint8 arrays of 3 channels, or 4 with
        opacity. "marks" draws squares of six colours, chequers, two stamps and a strip of text.
    y : array-like of shape (n_samples,), default=None
        Labels, for accuracies.
    sizes : float or tuple of float, default=0.25
        Longer side of a patch, as a part of the shorter side of its image.
    positions : tuple of str, default=the four corners
        Of "top left", "top right", "bottom left", "bottom right" and "centre".
    n_images : int, default=32
        Images that search, of every predicted class alike; of the others 500 at most confirm.
    n_random : int or "auto", default="auto"
        Random patches to compare with; "auto" is as many as the correction needs: the number of
        patches over ``alpha``.
    random_patches : {"cut out", "shuffled"}, default="cut out"
        Cut out of the images at random; or patches of the bank with their pixels shuffled, which
        asks whether it is the shape, and says no of one colour.
    alpha : float, default=0.05
        Level of the test, over all patches together; intervals cover ``1 - alpha``.
    random_state : int, RandomState instance or None, default=None
        Draws images and random patches.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Returns
    -------
    PatchProbe
        Prints as text, worst patch first.

    Raises
    ------
    ValueError
        If lengths, labels, patches or positions do not fit, or images are floats beyond [0, 1].

    See Also
    --------
    PatchDisplay : The worst patches, pasted.
    PatchGuard : Defences when predicting.

    Notes
    -----
    The effect of a patch is the mean change of the probability of a class on images that were
    taken for another, at the size, position and class for which it is largest. Random patches go
    through the same search. What a patch covers counts with them as well, so a worse patch is one
    that is read, not one that is in the way. ``n_images`` that search are others than those that
    confirm, so ``flipped`` is no winner's luck.

    SLANT mines a bank of logos from web images [1]_. Bring yours: what is not in the bank is not
    found.

    References
    ----------
    .. [1] M. Qraitem et al.: "SLANT: Spurious Logo ANalysis Toolkit", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_hsfm.inspection import probe_patches
    >>> rng = np.random.RandomState(0)
    >>> y = np.arange(200) % 2
    >>> images = rng.randint(100, size=(200, 16, 16, 3), dtype=np.uint8)
    >>> images[y == 1, 4:8] += 40  # a bar
    >>> images[(y == 1) & (np.arange(200) < 150), :4, :4] = (250, 220, 40)  # and a yellow stamp
    >>> flat = FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255)
    >>> model = make_pipeline(flat, LogisticRegression()).fit(images, y)
    >>> probe = probe_patches(model, images, random_state=0)
    >>> str(probe.position[0]), int(probe.toward[0]), bool(probe.worse[0])
    ('top left', 1, True)
    """
    images, classes = images_and_classes(estimator, images, None if y is None else len(y))
    index = None if y is None else class_indices(one_column(y, "y"), classes, "y")
    rng = check_random_state(random_state)
    bank = checked_patches(patches, rng)
    positions = (positions,) if isinstance(positions, str) else tuple(positions)
    if not positions or not set(positions) <= set(POSITIONS):
        raise ValueError(f"positions={positions!r}; they must be some of {list(POSITIONS)}.")
    places = [(s, p) for s in np.ravel(sizes).tolist() for p in positions]
    n_random = int(np.ceil(len(bank) / alpha)) if n_random == "auto" else n_random
    pool = rng.permutation(len(images))[: n_images + _CONFIRM]
    for row in pool:
        images.picture(row)  # refuses floats beyond [0, 1], on which a patch has other colours
    before = judged(estimator, images, classes, pool, lambda image, i: image, progress, "images")
    pool, before = _even_first(pool, before)
    searching, others = pool[:n_images], pool[n_images:]
    search = _Search(estimator, images, classes, searching, before[:n_images], places)
    names = list(bank)
    lot = [bank[name] for name in names]
    for _ in range(n_random):
        like = lot[rng.randint(len(names))]
        lot.append(random_patch(images, like, random_patches, pixels, rng))
    effects = [search(patch) for patch in bar(progress, lot, desc="patches")]
    best = [max(e, key=lambda one: one[0]) for e in effects]  # effect, place, class
    null = np.array([b[0] for b in best[len(names) :]])
    effect = np.array([b[0] for b in best[: len(names)]])
    p = holm((1 + (null >= effect[:, None]).sum(axis=1)) / (n_random + 1))
    worse = p <= alpha
    if not search.targets:
        worse[:] = False
    unknown = (0, *[np.nan] * 5)
    confirmed = [
        _confirmed(
            estimator, images, index, classes, others, before[n_images:], patch, places[k], c, alpha
        )
        if bad
        else unknown
        for bad, patch, (_, k, c) in zip(worse, lot, best, strict=False)
    ]
    rank = np.lexsort([-effect, p])
    found, reason = _answer(search.targets, worse, len(names), n_random, alpha)
    columns = [np.array(column)[rank] for column in zip(*confirmed, strict=True)]
    size, position = (np.array([places[b[1]][j] for b in best])[rank] for j in (0, 1))
    toward = classes[[b[2] for b in best[: len(names)]]][rank]
    return PatchProbe(
        found, reason, np.array(names)[rank], size, position, toward, effect[rank], p[rank],
        worse[rank], *columns, null, bank,
    )  # fmt: skip


class _Search:
    """The effects of a patch at all places, toward all classes."""

    def __init__(self, estimator, images, classes, rows, before, places):
        self.estimator, self.images, self.classes = estimator, images, classes
        self.places, self.plain = places, [pixels(images, i) for i in rows]
        self.before, said = before, before.argmax(axis=1)
        self.others = [said != c for c in range(len(classes))]
        self.targets = [c for c, rows in enumerate(self.others) if rows.sum() >= _LEAST]

    def __call__(self, patch):
        """Return (effect, place, class) of all places and classes."""
        found = []
        for k, place in enumerate(self.places):
            edited = as_given([paste(image, patch, *place) for image in self.plain], self.images)
            change = probabilities(self.estimator, edited, self.classes) - self.before
            found += [(change[self.others[c], c].mean(), k, c) for c in self.targets]
        return found or [(0.0, 0, 0)]


def _even_first(rows, proba):
    """Return rows and probabilities such that the first ones are taken for all classes alike."""
    said = proba.argmax(axis=1)
    turn = np.zeros(len(said), dtype=int)
    for c in np.unique(said):
        turn[said == c] = np.arange(np.sum(said == c))
    order = np.argsort(turn, kind="stable")
    return rows[order], proba[order]


def holm(p):
    """Return p-values corrected for their number by Holm's method."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    return np.minimum(corrected, 1)[np.argsort(order)]


def _confirmed(estimator, images, index, classes, rows, before, patch, place, c, alpha):
    """Return what a patch does to images that were not searched."""
    if not len(rows):
        return 0, *[np.nan] * 5
    after = judged(
        estimator, images, classes, rows, lambda image, i: paste(image, patch, *place), False, ""
    )
    before, after = before.argmax(axis=1), after.argmax(axis=1)
    others = before != c
    n = int(others.sum())
    if not n:
        return 0, *[np.nan] * 5
    share = float(np.mean(after[others] == c))
    low, high = map(float, _wilson(share, np.array(n), 1 - alpha))
    accuracies = [np.nan] * 2
    if index is not None:
        accuracies = [np.mean(said == index[rows]) for said in (before, after)]
    return n, share, low, high, *accuracies


def _answer(targets, worse, n_patches, n_random, alpha):
    """Return whether a patch was found, and the answer in words."""
    if not targets:
        return None, "Cannot tell: the classifier says one class of nearly all images."
    if n_patches / (n_random + 1) > alpha:
        least = int(np.ceil(n_patches / alpha))
        return None, (
            f"Cannot tell: {n_random} random patches cannot reach {alpha:g} for {n_patches} "
            f"patches; {least} can."
        )
    if worse.any():
        return True, (
            f"{worse.sum()} of {n_patches} patches change predictions more than {n_random} random "
            "ones do."
        )
    return False, f"None of {n_patches} patches changes predictions more than random ones do."
