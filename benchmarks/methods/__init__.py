"""The methods, one file each: a module here that defines ``METHODS`` adds rows to the tables."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

# The reading order of tables; methods that are not named follow.
ORDER = (
    "ERM",
    "ERM, class-balanced",
    "HSFM, as published",
    "HSFMClassifier",
    "HSFMClassifier, tuned",
    "HSFMClassifierCV",
    "HSFMClassifierCV, groups",
    "DFR",
)


class Method(NamedTuple):
    """A row of the tables.

    ``make(column)`` returns the unfitted classifier. ``groups`` says whether it is given group
    labels, "validation" those of the validation samples alone, and ``uses`` in words which labels
    it uses beyond those of the training samples. ``trained_on`` turns the groups of the training
    samples into what the classifier wants.
    """

    make: Callable[..., BaseEstimator]
    uses: str
    groups: bool | str = True
    trained_on: Callable[[np.ndarray], np.ndarray] = np.asarray


def of_classifier(cls, *, groups=True, uses=None, **params):
    """Return the row of a classifier of the package, with or without group labels."""
    absent = {True: "nothing", "validation": "training_groups", False: "groups"}[groups]
    none = {name: False for name in cls.uses._fields if absent in name}
    uses = uses or str(cls.uses._replace(**none))
    return Method(lambda column: cls(**params), uses, groups)


def all_methods():
    """Return the methods by name."""
    methods = {}
    for module in pkgutil.iter_modules(__path__):
        methods |= importlib.import_module(f"{__name__}.{module.name}").METHODS
    first = [name for name in ORDER if name in methods]
    return {name: methods[name] for name in [*first, *(m for m in methods if m not in first)]}


def methods_of(context, names=None, others=None):
    """Return the rows of a table by name: what the context asks for, else those named, else all.

    ``others`` are rows that this table alone has, or has in another form; they come last.
    """
    others = others or {}
    every = {n: m for n, m in all_methods().items() if n not in others} | others
    wanted = context.methods or names or every
    if unknown := [n for n in wanted if n not in every]:
        raise ValueError(f"This table cannot have {unknown}. It can have: {', '.join(every)}.")
    return {n: m for n, m in every.items() if n in wanted}


def settings_of(estimator):
    """Return the parameters as JSON can hold them, without those that a run sets itself."""
    params = estimator.get_params(deep=False)
    kept = {k: v for k, v in params.items() if k not in _SET_BY_RUNS}
    return json.loads(json.dumps(kept, default=repr))


_SET_BY_RUNS = ("random_state", "init_head", "device", "n_jobs", "verbose", "progress")


def fitted(method, column, data, seed, device):
    """Return the classifier of a method, fitted on data."""
    clf = method.make(column)
    params = clf.get_params(deep=False)
    given = {"random_state": seed, "device": device}
    clf.set_params(**{k: v for k, v in given.items() if k in params})
    if data.head is not None and "init_head" in params:
        clf.set_params(init_head=data.head)
    takes = inspect.signature(clf.fit).parameters
    rows = {} if data.X_val is None else {"X_val": data.X_val, "y_val": data.y_val}
    if method.groups and rows and data.groups_val is not None:
        rows["groups_val"] = data.groups_val
    if method.groups is True and data.groups_train is not None:
        rows["groups"] = method.trained_on(data.groups_train)
    clf.fit(data.X_train, data.y_train, **{k: v for k, v in rows.items() if k in takes})
    return clf


def n_settings(clf):
    """Return among how many settings the validation samples have chosen."""
    if hasattr(clf, "cv_results_"):
        return len(clf.cv_results_["params"])
    return len(getattr(clf, "Cs", [None]))
