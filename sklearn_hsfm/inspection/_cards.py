"""What a page shows of cells: names, accuracies of every method, and samples to look at."""

import numpy as np

from sklearn_hsfm.inspection._embedding import data_uri
from sklearn_hsfm.inspection._inputs import shortened
from sklearn_hsfm.inspection._pictures import picture
from sklearn_hsfm.metrics._groups import group_membership

MOST_CELLS = 12
_PICTURES_PER_CELL = 6  # of a report


def cell_cards(scores, rows_of_cell, material, hurt=()):
    """Return what the page shows of cells, those that the first method reads worst first.

    Parameters
    ----------
    scores : dict of str to GroupScores
        Of each method, on the same cells.
    rows_of_cell : callable
        Returns the samples to show of a cell.
    material : tuple
        Images, and texts; None where there are none.
    hurt : sequence of int
        Cells that stand first, and are marked.
    """
    first = next(iter(scores.values()))
    order = np.lexsort((first.accuracy, ~np.isin(np.arange(len(first.group)), hurt)))
    order = [k for k in order if first.count[k]][:MOST_CELLS]
    return [
        {
            "name": str(first.group[k]),
            "hurt": k in hurt,
            "count": first.count[k],
            "accuracies": [(method, s.accuracy[k]) for method, s in scores.items()],
            "samples": sample_cards(rows_of_cell(k), material),
        }
        for k in order
    ]


def sample_cards(rows, material, notes=None):
    """Return what the page shows of samples; ``notes`` stand below."""
    images, texts = material
    notes = [None] * len(rows) if notes is None else notes
    return [
        {
            "row": int(row),
            "picture": None if images is None else data_uri(picture(images, row)),
            "text": None if texts is None else shortened(texts[row]),
            "note": note,
        }
        for row, note in zip(rows, notes, strict=True)
    ]


def spread_out(rows, n):
    """Return ``n`` of some samples at most, at even distances: a choice that knows nothing."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int))]


def kind_of_groups(head, features, y, groups):
    """Return what the groups are, the groups, and how telling samples are, where that is known."""
    if groups is not None:
        return "group", groups, None
    finder = getattr(head, "finder_", None)
    if finder is None or not finder.found_:
        return "class", y, None
    labels, scores = finder.predict(features, y), finder.score_samples(features, y)
    hurt = labels % 2 == 1
    named = [
        f"class {label!r}, {'hurt' if is_hurt else 'helped'}"
        for label, is_hurt in zip(np.asarray(y).tolist(), hurt, strict=True)
    ]
    return "cell", np.array(named), np.where(hurt, -scores, scores)


def cards_of_groups(scores, groups, telling, images):
    """Return the cards of the cells, with pictures at even distances or the most telling ones."""
    _, member = group_membership(groups, len(groups))
    member = member.tocsc()

    def rows(k):
        of_cell = member[:, [k]].nonzero()[0]
        if telling is None:
            return spread_out(of_cell, _PICTURES_PER_CELL)
        return of_cell[np.argsort(telling[of_cell], kind="stable")][:_PICTURES_PER_CELL]

    names = next(iter(scores.values())).group
    hurt = [k for k, name in enumerate(names) if telling is not None and name.endswith("hurt")]
    return cell_cards(scores, rows, (images, None), hurt)
