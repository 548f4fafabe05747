"""CUB-200-2011: 200 species of birds."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_cub

SET = DataSet("CUB", "cub", kind="fine-grained", folder="CUB_200_2011", images=load_cub)
