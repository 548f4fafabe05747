"""The colour behind what an image shows, as a group: an attribute that nobody has to write down."""

from numbers import Real

import numpy as np

from sklearn_hsfm._compat import Interval, validate_params
from sklearn_hsfm._typing import ImagesLike
from sklearn_hsfm.extraction._images import Images

_HUES = ((15, "red"), (45, "orange"), (70, "yellow"), (170, "green"), (265, "blue"))
_HUES = (*_HUES, (345, "purple"), (361, "red"))  # each up to so many degrees
COLOURS = ("black", "white", "grey", "brown", "red", "orange", "yellow", "green", "blue", "purple")


@validate_params(
    {"X": "no_validation", "border": [Interval(Real, 0, 0.5, closed="right")]},
    prefer_skip_nested_validation=True,
)
def background_colour_groups(X: ImagesLike, *, border: float = 0.125) -> np.ndarray:
    """Return the colour that most of the border of each image has.

    What stands in the middle of an image is usually the object, and its border background. With
    `sklearn_hsfm.metrics.macro_std_score` the colours say how uneven a classifier is over
    backgrounds, as in [1]_, where people named the colours.

    Parameters
    ----------
    X : images
        As in `FeatureExtractor.transform`.
    border : float, default=0.125
        Width of the border, as a part of height and width; a pixel at least.

    Returns
    -------
    ndarray of str of shape (n_samples,)
        Of "black", "white", "grey", "brown", "red", "orange", "yellow", "green", "blue" and
        "purple".

    Raises
    ------
    ValueError
        If an image cannot be read, or is of floats beyond [0, 1], naming it.

    See Also
    --------
    sklearn_hsfm.metrics.macro_std_score : Spread over groups within each class.

    Notes
    -----
    A pixel is black, white or grey where it has little light or little colour, brown where it is a
    dark orange, and else what its hue is called. Objects that reach the border, and backgrounds
    of several colours, are taken for what most of the border is.

    References
    ----------
    .. [1] "Better May Not Be Fairer: A Study on Subgroup Discrepancy in Image Classification",
       arXiv:2212.08649, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.extraction import background_colour_groups
    >>> images = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    >>> images[1, ..., 2] = 200
    >>> background_colour_groups(images).tolist()
    ['black', 'blue']
    """
    images = Images(X)
    return np.array([_of_border(images.picture(row), border) for row in range(len(images))])


def _of_border(image, border):
    hsv = np.asarray(image.convert("HSV"))
    height, width = (max(1, round(border * size)) for size in hsv.shape[:2])
    edge = np.ones(hsv.shape[:2], dtype=bool)
    edge[height:-height, width:-width] = False
    count = np.bincount(_colour(hsv[edge]), minlength=len(COLOURS))
    return COLOURS[int(count.argmax())]


def _colour(hsv):
    """Return which of `COLOURS` pixels have, (n,), of hue, saturation and value in bytes."""
    hue, saturation, value = (hsv * (360 / 255, 1 / 255, 1 / 255)).T
    ends = [end for end, _ in _HUES]
    named = np.array([COLOURS.index(name) for _, name in _HUES])
    colour = named[np.searchsorted(ends, hue, side="right")]
    colour[(hue >= 15) & (hue < 50) & (value < 0.6)] = COLOURS.index("brown")
    pale = saturation < 0.2
    colour[pale] = COLOURS.index("grey")
    colour[pale & (value > 0.75)] = COLOURS.index("white")
    colour[value < 0.25] = COLOURS.index("black")
    return colour
