"""Waterbirds: birds cut out onto land and water."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_waterbirds

SET = DataSet(
    "Waterbirds",
    "waterbirds",
    folder="waterbird_complete95_forest2water2",
    images=load_waterbirds,
)
