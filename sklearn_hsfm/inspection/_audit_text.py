"""An audit as text for the console, and as columns of tables."""

import textwrap

import numpy as np

_WIDTH = 98


def as_text(audit, most_cells, most_shown):
    """Return an audit as text of 40 lines at most."""
    lines = _wrapped(f"{audit.verdict}. {audit.reason}") + _wrapped(audit.how_sure)
    lines += [*_wrapped(repair_in_words(audit)), ""]
    if audit.group_scores is not None:
        lines += _table("group", audit.group_scores, most_cells)
        if contents := contents_in_words(audit, most_shown):
            lines += _wrapped(f"Groups of the {audit.hurt.sum()} hurt: {contents}.")
    lines += [*_table("cell", audit.scores, most_cells), ""]
    lines += _evidence(audit, 4)
    if audit.hurt.any():
        for k in np.unique(audit.cell[audit.hurt])[:4]:
            name = short(audit.cell_names[k])
            lines.append(f"Most telling of {name}: {_listed(audit.telling(k))}")
    doubtful = audit.doubtful
    more = f": {_listed(doubtful[:most_shown])}" if len(doubtful) else ""
    share = len(doubtful) / len(audit.y)
    lines.append(f"Labels that are likely wrong: {len(doubtful)} ({share:.1%}){more}")
    if len(audit.disputed):
        lines.append(f"Heads disagree most about: {_listed(audit.disputed[:most_shown])}")
    lines += _wrapped(
        "Heads judge samples that they did not see. Who is hurt was inferred from what heads get "
        "wrong: accuracies of hurt cells are lower than those of all whom it hurts."
        if audit.hurt.any()
        else "Heads judge samples that they did not see."
    )
    return "\n".join(lines)


def repair_in_words(audit):
    """Return whether the repair works, and where, as a sentence."""
    if audit.repair == "nothing to repair":
        return "Repair: nothing was found to repair."
    before, after = audit.compared
    name = audit.judged[before].group[audit.worst]
    then, now = (audit.judged[m].accuracy[audit.worst] for m in (before, after))
    difference, low, high = 100 * audit.differences[:, audit.worst]
    lost = np.nanmin(audit.differences[0])
    cost = audit.judged[before].group[int(np.nanargmin(audit.differences[0]))]
    said = (
        f"Repair: {audit.repair}. {after} reads {now:.1%} of {name} instead of {then:.1%} "
        f"({before}): {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})."
    )
    if lost < 0:
        said += f" It costs most in {cost}, {100 * lost:+.1f} points."
    return said


def as_columns(audit, which):
    """Return the columns of a table as a dict."""
    if which == "classes":
        return {"class": audit.classes, **audit.evidence}
    if which == "samples":
        return {
            "y": audit.y,
            "cell": audit.cell_names[audit.cell],
            "hurt": audit.hurt,
            "hurt_score": audit.hurt_scores,
            "label_score": audit.label_scores,
            "doubtful": audit.label_scores > 0,
            "spread": audit.spread,
            "margin": audit.margin,
            **{f"predicted by {name}": p for name, p in audit.predictions.items()},
        }
    if which != "cells":
        raise ValueError(f"which={which!r}; the tables are 'cells', 'samples' and 'classes'.")
    both = [("cell", audit.scores)]
    both += [("group", audit.group_scores)] * (audit.group_scores is not None)
    first = next(iter(audit.scores))
    columns = {
        "kind": [kind for kind, s in both for _ in s[first].group],
        "name": [str(name) for _, s in both for name in s[first].group],
        "n_samples": np.concatenate([s[first].count for _, s in both]),
    }
    for method in audit.scores:
        for part in ("accuracy", "low", "high"):
            values = [getattr(s[method], part) for _, s in both]
            columns[f"{method}, {part}"] = np.concatenate(values)
    return columns


def short(name):
    """Return a name of 40 characters at most; its end, which may be all that differs, is kept."""
    name = str(name)
    return name if len(name) <= 40 else f"{name[:24]}…{name[-15:]}"


def _wrapped(text):
    return textwrap.wrap(text, _WIDTH)


def _listed(rows):
    return ", ".join(map(str, rows.tolist()))


def _table(kind, scores, most):
    """Return accuracies as lines, those of the last method with their interval."""
    last = list(scores.values())[-1]
    shown = np.arange(len(last.group))
    if len(shown) > most:
        shown = np.sort(np.argsort(last.accuracy, kind="stable")[:most])
    names = [short(last.group[k]) for k in shown]
    width = max(len(kind), *map(len, names))
    widths = [max(8, len(method)) for method in scores]
    heading = "  ".join(f"{m:>{w}}" for m, w in zip(scores, widths, strict=True))
    lines = [f"{kind:<{width}}  samples  {heading}  95 % interval"]
    for k, name in zip(shown, names, strict=True):
        values = "  ".join(
            f"{s.accuracy[k]:>{w}.3f}" for s, w in zip(scores.values(), widths, strict=True)
        )
        ends = f"{last.low[k]:.3f} to {last.high[k]:.3f}"
        lines.append(f"{name:<{width}}  {last.count[k]:>7}  {values}  {ends}")
    if len(shown) < len(last.group):
        lines.append(f"... and {len(last.group) - len(shown)} more, which are read better")
    return lines


def contents_in_words(audit, most):
    """Return which groups the hurt are of; nothing where either is not known."""
    if audit.groups is None or not audit.hurt.any():
        return ""
    names, member = audit.groups
    count = member[audit.hurt].sum(axis=0, dtype=int)
    order = np.argsort(-count, kind="stable")[:most]
    shares = [f"{count[k] / audit.hurt.sum():.0%} {names[k]}" for k in order if count[k]]
    return ", ".join(shares)


def _evidence(audit, most):
    """Return the evidence of the classes as lines."""
    if not np.isfinite(audit.evidence["skewness"]).any():
        return []
    known = zip(audit.classes.tolist(), *audit.evidence.values(), strict=True)
    lines = [
        f"{short(f'class {c!r}')}: skewness {skew:.2f} ± {error:.2f}, "
        f"informedness {informed:.2f}, {n} hurt"
        for c, skew, error, informed, n in known
    ]
    if len(lines) > most:
        lines = [*lines[:most], f"... and {len(lines) - most} more classes"]
    return lines
