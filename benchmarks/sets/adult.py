"""UCI Adult: income above 50,000, groups by sex; unequal classes more than a shortcut."""

from benchmarks.sets import DataSet

SET = DataSet("Adult", "adult_sex", kind="tabular")
