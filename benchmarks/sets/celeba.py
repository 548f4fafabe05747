"""CelebA: blond or not, with few blond men (Table 6 of the paper)."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_celeba

SET = DataSet("CelebA", "celeba", folder="celeba", images=load_celeba, settings="celeba")
