"""Wrong labels among the validation samples."""

from benchmarks.experiments._variants import vary

ROWS = ("as given", "5 % flipped", "10 % flipped", "20 % flipped")


def run(context):
    """Return the tables."""
    return vary(
        "noise",
        "Wrong validation labels",
        ROWS,
        context,
        notes=[
            "The labels of that share of the validation samples, drawn by the seed, are those of "
            "the other class, and their groups those of the other class with the same attribute. "
            "Training and test samples are clean."
        ],
    )
