"""Tables of methods on columns, with published values in columns of their own."""

from benchmarks import paper
from benchmarks.methods import methods_of
from benchmarks.runs import records_of, runs_of
from benchmarks.tables import TRIED, absent, cell, markdown, of, page, protocol, seconds, values

BACKBONE = (
    "The difference (worst group, points) is not one of implementation: backbone and features are "
    "others than the paper's, and so is the ERM that it starts from."
)
SECONDS = (
    "Seconds are the median of `fit`, tuning included. Runs were made side by side, so they are "
    "upper bounds; Table 14 has runs made one at a time."
)


def compare(name, title, columns, published, context, methods=None, notes=()):
    """Run methods on columns and return the text: an overview, and a table a column.

    Parameters
    ----------
    name, title : str
    columns : list of Column
    published : dict
        By set and method, (worst group, average) in percent.
    context : Context
    methods : sequence of str, default=None
        All, or those that are named.
    notes : sequence of str
        What the protocol says besides.
    """
    rows = methods_of(context, methods)
    records = records_of(runs_of(columns, rows, context), name, context)
    parts = [f"# {title}", protocol(records, context, TRIED, *notes, SECONDS)]
    parts += [overview(records, rows, columns), absent(columns)]
    for column in columns:
        if not column.absent or column.dataset.key in published:
            parts.append(f"## {column.title}\n\n{detail(records, rows, column, published)}")
    return page(*parts)


def overview(records, rows, columns):
    """Return the worst groups of all columns in one table."""

    def of_column(name, column):
        if column.absent:
            return "absent"
        return cell(values(records, "worst", method=name, features=column.key))

    body = [[n, m.uses, *(of_column(n, c) for c in columns)] for n, m in rows.items()]
    return markdown(["worst group", "uses", *(c.title for c in columns)], body)


def detail(records, rows, column, published):
    """Return the table of a column: ours, published, the difference."""
    key, body = column.dataset.key, []
    table = published.get(key, {})
    for n, m in rows.items():
        mine = of(records, method=n, features=column.key)
        quoted = paper.value_of(published, key, n)
        if not mine and quoted is None:
            continue
        worst = values(mine, "worst")
        difference = "-"
        if mine and quoted:
            difference = f"{100 * (worst.mean() - paper.accuracy(quoted[0])):+.1f}"
        tried = mine[0]["tried"] if mine else "-"
        ours = [cell(worst), cell(values(mine, "average")), seconds(values(mine, "seconds"))]
        body.append([n, m.uses, tried, *ours, *_percent(quoted), difference])
    for n, quoted in paper.not_run_here(published, key).items():
        body.append([n, "needs images", "-", "-", "-", "-", *_percent(quoted), "-"])
    heading = ["method", "uses", "tried", "worst group", "average", "seconds"]
    if not table:
        return markdown(heading, [row[:6] for row in body]) + "\n\nNot in the paper."
    heading += ["paper, worst", "paper, average", "difference"]
    note = "" if column.absent else f"\n\n{BACKBONE}"
    return markdown(heading, body) + note


def _percent(quoted):
    return ["-", "-"] if quoted is None else [paper.shown(value) for value in quoted]
