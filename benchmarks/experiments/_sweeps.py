"""Figures of one hyper-parameter: methods against its values, a panel a column."""

from benchmarks.figures import curves
from benchmarks.runs import records_of, runs_of
from benchmarks.tables import absent, cell, markdown, page, protocol, values


def sweep(name, title, parameter, at, methods, columns, context, notes=()):
    """Run methods at every value, draw the figure, and return the text.

    Parameters
    ----------
    name, title : str
    parameter : str
        What is varied, in words.
    at : sequence of int
        Its values.
    methods : dict
        By name, a function from a value to a `Method`.
    columns : list of Column
    context : Context
    notes : sequence of str
        What the protocol says besides.
    """
    here = [column for column in columns if not column.absent]

    def label(method, value):
        return f"{method}, {parameter} = {value}"

    rows = {label(m, value): make(value) for m, make in methods.items() for value in at}
    records = records_of(runs_of(columns, rows, context), name, context)

    def worst(column, method, value):
        return values(records, "worst", method=label(method, value), features=column.key)

    uses = [f"{method} uses {make(at[0]).uses}." for method, make in methods.items()]
    parts = [f"# {title}", protocol(records, context, *notes, " ".join(uses))]
    if here:
        body = [
            [c.title, m, *(cell(worst(c, m, value)) for value in at)] for c in here for m in methods
        ]
        parts.append(markdown(["worst group", "method", *(f"{v}" for v in at)], body))
        panels = {c.title: {m: [(v, worst(c, m, v)) for v in at] for m in methods} for c in here}
        if curves(panels, parameter, context.results / f"{name}.png"):
            parts.append(f"![{title}]({name}.png)")
    parts.append(absent(columns))
    return page(*parts)
