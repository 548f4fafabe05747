"""Table 4: ERM and HSFM with ConvNeXt (a), and with CLIP ViT-H (b)."""

from benchmarks import paper
from benchmarks.columns import columns_of
from benchmarks.experiments._comparison import compare
from benchmarks.experiments.table2 import METHODS

CLIP = "open_clip:ViT-H-14"


def run(context):
    """Return both tables."""
    tuned = columns_of(
        ["waterbirds", "celeba"], context, network="convnext_base", ways=["tuned"], stand_ins=False
    )
    frozen = columns_of(
        ["waterbirds", "celeba_star"], context, network=CLIP, ways=["frozen"], stand_ins=False
    )
    size = "The paper does not say which ConvNeXt; this is torchvision's `convnext_base`."
    clip = "CLIP stays frozen: ERM is a logistic regression on its embeddings."
    return "\n\n".join(
        compare(name, title, columns, published, context, methods=METHODS, notes=[note])
        for name, title, columns, published, note in (
            ("table4", "Table 4a: ConvNeXt", tuned, paper.TABLE_4A, size),
            ("table4", "Table 4b: CLIP ViT-H", frozen, paper.TABLE_4B, clip),
        )
    )
