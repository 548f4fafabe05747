"""Runs: what is asked for, what it found, kept line by line so that nothing runs twice."""

import json
import platform
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import sklearn
import torch
from tqdm import tqdm

from benchmarks.columns import Column
from benchmarks.methods import Method, fitted, n_settings, settings_of
from benchmarks.rows import AS_GIVEN, with_rows
from sklearn_hsfm import __version__
from sklearn_hsfm.metrics import group_scores


class Context(NamedTuple):
    """What the command line asks for."""

    data_dir: Path
    results: Path
    seeds: int = 5
    device: str = "cpu"
    jobs: int = 1
    quick: bool = False
    methods: tuple = ()  # rows of the table, its own where none is named
    sets: tuple = ()  # columns, the same way

    @property
    def features(self):
        """Return where features of images are kept."""
        return self.results / "features"


class Run(NamedTuple):
    """A method with a seed on the rows of a column."""

    column: Column
    name: str  # of the method, as the table prints it
    method: Method
    seed: int
    rows: str = AS_GIVEN  # which validation samples; see `with_rows`

    def key(self, device):
        """Return what tells runs apart; a changed default makes a new run."""
        return {
            "features": self.column.key,
            "rows": self.rows,
            "method": self.name,
            "settings": settings_of(self.method.make(self.column)),
            "seed": self.seed,
            "device": device,
        }


def runs_of(columns, methods, context):
    """Return the runs of methods, by name, with every seed on the columns that are there."""
    return [
        Run(column, name, method, seed)
        for seed in range(context.seeds)
        for column in columns
        if not column.absent
        for name, method in methods.items()
    ]


def records_of(runs, name, context, jobs=None):
    """Return the records of runs; those that no file of results has are run, and appended.

    Parameters
    ----------
    runs : list of Run
    name : str
        Their records are in ``NAME.jsonl`` afterwards, one line a run.
    context : Context
    jobs : int, default=None
        Runs at a time, in the place of the context's.
    """
    own = context.results / f"{name}.jsonl"
    own.parent.mkdir(parents=True, exist_ok=True)
    kept = {_identity(r): r for r in read(own)}
    wanted = {_identity(key): run for run in runs for key in [run.key(context.device)]}
    if jobs is None:  # seconds that matter are measured anew
        others = (r for path in context.results.glob("*.jsonl") if path != own for r in read(path))
        found = {_identity(r): r for r in others if "settings" in r}
        for identity in wanted.keys() - kept.keys() & found.keys():
            kept[identity] = found[identity]
            append(own, found[identity])
    todo = [run for identity, run in wanted.items() if identity not in kept]
    calls = (joblib.delayed(record)(run, context.device) for run in todo)
    workers = joblib.Parallel(jobs or context.jobs, return_as="generator_unordered")
    for done in tqdm(workers(calls), total=len(todo), desc=name, disable=not todo):
        kept[_identity(done)] = done
        append(own, done)
    return [kept[identity] for identity in wanted]


def run_missing(name, keys, tasks, call, context):
    """Return the records of ``NAME.jsonl``; tasks of which it has none are run, and appended.

    Parameters
    ----------
    name : str
    keys : tuple of str
        What tells records apart.
    tasks : dict
        From values of ``keys`` to the arguments of ``call``.
    call : callable
        Returns the records of a task, a list.
    context : Context
    """
    path = context.results / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    records = read(path)
    done = {tuple(r[key] for key in keys) for r in records}
    todo = [arguments for values, arguments in tasks.items() if values not in done]
    calls = (joblib.delayed(call)(*arguments) for arguments in todo)
    workers = joblib.Parallel(context.jobs, return_as="generator_unordered")
    for found in tqdm(workers(calls), total=len(todo), desc=name, disable=not todo):
        for one in found:
            records.append(one)
            append(path, one)
    return records


def record(run, device):
    """Return what a run found, and all that is needed to find it again."""
    data = with_rows(run.column.load(run.seed), run.rows, run.seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf = fitted(run.method, run.column, data, run.seed, device)
    seconds = time.perf_counter() - start
    groups = data.y_test if data.groups_test is None else data.groups_test
    train_groups = data.y_train if data.groups_train is None else data.groups_train
    scores = group_scores(data.y_test, clf.predict(data.X_test), groups, train_groups=train_groups)
    return {
        **run.key(device),
        "worst": scores.worst,
        "average": scores.average,
        "train_weighted_average": none_if_nan(scores.train_weighted_average),
        "groups": dict(zip(map(str, scores.group), scores.accuracy.round(4), strict=True)),
        **claim_of(clf),
        "tried": n_settings(clf),
        "seconds": round(seconds, 3),
        "uses": run.method.uses,
        "versions": versions(),
        "machine": machine(device),
        "threads": torch.get_num_threads(),
    }


def claim_of(clf):
    """Return what a classifier says of itself, where it does."""
    if not hasattr(clf, "verdict_"):
        return {}
    low, high = clf.best_score_interval_
    return {"verdict": clf.verdict_, "claimed": clf.best_score_, "low": low, "high": high}


def none_if_nan(value):
    """Return a number as JSON can hold it."""
    return None if np.isnan(value) else value


def versions():
    """Return the versions that a result depends on."""
    libraries = {"torch": torch, "scikit-learn": sklearn, "numpy": np}
    found = {name: library.__version__ for name, library in libraries.items()}
    return {"sklearn_hsfm": __version__, **found, "python": platform.python_version()}


def machine(device):
    """Return the name of the processor, or of the GPU."""
    if "cuda" in device:
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


def read(path):
    """Return the records of a file; a last line that a crash cut off does not count."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def append(path, record):
    """Add a record to a file, in the place of a line that a crash cut off."""
    with path.open("ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(record).encode() + b"\n")


_KEYS = ("features", "rows", "method", "settings", "seed", "device")


def _identity(record):
    return json.dumps([record.get(key) for key in _KEYS], sort_keys=True)
