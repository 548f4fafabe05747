"""Table 14: seconds to train on Waterbirds, beside the published minutes."""

from benchmarks import paper
from benchmarks.columns import columns_of
from benchmarks.experiments._timing import timings

METHODS = (
    "ERM",
    "HSFM, as published",
    "HSFMClassifier",
    "HSFMClassifier, tuned",
    "HSFMClassifierCV",
    "DFR",
    "class-balanced retraining",
    "JTT",
    "CnC",
    "group DRO",
    "LISA",
)


def run(context):
    """Return the table."""
    keys = ["digit_dominoes"] if context.quick else ["waterbirds"]
    columns = columns_of(keys, context)
    quoted = {
        paper.SAME_METHOD.get(name, f"{name} (needs images)"): f"{minutes} min"
        for name, minutes in paper.TABLE_14.items()
    }
    return timings(
        "table14",
        "Table 14: time to train on Waterbirds, fine-tuning of the network excluded",
        columns,
        METHODS,
        lambda column, method: quoted.get(method, "-"),
        context,
        extra=[name for name in quoted if name not in METHODS],
    )
