"""Figure 3: worst-group accuracy against T on Waterbirds."""

from benchmarks.columns import columns_of
from benchmarks.experiments._sweeps import sweep
from benchmarks.methods import hsfm, of_classifier
from sklearn_hsfm import HSFMClassifier

T = (1, 5, 10, 15, 20, 25, 30)


def run(context):
    """Return the table, and draw the figure."""
    methods = {
        "HSFM, as published": lambda T: hsfm.METHODS["HSFM, as published"]._replace(
            make=lambda column: hsfm.as_published(column, T=T)
        ),
        "HSFMClassifier": lambda T: of_classifier(HSFMClassifier, groups=False, T=T),
    }
    keys = ["digit_dominoes"] if context.quick else ["waterbirds"]
    return sweep(
        "figure3",
        "Figure 3: worst-group accuracy against T",
        "T",
        T,
        methods,
        columns_of(keys, context),
        context,
        notes=[
            "T is the number of steps that an edit looks ahead and that the head takes an epoch; "
            "all else stays. The paper shows Waterbirds: sharply worse for T = 1 and 5, flat from "
            "T = 10."
        ],
    )
