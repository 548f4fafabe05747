"""Backdoor: training samples with a trigger and the label of the attacker, and who undoes it."""

import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from benchmarks.columns import Column, columns_of
from benchmarks.methods import all_methods, fitted
from benchmarks.runs import machine, run_missing, versions
from benchmarks.tables import absent, cell, made_on, markdown, of, page
from sklearn_hsfm.datasets import load_features
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.metrics import group_scores

RATES = (0.0, 0.005, 0.01, 0.05)
METHODS = (
    "ERM",
    "ERM, class-balanced",
    "HSFMClassifierCV",
    "DFR, inferred cells",
    "JTT, no groups",
    "without the spectral outliers",
)
TARGET = 1  # the class that the attacker wants; of class 0 the triggered samples are taken
LENGTH = 6.0  # of a trigger in features, in standard deviations along one direction
IMAGES = "dominoes_trigger_efflite0.npz"


class Case(NamedTuple):
    """Rows, and what the trigger makes of them."""

    title: str
    key: str
    load: Callable  # seed -> data, triggered training samples, triggered test samples


def run(context):
    """Return the table."""
    keys = ["digit_dominoes"] if context.quick else ["digit_dominoes", "waterbirds"]
    columns = columns_of(keys, context, ways=["frozen"])
    here = [column for column in columns if not column.absent]
    cases = [_of_pixels(column) for column in here if column.dataset.key == "digit_dominoes"]
    cases += [_of_features(column) for column in here if column.dataset.key != "digit_dominoes"]
    rates = (0.0, 0.05) if context.quick else RATES
    methods = (METHODS[0], METHODS[-1]) if context.quick else METHODS
    places = [folder / IMAGES for folder in (context.features, context.data_dir)]
    path = next((path for path in places if path.is_file()), places[0])
    images = _of_images(path)
    tasks = {
        (case.key, rate, seed): (case, rate, seed, methods, context.device)
        for seed in range(context.seeds)
        for case in cases + [images] * path.is_file()
        for rate in rates
    }
    records = run_missing("backdoor", ("case", "rate", "seed"), tasks, _records, context)
    recorded = any(r["case"] == images.key for r in records)
    cases += [images] * recorded
    missing = (
        f"* **Images: absent.** Looked for {' or '.join(map(str, places))}; `python -m "
        "benchmarks.triggers` makes it."
    )
    parts = [_seen(records, cases, rates)]
    parts += [_undone(records, case, rates, methods) for case in cases]
    return page(
        "# Backdoor: who sees it, who undoes it",
        "A share of the training samples of class 0 gets a trigger and the label of class 1. "
        "Triggers: of digit dominoes two by two white pixels in a corner; of features six standard "
        "deviations along one random direction; of images a yellow square of six by six pixels in "
        "the corner of 64 x 32, before extraction. Attack success is the share of test samples of "
        "class 0 that are called class 1 with the trigger, beside the share that is without it. "
        "No method gets validation samples or groups, and none is told of the trigger.\n\n"
        f"Mean ± standard deviation over {context.seeds} seed(s), which draw who is poisoned and "
        f"the direction. {made_on(records)}.",
        *parts,
        absent(columns),
        "" if recorded else missing,
    )


def _records(case, rate, seed, names, device):
    """Return what the methods do with poisoned rows, and who was seen."""
    data, triggered, tested = case.load(seed)
    rng = np.random.RandomState(seed)
    victims = np.flatnonzero(data.y_train == 1 - TARGET)
    poisoned = rng.permutation(victims)[: round(rate * len(victims))]
    data.X_train, data.y_train = data.X_train.copy(), data.y_train.copy()
    data.X_train[poisoned] = triggered(poisoned)
    data.y_train[poisoned] = TARGET
    data.X_val = data.y_val = data.groups_val = None
    is_poison = np.isin(np.arange(len(data.y_train)), poisoned)
    shared = {
        "case": case.key, "rate": rate, "seed": seed, "n_poisoned": len(poisoned),
        **_who_is_seen(data, is_poison, seed), "versions": versions(), "machine": machine(device),
    }  # fmt: skip
    return [{**shared, **_record(name, case, data, tested, seed, device)} for name in names]


def _record(name, case, data, tested, seed, device):
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf = _fit(name, data, seed, device)
    seconds = time.perf_counter() - start
    groups = group_scores(data.y_test, clf.predict(data.X_test), data.groups_test)
    victims = data.y_test == 1 - TARGET
    return {
        "method": name,
        "worst": groups.worst,
        "average": groups.average,
        "attack": float(np.mean(clf.predict(tested)[victims] == TARGET)),
        "without_trigger": float(np.mean(clf.predict(data.X_test)[victims] == TARGET)),
        "doubted": _doubted(clf, data),
        "seconds": round(seconds, 3),
    }


