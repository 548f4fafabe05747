"""The family of sixty: training samples alone, from no shortcut to one that nearly always holds."""

import numpy as np

from benchmarks.columns import columns_of
from benchmarks.experiments._variants import SETS
from benchmarks.family import STRENGTHS, members
from benchmarks.methods import all_methods, hsfm
from benchmarks.runs import records_of, runs_of
from benchmarks.tables import absent, markdown, page, protocol, values

BASE = "ERM, class-balanced"
HALF = "test"


def run(context):
    """Return the table."""
    columns = columns_of(["digit_dominoes"] if context.quick else SETS, context)
    methods = {
        BASE: all_methods()[BASE],
        **hsfm.ON_TRAINING_ROWS,
    }
    sets = members(columns, HALF)
    records = records_of(runs_of(sets, methods, context), "family", context)

    def worst(name, chosen):
        """Return the mean over seeds of each set."""
        return np.array(
            [values(records, "worst", method=name, features=m.key).mean() for m in chosen]
        )

    body = []
    for name, method in methods.items() if sets else ():
        mine, base = worst(name, sets), worst(BASE, sets)
        by_strength = [worst(name, [m for m in sets if m.strength == s]) for s in STRENGTHS]
        harmed = (mine < base - 0.01).sum()
        body.append(
            [
                name,
                method.uses,
                *(f"{v.mean():.3f}" for v in by_strength),
                f"{mine.mean():.3f}",
                f"{harmed} of {len(sets)}",
                f"{(mine - base).min():+.3f}",
            ]
        )
    heading = ["worst group", "uses", *(f"{s}" for s in STRENGTHS), "mean", "harmed", "most harm"]
    return page(
        "# The family of sixty: training samples alone",
        protocol(
            records,
            context,
            "Each set in two roles, class and attribute swapped, at five strengths of the "
            "shortcut: the share of each class's training samples that follow it, 0.5 is none. "
            "There are no validation samples. Half of the test samples of each group report "
            "here; how much evidence a repair wants was settled on the other half. Harmed: more "
            f"than a point below {BASE}, mean over seeds.",
        ),
        markdown(heading, body) if body else "",
        absent(columns),
    )
