"""What the validation rows are: as given, balanced, skewed like training, or fewer."""

from benchmarks.experiments._variants import vary

ROWS = ("as given", "balanced", "skewed", "1/2", "1/4", "1/8")


def run(context):
    """Return the tables."""
    return vary(
        "protocol",
        "What the validation rows are",
        ROWS,
        context,
        notes=[
            "Balanced: every group as often as the smallest. Skewed: groups as unequal as in "
            "training, two rows of each at least. 1/2, 1/4 and 1/8 are stratified by group. The "
            "seed draws these rows, too; all methods get the same."
        ],
    )
