"""Figures: a curve with its spread for every method, a panel for every column."""

import numpy as np


def curves(panels, xlabel, path):
    """Draw means and standard deviations of worst-group accuracies over seeds.

    Parameters
    ----------
    panels : dict of dict
        By title, by method: a list of (x, values over seeds).
    xlabel : str
    path : Path
        The PNG.

    Returns
    -------
    bool
        Whether it was drawn: matplotlib is an extra.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    axes = np.ravel(figure.subplots(1, len(panels), squeeze=False))
    for axis, (title, methods) in zip(axes, panels.items(), strict=True):
        for name, points in methods.items():
            x = [at for at, _ in points]
            mean, spread = (np.array([f(v) for _, v in points]) for f in (np.mean, np.std))
            (line,) = axis.plot(x, mean, "o-", label=name, markersize=4)
            axis.fill_between(x, mean - spread, mean + spread, color=line.get_color(), alpha=0.2)
        axis.set(title=title, xlabel=xlabel)
        if max(x) > 50 * min(x):
            axis.set_xscale("log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("worst-group accuracy")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return True
