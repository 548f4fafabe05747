"""What the validation rows are: none, as given, balanced, skewed like training, or fewer."""

from benchmarks.experiments._variants import vary

ROWS = ("none", "as given", "balanced", "skewed", "1/2", "1/4", "1/8")


def run(context):
    """Return the tables."""
    return vary(
        "protocol",
        "What the validation rows are",
        ROWS,
        context,
        notes=[
            "None: methods that choose by validation rows hold out a fifth of the training rows, "
            "with their groups where they use these; `HSFMClassifierCV` and ERM do not, and the "
            "groups of validation rows, which `HSFMClassifierCV, groups` uses, are none. Groups of "
            "training rows have a table of their own, `training`. Balanced: every group as often "
            "as the smallest. Skewed: groups as unequal as in training, two rows of each at least. "
            "1/2, 1/4 and 1/8 are stratified by group. The seed draws these rows, too; all methods "
            "get the same."
        ],
    )
