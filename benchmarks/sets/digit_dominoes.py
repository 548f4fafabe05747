"""Digit dominoes: the set that comes with the package, split anew by every seed."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_digit_dominoes

SET = DataSet("digit dominoes", "digit_dominoes", kind="tabular", make=load_digit_dominoes)
