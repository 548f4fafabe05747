"""An audit as a page."""

from dataclasses import replace

import numpy as np

from sklearn_hsfm.inspection._audit_text import contents_in_words, repair_in_words, short
from sklearn_hsfm.inspection._cards import cell_cards, sample_cards, spread_out
from sklearn_hsfm.inspection._embedding import inline_svg
from sklearn_hsfm.inspection._group_accuracy import GroupAccuracyDisplay
from sklearn_hsfm.inspection._page import template

_MOST_GROUPS = 12  # in the figure; the table has all


def page(audit, title, n_samples):
    """Return the page."""
    names = np.array([short(name) for name in audit.cell_names])
    drawn = {
        method: replace(s, group=names, worst_group=short(s.worst_group))
        for method, s in audit.scores.items()
    }
    filled = template("audit.html", "An audit's page")
    last = list(audit.scores.values())[-1]
    hurt = np.unique(audit.cell[audit.hurt]).tolist()
    doubtful, disputed = audit.doubtful, audit.disputed[:n_samples]
    evidence = [part.tolist() for part in audit.evidence.values()]
    return filled.render(
        audit=audit,
        title=title,
        n_samples=len(audit.y),
        repair=repair_in_words(audit),
        hurt=bool(hurt),
        n_hurt=int(audit.hurt.sum()),
        contents=contents_in_words(audit, _MOST_GROUPS),
        pictures=audit.material.images is not None,
        cells=cell_cards(audit.scores, lambda k: audit.telling(k, n_samples), audit.material, hurt),
        groups=_groups(audit, n_samples),
        methods=list(audit.scores),
        table=[
            {
                "name": last.group[k],
                "accuracies": [s.accuracy[k] for s in audit.scores.values()],
                "low": last.low[k],
                "high": last.high[k],
                "count": last.count[k],
            }
            for k in range(len(last.group))
        ],
        figure=inline_svg(GroupAccuracyDisplay(drawn).plot, n_groups=_MOST_GROUPS),
        evidence=list(zip(audit.classes.tolist(), *evidence, strict=True)),
        n_doubtful=len(doubtful),
        doubtful=sample_cards(
            doubtful[:n_samples], audit.material, _said(audit, doubtful[:n_samples])
        ),
        disputed=sample_cards(disputed, audit.material, _said(audit, disputed)),
    )


def _groups(audit, n_samples):
    """Return the cards of groups, where they are known."""
    if audit.group_scores is None:
        return None
    member = audit.groups[1].tocsc()

    def rows(k):
        return spread_out(member[:, [k]].nonzero()[0], n_samples)

    return cell_cards(audit.group_scores, rows, audit.material)


def _said(audit, rows):
    """Return label and prediction of samples, in words."""
    predicted = list(audit.predictions.values())[-1]
    return [f"label {audit.y[row]}, predicted {predicted[row]}" for row in rows]
