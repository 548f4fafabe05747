"""The units of the features: all of them, and the head, multiplied by a factor."""

from benchmarks.experiments._variants import vary

ROWS = ("as given", "x0.05", "x20")


def run(context):
    """Return the tables."""
    methods = ("HSFM, as published", "HSFMClassifier", "HSFMClassifierCV")
    return vary("scale", "All features times a factor", ROWS, context, methods=methods)
