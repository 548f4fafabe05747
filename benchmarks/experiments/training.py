"""Training samples alone: nobody has validation samples, with groups and without."""

from benchmarks.columns import columns_of
from benchmarks.experiments._variants import SETS
from benchmarks.methods import hsfm, methods_of
from benchmarks.rows import NONE
from benchmarks.runs import Run, records_of
from benchmarks.tables import absent, cell, markdown, page, protocol, values

METHODS = (
    "ERM",
    "ERM, class-balanced",
    "DFR, inferred cells",
    "group DRO, inferred cells",
    "LISA, inferred cells",
    "DFR, training samples",
    "group DRO",
    "LISA",
)
QUICK = ("ERM, class-balanced", "DFR, training samples")


def run(context):
    """Return the tables."""
    keys = ["digit_dominoes"] if context.quick else context.sets or SETS
    columns = columns_of(keys, context)
    names = (*(QUICK if context.quick else METHODS), *hsfm.ON_TRAINING_ROWS)
    wanted = methods_of(context, names, hsfm.ON_TRAINING_ROWS)
    methods = {n: m._replace(uses=_uses(m)) for n, m in wanted.items()}
    here = [column for column in columns if not column.absent]
    runs = [
        Run(column, name, method, seed, NONE)
        for seed in range(context.seeds)
        for column in here
        for name, method in methods.items()
    ]
    records = records_of(runs, "training", context)
    parts = []
    for key, what in (("worst", "worst group"), ("average", "average")):
        body = []
        for name, method in methods.items():
            of = [values(records, key, method=name, features=column.key) for column in here]
            mean = sum(v.mean() for v in of) / len(of) if of else float("nan")
            body.append([name, method.uses, *map(cell, of), f"{mean:.3f}"])
        parts.append(markdown([what, "uses", *(c.title for c in here), "mean"], body))
    return page(
        "# Training samples alone",
        protocol(
            records,
            context,
            "There are no validation samples. Methods that choose by some hold out a fifth of the "
            "training samples, with their groups where they use these; `HSFMClassifierCV` and ERM "
            "do not. Inferred cells are those of `ShortcutFinder`, in the place of groups.",
        ),
        *parts,
        absent(columns),
    )


def _uses(method):
    """Return the uses without those of validation samples, which there are none of."""
    return "training groups" if "training groups" in method.uses else "nothing"
