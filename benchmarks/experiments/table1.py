"""Table 1: every method on every set with groups."""

from benchmarks import paper
from benchmarks.columns import columns_of
from benchmarks.experiments._comparison import compare
from benchmarks.sets import all_sets

PAPER = ("waterbirds", "celeba", "metashift", "dominoes")


def run(context):
    """Return the table."""
    others = [
        key
        for key, dataset in all_sets().items()
        if key not in PAPER and key != "celeba_star" and dataset.kind != "fine-grained"
    ]
    columns = columns_of(context.sets or [*PAPER, *others], context)
    return compare(
        "table1",
        "Table 1: methods and sets, ResNet-50 or what stands in",
        columns,
        paper.TABLE_1,
        context,
        notes=[
            "The paper fine-tunes a ResNet-50 with ERM. Where its features are absent, an "
            "EfficientNet-Lite stands in, fine-tuned (from its own head) and frozen (from a "
            "logistic regression). One network a set: seeds do not train it anew."
        ],
    )
