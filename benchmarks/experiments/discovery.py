"""Discovery: who is found, and whether anybody is, with a shortcut and without."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch

from benchmarks.columns import Column, columns_of
from benchmarks.experiments._variants import SETS
from benchmarks.family import members
from benchmarks.runs import machine, run_missing, versions
from benchmarks.tables import absent, made_on, markdown, of, page
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.discovery import ShortcutFinder

FINDERS = ("auto", "residual", "mistakes", "iterated_mistakes", "environments", "clusters")
QUICK = ("auto", "mistakes")


class Case(NamedTuple):
    """Training rows of two classes or more, and who is hurt, where that is known."""

    title: str
    key: str
    load: object  # seed -> Bunch of X, y and hurt, a mask or None


def run(context):
    """Return the table."""
    columns = columns_of(["digit_dominoes"] if context.quick else SETS, context)
    here = [column for column in columns if not column.absent]
    cases = [Case(column.title, column.key, _of_column(column)) for column in here]
    finders = QUICK
    if not context.quick:
        finders = FINDERS
        cases += [_flipped(case) for case in cases]
        cases += [*_without(here), UPPER, *_pairs_of_species(context)]
    tasks = {
        (case.key, finder, seed): (case, finder, seed, context.device)
        for seed in range(context.seeds)
        for case in cases
        for finder in finders
    }
    records = run_missing("discovery", ("case", "finder", "seed"), tasks, _records, context)
    body = [
        [case.title, finder, *_row(of(records, case=case.key, finder=finder))]
        for case in cases
        for finder in finders
    ]
    heading = [
        "samples", "method", "found", "strength", "hurt", "precision", "recall", "by chance",
    ]  # fmt: skip
    return page(
        "# Discovery: who is found, and whether anybody is",
        "`ShortcutFinder` on training samples and their class labels; the attribute is known to "
        "this table alone. Hurt, in truth, are the samples whose attribute goes with another "
        "class. Found: of the seeds, those in which the evidence is for a shortcut, which "
        "decides for `auto` alone. Strength: of the repair that is warranted. Hurt: the share of "
        "samples that is taken for hurt. By chance: the precision of samples that are drawn at "
        f"random.\n\nMean over {context.seeds} seed(s). {made_on(records)}.",
        markdown(heading, body),
        absent(columns),
    )


def _records(case, name, seed, device):
    data = case.load(seed)
    finder = ShortcutFinder(name, random_state=seed).fit(data.X, data.y)
    taken = finder.labels_ % 2 == 1
    known = data.hurt is not None
    record = {
        "case": case.key,
        "finder": name,
        "seed": seed,
        "found": bool(finder.found_),
        "strength": round(finder.strength_, 4),
        "taken": float(taken.mean()),
        "precision": float(data.hurt[taken].mean()) if known and taken.any() else None,
        "recall": float(taken[data.hurt].mean()) if known else None,
        "chance": float(data.hurt.mean()) if known else None,
        "versions": versions(),
        "machine": machine(device),
    }
    return [record]


def _row(records):
    def mean(key):
        known = [r[key] for r in records if r[key] is not None]
        return f"{np.mean(known):.2f}" if known else "-"

    found = f"{sum(r['found'] for r in records)} of {len(records)}"
    return found, mean("strength"), mean("taken"), mean("precision"), mean("recall"), mean("chance")


def _of_column(column: Column):
    def load(seed):
        data = column.load(seed)
        groups = np.unique(data.groups_train, return_inverse=True)[1]
        a = groups % 2
        partner = np.array([np.bincount(a[data.y_train == c]).argmax() for c in (0, 1)])
        return Bunch(X=data.X_train, y=data.y_train, hurt=a != partner[data.y_train])

    return load


def _flipped(case):
    def load(seed):
        data = case.load(seed)
        wrong = np.random.RandomState(seed).uniform(size=len(data.y)) < 0.1
        return Bunch(X=data.X, y=np.where(wrong, 1 - data.y, data.y), hurt=data.hurt)

    return Case(f"{case.title}, 10 % of labels flipped", f"{case.key}, flipped", load)


def _without(columns):
    """Return the members of the family that have no shortcut."""

    def loader(member):
        def load(seed):
            data = member.load(seed)
            return Bunch(X=data.X_train, y=data.y_train, hurt=None)

        return load

    return [
        Case(f"{m.column.title}, {m.role}, no shortcut", m.key, loader(m))
        for m in members(columns, "dev", strengths=(0.5,))
    ]


def _upper_digits(seed):
    """Return digits alone, without the one below that goes with them."""
    data = load_digit_dominoes(random_state=seed)
    return Bunch(X=data.X_train[:, :64], y=data.y_train, hurt=None)


UPPER = Case("Digit dominoes, the upper digit alone", "digits, upper", _upper_digits)


def _pairs_of_species(context):
    """Return CUB's species, put into two classes at random: no attribute is shared."""
    (column,) = columns_of(["cub50"], context)
    if column.absent:
        return []

    def load(seed):
        data = column.load(seed)
        species = np.unique(data.y_train)
        side = np.random.RandomState(seed).permutation(np.arange(len(species)) % 2)
        return Bunch(X=data.X_train, y=side[np.searchsorted(species, data.y_train)], hurt=None)

    return [Case(f"{column.title}, species in two classes at random", "cub50, two classes", load)]
