"""Tables of seconds: one run at a time, beside published minutes of another machine."""

import numpy as np
from sklearn.utils import Bunch

from benchmarks.methods import all_methods
from benchmarks.runs import records_of, runs_of
from benchmarks.tables import absent, markdown, page, protocol, spread, values


def timings(name, title, columns, names, published, context, notes=(), extra=()):
    """Time methods on columns, one run at a time, and return the text.

    Parameters
    ----------
    name, title : str
    columns : list of Column
    names : sequence of str
        Methods.
    published : callable
        From column and method to what the paper prints.
    context : Context
    notes : sequence of str
    extra : sequence of str
        Published rows without a counterpart here.
    """
    methods = {n: m for n, m in all_methods().items() if n in names}
    records = records_of(runs_of(columns, methods, context), name, context, jobs=1)
    body = []
    for column in columns:
        for n, method in methods.items():
            taken = values(records, "seconds", method=n, features=column.key)
            ours = "-" if not len(taken) else spread(taken)
            body.append([column.title, n, method.uses, ours, published(column, n)])
    body.extend(["-", n, "-", "-", published(None, n)] for n in extra)
    heading = ["features", "method", "uses", "seconds, ours", "published, another machine"]
    return page(
        f"# {title}",
        protocol(records, context, *notes, *NOTES),
        markdown(heading, body),
        absent(columns),
    )


NOTES = (
    "Seconds are of `fit`, tuning included: median [least, most] over the seeds, one run at a "
    "time. **Published minutes are quoted, not measured here**: they were taken on an NVIDIA "
    "A100, and those of Table 14 but HSFM's come from another paper and train whole networks. "
    "They say nothing about this implementation; speed.md has the plain loop on one machine.",
)


def random_features(n_train, n_val, n_features=2048):
    """Return a function that makes random rows of a size, two classes, four groups, and a head."""

    def make(random_state):
        rng = np.random.default_rng(random_state)
        data = Bunch(head=(0.02 * rng.standard_normal((2, n_features)), np.zeros(2)))
        for split, n in (("train", n_train), ("val", n_val), ("test", 500)):
            y, attribute = rng.integers(2, size=(2, n))
            X = np.maximum(rng.standard_normal((n, n_features), dtype=np.float32), 0)
            X[:, :100] += 0.3 * y[:, None]
            data.update({f"X_{split}": X, f"y_{split}": y, f"groups_{split}": 2 * y + attribute})
        return data

    return make
