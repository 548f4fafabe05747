"""Ablations: what each part of HSFM, and of its cross-fitting, is worth."""

from unittest import mock

import numpy as np
import torch

from benchmarks.columns import columns_of
from benchmarks.experiments._variants import SETS
from benchmarks.methods import hsfm, of_classifier
from benchmarks.runs import records_of, runs_of
from benchmarks.tables import absent, cell, markdown, page, protocol, values
from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm._choosing import candidates
from sklearn_hsfm._core import link

FROZEN = 1e-12  # a rate of Adam that moves no feature


class RandomHardSet(HSFMClassifier):
    """Mine random rows of each class, once, in the place of the hardest in every epoch."""

    def _solve(self, split, support, head, scaler, mined, record, device):
        rng = np.random.RandomState(self.random_state)
        few = drawn(mined, split.y_val, self.Khard, rng)
        return super()._solve(split, support, head, scaler, few, record, device)


class RandomHardSetCV(HSFMClassifierCV):
    """The same, in every split anew."""

    def _race(self, settings, starts, split, supports, held_out, *args):
        race = super()._race(settings, starts, split, supports, held_out, *args)
        rng = np.random.RandomState(self.random_state)
        race.mined = np.stack([drawn(~held, split.y_val, self.Khard, rng) for held in held_out])
        return race


def drawn(mined, y, per_class, rng):
    """Return a mask of so many random rows of each class, of those that are mined."""
    few = np.zeros_like(mined)
    for c in np.unique(y):
        few[rng.permutation(np.flatnonzero(mined & (y == c)))[:per_class]] = True
    return few


class FirstOrder(HSFMClassifier):
    """Leave out how an edit changes the errors of the inner steps: second derivatives."""

    def _solve(self, *args):
        def none(upstream, P):
            return torch.zeros_like(upstream)

        with mock.patch.object(link.Logistic, "pullback", staticmethod(none)):
            return super()._solve(*args)


class JudgedOnMinedRows(HSFMClassifierCV):
    """Let every head be judged by all rows, those that it mined among them."""

    def _race(self, *args):
        race = super()._race(*args)
        race.held_out = np.ones_like(race.held_out)
        return race


class BestAlone(HSFMClassifierCV):
    """Take the best candidate instead of an average over good ones."""

    def _race(self, *args):
        race = super()._race(*args)
        choose = race.judge

        def without_error(pool):
            with mock.patch.object(candidates, "_standard_error", return_value=0.0):
                return choose(pool)

        race.judge = without_error
        return race


def published(cls=HSFMClassifier, **changes):
    """Return the published procedure with something changed."""

    def make(column):
        return cls(**hsfm.as_published(column, **changes).get_params(deep=False))

    return hsfm.METHODS["HSFM, as published"]._replace(make=make)


def ours(cls=HSFMClassifier, groups=False, **changes):
    """Return one of the classifiers at its defaults, with something changed."""
    return of_classifier(cls, groups=groups, **changes)


def edits(cls=HSFMClassifierCV, **changes):
    """Return the cross-fitted classifier, told to learn edits, with something changed."""
    return ours(cls, scoring="worst_slice", **changes)


PARTS = {
    "As published": {
        "HSFM, as published": published(),
        "published, random hard set": published(RandomHardSet),
        "published, support not edited": published(outer_lr=FROZEN),
        "published, first order": published(FirstOrder),
        "published, standardised features": published(standardize=True),
        "published, a third of the samples selects": published(selection_fraction=1 / 3),
    },
    "HSFMClassifier, one fit": {
        "HSFMClassifier": ours(),
        "one fit, random hard set": ours(RandomHardSet),
        "one fit, support not edited": ours(outer_lr=FROZEN),
        "one fit, first order": ours(FirstOrder),
        "one fit, raw features": ours(standardize=False),
        "one fit, threshold not placed": ours(place_threshold=False),
        "one fit, all samples mine and select": ours(selection_fraction=None),
        "one fit, worst group selects": ours(groups=True),
        "one fit, tail loss selects": ours(selection="tail_loss"),
        "one fit, accuracy selects": ours(selection="accuracy"),
        "one fit, last epoch": ours(selection="last"),
    },
    "HSFMClassifierCV": {
        "cross-fitted edits": edits(),
        "cross-fitted, random hard set": edits(RandomHardSetCV),
        "cross-fitted, support not edited": edits(
            param_grid={"C": [1e-3, 1e-2, 1e-1], "inner_lr": [3e-4, 3e-3], "outer_lr": [FROZEN]},
        ),
        "cross-fitted, judged on mined samples": edits(JudgedOnMinedRows),
        "cross-fitted, one repeat": edits(n_repeats=1),
        "cross-fitted, best candidate alone": edits(BestAlone),
    },
}


def run(context):
    """Return the tables."""
    keys = ["digit_dominoes"] if context.quick else SETS
    columns = columns_of(keys, context, ways=["frozen"])
    here = [column for column in columns if not column.absent]
    methods = {name: method for rows in PARTS.values() for name, method in rows.items()}
    records = records_of(runs_of(columns, methods, context), "ablations", context)
    parts = ["# Ablations", protocol(records, context, *NOTES)]
    for title, rows in PARTS.items():
        body = [
            [n, *(cell(values(records, "worst", method=n, features=c.key)) for c in here)]
            for n in rows
        ]
        text = markdown(["worst group", *(c.title for c in here)], body)
        parts.append(f"## {title}\n\n{text}")
    parts.append(absent(columns))
    return page(*parts)


NOTES = (
    "Only validation labels are used, but for the published procedure and 'worst group selects', "
    "which select by validation groups.",
    "Random hard set: as many random samples of each class, in all epochs. Support not edited: the "
    "outer rate is 1e-12. First order: the gradient without second derivatives. Raw features: "
    "the same rates on features as they are. Judged on mined samples: no cross-fitting. "
    "Cross-fitted edits: `HSFMClassifierCV` with `scoring='worst_slice'`, which learns edits on "
    "any samples.",
)
