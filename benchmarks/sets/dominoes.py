"""Dominoes: a car or truck of CIFAR-10 above a 0 or 1 of MNIST."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_dominoes

SET = DataSet(
    "Dominoes",
    "dominoes",
    folder="dominoes",
    images=load_dominoes,
    settings="dominoes",
    balanced=True,
)
