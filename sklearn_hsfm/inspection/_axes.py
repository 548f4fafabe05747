"""Where displays draw. The only import of matplotlib, made when something is drawn."""

import numpy as np


def axes_for(ax, *, n=None, n_cols=1, width=6.0, height=3.6, **layout):
    """Return the figure and the axes to draw on; new ones where ``ax`` is None.

    Parameters
    ----------
    ax : None, Axes or sequence of Axes
        What the caller passed to ``plot``.
    n : int, default=None
        How many axes are needed; None is a single one, not in an array.
    n_cols : int, default=1
        Columns of new axes.
    width, height : float
        Size of a new figure, in inches.
    **layout : dict
        Further arguments of ``subplots``.

    Returns
    -------
    figure : Figure
    ax : Axes, or ndarray of Axes of shape (n,)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If fewer than ``n`` axes are given.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays draw with matplotlib, which is not installed; "
            'pip install "sklearn-hsfm[plot]" brings it.'
        ) from error
    if ax is None:
        n_rows = 1 if n is None else -(-n // n_cols)
        figure, ax = plt.subplots(
            n_rows, n_cols, figsize=(width, height), layout="constrained", squeeze=False, **layout
        )
        ax = ax.ravel()
        for unused in ax[n or 1 :]:
            unused.remove()
        return figure, ax[0] if n is None else ax[:n]
    if n is None:
        return ax.figure, ax
    ax = np.ravel(np.asarray(ax, dtype=object))
    if len(ax) < n:
        raise ValueError(f"ax holds {len(ax)} axes; {n} are needed. With ax=None they are made.")
    return ax[0].figure, ax[:n]


def plain(text):
    """Return text of the user's as matplotlib draws it literally.

    Between two dollars matplotlib reads mathematics, and a legend leaves out what begins with an
    underscore: a space of no width goes before it.
    """
    text = str(text).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def percent(ax, axis):
    """Write the ticks of an axis as percentages."""
    from matplotlib.ticker import PercentFormatter

    getattr(ax, f"{axis}axis").set_major_formatter(PercentFormatter(xmax=1, decimals=0))
