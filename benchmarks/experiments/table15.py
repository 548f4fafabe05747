"""Table 15: seconds that HSFM takes on each set, beside the published minutes."""

from benchmarks import paper
from benchmarks.columns import Column, columns_of
from benchmarks.experiments._timing import random_features, timings
from benchmarks.sets import all_sets

METHODS = ("HSFM, as published",)
# Rows for training and validation, for sets whose features are not at hand (Tables 5, 6, 8, 9).
SIZES = {
    "celeba": (48534, 19867),
    "waterbirds": (4795, 1199),
    "dominoes": (7980, 1998),
    "metashift": (1123, 81),
}


def run(context):
    """Return the table."""
    keys = ["digit_dominoes"] if context.quick else list(paper.TABLE_15)
    columns = [
        _of_its_size(column) if column.absent else column
        for column in columns_of(keys, context, ways=["tuned"])
    ]
    return timings(
        "table15",
        "Table 15: time that HSFM takes on each set",
        columns,
        METHODS,
        _published,
        context,
        notes=[
            "Where a set is absent, random features of its size and of a ResNet-50's 2048 columns "
            "and a random head stand in, which the first column says: time hardly depends on what "
            "they mean."
        ],
    )


def _published(column, method):
    minutes = paper.TABLE_15.get(column.dataset.key.removeprefix("random_"))
    return f"{minutes} min" if minutes and method == "HSFM, as published" else "-"


def _of_its_size(column):
    key = column.dataset.key
    dataset = all_sets()[key]
    made = random_features(*SIZES[key])
    named = f"{dataset.name}'s size, random features"
    return Column(type(dataset)(named, f"random_{key}", settings=dataset.settings, make=made), None)
