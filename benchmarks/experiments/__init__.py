"""The published tables and figures, and our own, one file each: each defines ``run(context)``.

``run`` returns the text of the table; what it ran is in ``NAME.jsonl`` of the results. Files that
begin with an underscore hold what several of them share.
"""

import importlib
import pkgutil

# Tables whose rows are methods and whose columns are sets, so that others can be named.
OF_METHODS = ("noise", "protocol", "table1", "table2", "table3", "training")


def all_experiments():
    """Return the modules by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {n: importlib.import_module(f"{__name__}.{n}") for n in names if n[0] != "_"}
