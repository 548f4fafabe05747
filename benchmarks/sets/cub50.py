"""CUB-200-2011's first 50 species: what stands in where only these features are at hand."""

from benchmarks.sets import DataSet

SET = DataSet("CUB, first 50 species", "cub50", kind="fine-grained")
