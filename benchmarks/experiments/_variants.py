"""Tables of one set of methods on several kinds of validation samples."""

from benchmarks.columns import columns_of
from benchmarks.methods import methods_of
from benchmarks.rows import AS_GIVEN
from benchmarks.runs import Run, records_of
from benchmarks.tables import absent, cell, markdown, page, protocol, values

SETS = ("waterbirds", "dominoes", "faces_gender", "adult_sex")
QUICK = ("HSFM, as published", "HSFMClassifierCV", "DFR")
METHODS = (
    "ERM, class-balanced",
    "HSFM, as published",
    "HSFMClassifier",
    "HSFMClassifierCV",
    "HSFMClassifierCV, groups",
    "DFR",
    "class-balanced retraining",
)


def vary(name, title, rows, context, methods=METHODS, notes=()):
    """Run methods on kinds of validation samples and return the text: a table a column.

    Parameters
    ----------
    name, title : str
    rows : sequence of str
        Kinds, as `with_rows` knows them.
    context : Context
    methods : sequence of str
    notes : sequence of str
        What the protocol says besides.
    """
    keys = ["digit_dominoes"] if context.quick else context.sets or SETS
    columns = columns_of(keys, context, ways=["frozen"])
    if context.quick:
        rows, methods = (rows[0], rows[-1]), QUICK
    chosen = methods_of(context, methods)
    here = [column for column in columns if not column.absent]
    runs = [
        Run(column, n, m, seed, kind)
        for seed in range(context.seeds)
        for column in here
        for kind in dict.fromkeys(_kind(column, kind) for kind in rows)
        for n, m in chosen.items()
    ]
    records = records_of(runs, name, context)

    def of_kind(key, method, column, kind):
        kind = _kind(column, kind)
        return values(records, key, method=method, features=column.key, rows=kind)

    parts = [f"# {title}", protocol(records, context, *notes)]
    for key, what in (("worst", "worst group"), ("average", "average")):
        for column in here:
            body = [
                [
                    n,
                    m.uses,
                    *(cell(of_kind(key, n, column, kind)) for kind in rows),
                ]
                for n, m in chosen.items()
            ]
            heading = [f"{what}, {column.title}", "uses", *rows]
            parts.append(markdown(heading, body))
    parts.append(absent(columns))
    return page(*parts)


def _kind(column, kind):
    """Return the kind of rows to run: those that are balanced already are not drawn again."""
    return AS_GIVEN if kind == "balanced" and column.dataset.balanced else kind
