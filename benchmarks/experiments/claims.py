"""What `best_score_` of HSFMClassifierCV is worth: beside the worst group of the test samples."""

import numpy as np

from benchmarks.columns import columns_of
from benchmarks.experiments._variants import SETS
from benchmarks.methods import hsfm
from benchmarks.rows import AS_GIVEN, NONE
from benchmarks.runs import Run, records_of
from benchmarks.tables import absent, markdown, of, page, protocol

ALONE, WITH_GROUPS = hsfm.ON_TRAINING_ROWS
SEEN = "HSFMClassifierCV", "HSFMClassifierCV, groups"
KINDS = [
    (NONE, ALONE, hsfm.ON_TRAINING_ROWS[ALONE]),
    (NONE, WITH_GROUPS, hsfm.ON_TRAINING_ROWS[WITH_GROUPS]),
    *((rows, name, hsfm.METHODS[name]) for rows in (AS_GIVEN, "skewed") for name in SEEN),
]


def run(context):
    """Return the table."""
    columns = columns_of(["digit_dominoes"] if context.quick else SETS, context)
    here = [column for column in columns if not column.absent]
    runs = [
        Run(column, name, method, seed, rows)
        for seed in range(context.seeds)
        for column in here
        for rows, name, method in KINDS
    ]
    # Records of other tables may be older than what they say of themselves.
    records = records_of(runs, "claims", context, jobs=context.jobs)
    body = []
    for rows, name, _ in KINDS:
        cells, covered = [], []
        for column in here:
            found = of(records, method=name, rows=rows, features=column.key)
            error = np.array([r["claimed"] - r["worst"] for r in found])
            covered += [r["low"] <= r["worst"] <= r["high"] for r in found]
            cells.append(f"{error.mean():+.3f} ± {error.std():.3f}")
        share = f"{sum(covered)} of {len(covered)}"
        body.append([rows, name, *cells, share])
    return page(
        "# What a score is worth",
        protocol(
            records,
            context,
            "Cells are `best_score_` less the accuracy in the worst group of the test samples, so "
            "above zero it claims too much. The last column counts the runs in which the 95 % "
            "interval of the cell that it is about holds that accuracy.",
        ),
        markdown(
            ["validation samples", "method", *(c.title for c in here), "in the interval"], body
        ),
        absent(columns),
    )
