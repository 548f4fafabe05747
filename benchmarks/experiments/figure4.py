"""Figure 4: worst-group accuracy against the size of the support set."""

from benchmarks.columns import columns_of
from benchmarks.experiments._sweeps import sweep
from benchmarks.methods import hsfm, of_classifier
from benchmarks.sets import all_sets
from sklearn_hsfm import HSFMClassifier

PER_CLASS = (8, 16, 32, 64, 125, 250, 500, 1000)


def run(context):
    """Return the table, and draw the figure."""
    methods = {
        "HSFM, CelebA's settings": lambda n: hsfm.METHODS["HSFM, as published"]._replace(
            make=lambda column: hsfm.as_published(
                column._replace(dataset=all_sets()["celeba"]), support_per_class=n
            )
        ),
        "HSFMClassifier": lambda n: of_classifier(
            HSFMClassifier, groups=False, support_per_class=n
        ),
    }
    keys = ["digit_dominoes"] if context.quick else ["celeba", "faces_gender", "waterbirds"]
    return sweep(
        "figure4",
        "Figure 4: worst-group accuracy against the size of the support set",
        "support samples of each class",
        PER_CLASS[:4] if context.quick else PER_CLASS,
        methods,
        columns_of(keys, context, ways=["frozen"]),
        context,
        notes=[
            "The paper shows CelebA: a peak at 250 samples, worse for more. Faces stand in for "
            "CelebA. A class with fewer samples than asked for gives each of them several times."
        ],
    )