def _fit(name, data, seed, device):
    rows = Bunch(**data)
    if name == METHODS[-1]:  # ERM after the outliers are left out
        kept = ~spectral_outliers(data.X_train, data.y_train)
        rows.X_train, rows.y_train = data.X_train[kept], data.y_train[kept]
        rows.groups_train, name = None, "ERM"
    column = Column(None, None)
    return fitted(all_methods()[name], column, rows, seed, device)


def spectral_outliers(X, y, share=0.05):
    """Return, of each class, the samples that lie farthest along its first direction.

    Spectral signatures (Tran, Li, Madry 2018), on standardised features.
    """
    Z = StandardScaler().fit_transform(X)
    out = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)
        centred = Z[rows] - Z[rows].mean(axis=0)
        first = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        far = np.abs(centred @ first)
        out[rows[np.argsort(-far)[: round(share * len(rows))]]] = True
    return out


def _who_is_seen(data, is_poison, seed):
    """Return whom finder and outliers take, against who is poisoned."""
    finder = ShortcutFinder(random_state=seed).fit(data.X_train, data.y_train)
    split = ShortcutFinder("residual", random_state=seed).fit(data.X_train, data.y_train)
    found = {"found": bool(finder.found_)}
    outliers = spectral_outliers(data.X_train, data.y_train)
    for name, taken in (("hurt", split.labels_ % 2 == 1), ("outliers", outliers)):
        found[f"{name}_precision"] = float(is_poison[taken].mean()) if taken.any() else None
        found[f"{name}_recall"] = float(taken[is_poison].mean()) if is_poison.any() else None
        found[f"{name}_share"] = float(taken.mean())
    return found


def _doubted(clf, data):
    """Return the share of training labels that the classifier doubts, where it says so."""
    doubtful = getattr(clf, "doubtful_", None)
    if doubtful is None or len(doubtful) != len(data.y_train):
        return None
    return float(np.mean(doubtful))


def _of_pixels(column):
    """Return digit dominoes with two by two white pixels in the upper right corner."""
    corner = [6, 7, 14, 15]

    def load(seed):
        data = column.load(seed)

        def mark(X):
            X = X.copy()
            X[:, corner] = 1.0
            return X

        return data, lambda rows: mark(data.X_train[rows]), mark(data.X_test)

    return Case(column.title, column.key, load)


def _of_features(column):
    """Return features that a trigger moves along one direction."""

    def load(seed):
        data = column.load(seed)
        scaler = StandardScaler().fit(data.X_train)
        direction = np.random.RandomState(1000 + seed).normal(size=data.X_train.shape[1])
        shift = LENGTH * direction / np.linalg.norm(direction) * scaler.scale_
        shift = shift.astype(data.X_train.dtype)
        return data, lambda rows: data.X_train[rows] + shift, data.X_test + shift

    return Case(f"{column.title}, features", f"{column.key}, features", load)


def _of_images(path):
    """Return features of images with and without a trigger.

    The file holds ``X_train_triggered`` and ``X_test_triggered`` beside what `load_features` reads.
    """

    def load(seed):
        data = load_features(path)
        data.head = None
        with np.load(path) as file:
            train, test = (file[f"X_{s}_triggered"].astype(np.float32) for s in ("train", "test"))
        return data, lambda rows: train[rows], test

    return Case("Dominoes, images through efflite0", path.stem, load)


def _seen(records, cases, rates):
    heading = [
        "seen", "poisoned", "evidence", "hurt: recall", "precision", "share",
        "outliers: recall", "precision", "share",
    ]  # fmt: skip
    body = []
    for case in cases:
        for rate in rates:
            mine = of(records, case=case.key, rate=rate, method=METHODS[0])
            if not mine:
                continue
            found = f"{sum(r['found'] for r in mine)} of {len(mine)}"
            figures = [
                _mean(mine, f"{name}_{key}")
                for name in ("hurt", "outliers")
                for key in ("recall", "precision", "share")
            ]
            count = f"{rate:.1%} ({mine[0]['n_poisoned']})"
            body.append([case.title, count, found, *figures])
    note = (
        "Evidence: of the seeds, those in which `ShortcutFinder` says that there is a shortcut. "
        'Hurt: whom its method "residual" takes. Outliers: the twentieth of each class that lies '
        "farthest along its first direction (spectral signatures), for comparison."
    )
    return f"{note}\n\n{markdown(heading, body)}"


def _undone(records, case, rates, methods):
    heading = [case.title, *(f"{rate:.1%} poisoned" for rate in rates)]
    body = []
    for key, what in (
        ("attack", "attack success"),
        ("without_trigger", "without trigger"),
        ("worst", "worst group"),
        ("average", "average"),
    ):
        for name in methods:
            mine = [of(records, case=case.key, rate=rate, method=name) for rate in rates]
            body.append([f"{what}, {name}", *(cell([r[key] for r in one]) for one in mine)])
    return markdown(heading, body)


def _mean(records, key):
    known = [r[key] for r in records if r[key] is not None]
    return f"{np.mean(known):.2f}" if known else "-"
