"""Stanford Cars: 196 makes and models."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_cars

SET = DataSet(
    "Stanford Cars", "cars", kind="fine-grained", folder="stanford_cars", images=load_cars
)
