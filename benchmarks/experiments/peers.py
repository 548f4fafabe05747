"""Peers: DFR of the package spuco and DPE of the package dpe, beside ours, on the same features."""

from benchmarks.columns import columns_of
from benchmarks.experiments._comparison import overview
from benchmarks.experiments._variants import SETS
from benchmarks.methods import Method, all_methods
from benchmarks.packages import DpeDPE, SpucoDFR, installed
from benchmarks.runs import records_of, runs_of
from benchmarks.tables import absent, markdown, of, page, protocol, spread, values

OURS = ("DFR", "HSFMClassifierCV, groups", "DPE", "DPE, no groups", "HSFMClassifierCV")
GROUPS = "validation labels; validation groups to fit and select"
EPOCHS = "validation labels; validation groups to select"


def theirs():
    """Return the rows of the packages that are installed."""
    methods = {}
    if installed("spuco"):
        methods["DFR of spuco"] = Method(lambda column: SpucoDFR(), GROUPS, "validation")
    if installed("dpe", "netcal"):
        methods["DPE of dpe"] = Method(lambda column: DpeDPE(), GROUPS, "validation")
        methods["DPE of dpe, by class"] = Method(
            lambda column: DpeDPE(groups=False), EPOCHS, "validation"
        )
    return methods


def run(context):
    """Return the table."""
    columns = columns_of(["digit_dominoes"] if context.quick else SETS, context)
    methods = {**theirs(), **{n: all_methods()[n] for n in OURS}}
    records = records_of(runs_of(columns, methods, context), "peers", context, jobs=1)
    taken = [
        [name, *(_seconds(records, name, c) for c in columns if not c.absent)] for name in methods
    ]
    lacking = "" if installed("spuco", "dpe", "netcal") else LACKING
    return page(
        "# Peers: the packages on the index, on the same features",
        protocol(records, context, *NOTES),
        overview(records, methods, columns),
        markdown(["seconds", *(c.title for c in columns if not c.absent)], taken),
        lacking,
        absent(columns),
    )


def _seconds(records, name, column):
    mine = of(records, method=name, features=column.key)
    return spread(values(mine, "seconds")) if mine else "-"


NOTES = (
    "spuco and dpe are the packages as the index has them, at their defaults, one run at a time. "
    "The DFR of spuco restates that of its authors; it fits one half of the validation samples and "
    "chooses by the other, for its own split fails since Python 3.11. dpe chooses the epochs of "
    "its members by the worst group even where they are balanced by class. Neither holds samples "
    "out of what it is given beyond that.",
)
LACKING = (
    "Rows of packages that are not installed are missing: `pip install spuco dpe netcal` "
    "(netcal is what dpe imports and does not ask for)."
)
