"""CelebA*: two groups of 5,000 and two of 100 (Table 7 of the paper)."""

from functools import partial

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_celeba

SET = DataSet(
    "CelebA*",
    "celeba_star",
    folder="celeba",
    images=partial(load_celeba, variant="star"),
    settings="celeba",
)
