"""Oxford Flowers: 102 flowers, with a validation split."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_flowers

SET = DataSet(
    "Oxford Flowers", "flowers", kind="fine-grained", folder="flowers-102", images=load_flowers
)
