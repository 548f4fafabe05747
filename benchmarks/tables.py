"""Markdown: cells of mean and spread, tables, and the protocol that stands above them."""

import numpy as np


def cell(values):
    """Return mean ± standard deviation over runs."""
    if not len(values):
        return "-"
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def seconds(values):
    """Return the median of seconds."""
    return f"{np.median(values):.1f}" if len(values) else "-"


def spread(values):
    """Return the median and the ends."""
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def page(*parts):
    """Return the parts of a page that are not empty, a blank line between them."""
    return "\n\n".join(part for part in parts if part)


def markdown(heading, rows):
    """Return a table: a heading and rows of text."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def of(records, **wanted):
    """Return the records with these values."""
    return [r for r in records if all(r[key] == value for key, value in wanted.items())]


def values(records, key, **wanted):
    """Return one figure of the records with these values."""
    return np.array([r[key] for r in of(records, **wanted)])


TRIED = (
    "`tried` is the number of settings that the validation samples choose among: six for every "
    "method that is tuned, but seven for DFR, whose grid is the published one, two more for "
    "`HSFMClassifierCV` where the network's own head is another start, three for FG-CCDB, and "
    "two for CLP, whose settings take long."
)


def protocol(records, context, *more):
    """Return how the figures were made, from the records themselves."""
    lines = [
        "Every method sees the same samples; features are frozen, only the head is fitted. `uses` "
        "names the labels beyond those of the training samples. Where validation groups are "
        "used, the worst validation group chooses settings and epochs, else the worst validation "
        "class (for `HSFMClassifierCV` the worst slice, found by itself); nothing is chosen on "
        "test samples."
    ]
    lines.extend(more)
    lines.append(
        f"Mean ± standard deviation over {context.seeds} seed(s), which draw what a method draws "
        "(support, folds, subsets, batches). Features and splits stay the same, but digit dominoes "
        "is split anew. Average is plain accuracy over test samples; the records also hold "
        "the average weighted by training groups, and the accuracy of every group."
    )
    if records:
        machines = sorted({f"{r['machine']}, {r['threads']} thread(s) a run" for r in records})
        versions = sorted({", ".join(map(" ".join, r["versions"].items())) for r in records})
        lines.append(f"{'; '.join(machines)}; {'; '.join(versions)}.")
    return "\n\n".join(lines)


def made_on(records):
    """Return on which machines, with which versions, records were made."""
    used = {(r["machine"], ", ".join(map(" ".join, r["versions"].items()))) for r in records}
    return "; ".join("; ".join(one) for one in sorted(used))


def absent(columns):
    """Return what was looked for and not found."""
    lines = [f"* **{c.title}: absent.** Looked for {c.looked_for}." for c in columns if c.absent]
    return "\n".join(lines)
