"""Table 2: ERM and HSFM with a ViT-B/16."""

from benchmarks import paper
from benchmarks.columns import columns_of
from benchmarks.experiments._comparison import compare

METHODS = ("ERM", "HSFM, as published", "HSFMClassifierCV", "HSFMClassifierCV, groups", "DFR")


def run(context):
    """Return the table."""
    columns = columns_of(
        context.sets or ["waterbirds", "celeba", "metashift", "dominoes"],
        context,
        network="vit_b_16",
        ways=["tuned"],
        stand_ins=False,
    )
    title = "Table 2: ViT-B/16"
    return compare("table2", title, columns, paper.TABLE_2, context, methods=METHODS)
