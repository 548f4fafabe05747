"""What was found and done, in words and numbers that a user can act on."""

import numpy as np

from sklearn_hsfm._linear_head import log_probabilities
from sklearn_hsfm.metrics import group_scores

REPAIRED = "repaired"
NOT_FOUND = "no shortcut found"
TOO_FEW = "too few samples to tell"
NOT_SHOWN = "no repair shown to help"


def scores_of_cells(y, before, after, cells, names):
    """Return accuracies before and after in each cell, with 95 % intervals, as a dict of arrays.

    Logits are (n_samples, R), ``cells`` (n_samples, n_cells) bool; empty cells are left out.
    """
    used = cells.any(axis=0)
    then, now = (
        group_scores(y, log_probabilities(z).argmax(axis=1), cells[:, used])
        for z in (before, after)
    )
    return {
        "cell": np.array(names)[used],
        "n_samples": cells[:, used].sum(axis=0),
        "before": then.accuracy,
        "after": now.accuracy,
        "low": now.low,
        "high": now.high,
    }


def as_text(verdict, reason, labels_used, scores):
    """Return what `HSFMClassifierCV.summary` returns."""
    width = max(4, *map(len, scores["cell"]))
    lines = [
        f"{verdict}. {reason}",
        f"Labels used: {labels_used}.",
        "",
        f"{'cell':<{width}}  samples  before  after  95 % interval",
    ]
    for name, n, before, after, low, high in zip(*scores.values(), strict=True):
        lines.append(
            f"{name:<{width}}  {n:>7}   {before:.3f}  {after:.3f}  {low:.3f} to {high:.3f}"
        )
    lines += [
        "",
        "Accuracies are of samples that were kept from the heads that judge them. Before is",
        "the head without a repair.",
    ]
    return "\n".join(lines)


def names_of_cells(classes, n_cells, parts=("helped", "hurt")):
    """Return names of the classes, or of the helped and hurt parts of each."""
    classes = classes.tolist()
    if n_cells == len(classes):
        return [f"class {c!r}" for c in classes]
    return [f"class {c!r}, {part}" for c in classes for part in parts]
