"""MetaShift: cats and dogs, tested where neither was seen."""

from benchmarks.sets import DataSet
from sklearn_hsfm.datasets import load_metashift

SET = DataSet(
    "MetaShift", "metashift", folder="metashift", images=load_metashift, settings="metashift"
)
