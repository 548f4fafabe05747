"""What the validation samples are: none, as given, balanced, skewed like training, or fewer."""

from benchmarks.experiments._variants import vary

ROWS = ("none", "as given", "balanced", "skewed", "1/2", "1/4", "1/8")


def run(context):
    """Return the tables."""
    return vary(
        "protocol",
        "What the validation samples are",
        ROWS,
        context,
        notes=[
            "None: methods that choose by validation samples hold out a fifth of the training "
            "samples, with their groups where they use these; `HSFMClassifierCV` and ERM do not, "
            "and the groups of validation samples, which `HSFMClassifierCV, groups` uses, are "
            "none. Groups of training samples have a table of their own, `training`. Balanced: "
            "every group as often as the smallest. Skewed: groups as unequal as in training, two "
            "samples of each at least. 1/2, 1/4 and 1/8 are stratified by group. The seed draws "
            "these samples, too; all methods get the same."
        ],
    )
