"""Worst-group accuracy of every method on every set of features, over seeds.

``python -m benchmarks.robustness --data-dir DIR`` runs what is not yet in
``benchmarks/results/robustness.jsonl`` and prints the table, also into
``benchmarks/results/robustness.md``. ``--variant`` multiplies all features (x0.05, x20), or draws
the validation rows with the training set's own skew (skewed).

All methods see the same rows. Nothing is chosen on test rows.
"""

import argparse
import inspect
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, __version__, heads, paper_settings
from sklearn_hsfm.datasets import load_features
from sklearn_hsfm.metrics import group_scores, worst_group_accuracy_score

RESULTS = Path(__file__).parent / "results"
# column: (file, whether the network's own head is the start, column of Table 11)
SETS = {
    "waterbirds": ("waterbirds_efflite2", False, "waterbirds"),
    "dominoes": ("dominoes_efflite0", False, "dominoes"),
    "faces": ("faces_gender_efflite0", False, "waterbirds"),
    "adult": ("adult_sex", False, "waterbirds"),
    "dominoes-erm, own head": ("dominoes_erm_efflite0", True, "dominoes"),
    "dominoes-erm, LR head": ("dominoes_erm_efflite0", False, "dominoes"),
    "waterbirds-erm, own head": ("waterbirds_erm_efflite0", True, "waterbirds"),
    "waterbirds-erm, LR head": ("waterbirds_erm_efflite0", False, "waterbirds"),
    "cub50": ("cub50_efflite2", False, "waterbirds"),
}
TITLES = {
    "plain": "As they are",
    "x0.05": "All features times 0.05",
    "x20": "All features times 20",
    "skewed": "Validation rows drawn with the skew of the training set",
}


class Method(NamedTuple):
    """A row of the table."""

    uses: str
    fit: Callable  # (data, seed, column of Table 11) -> fitted model
    needs_groups: bool = False


def erm(data, seed, paper):
    """Take the head of the network, or a logistic regression on standardised features."""
    if data.head is not None:
        return HeadOf(*data.head)
    return probe(C=0.01).fit(data.X_train, data.y_train)


def class_balanced_erm(data, seed, paper):
    """Fit the same regression with classes weighted equally."""
    return probe(C=0.01, class_weight="balanced").fit(data.X_train, data.y_train)


def hard_rows_alone(data, seed, paper):
    """Move the head by Adam straight on the mined validation rows: the ablation of edits."""
    return HardRowFineTuning(seed).fit(data)


def hsfm_published(data, seed, paper):
    """Return the published procedure."""
    settings = paper_settings(paper)
    return HSFMClassifier(**settings, standardize=False, init_head=data.head, random_state=seed)


def method(cls, groups=True, make=None, **params):
    """Return the row of a classifier of the package, with or without group labels."""
    takes = inspect.signature(cls.fit).parameters

    def fit(data, seed, paper):
        clf = make(data, seed, paper) if make else cls(random_state=seed, **params)
        if "init_head" in clf.get_params():
            clf.set_params(init_head=data.head)
        given = {} if data.X_val is None else {"X_val": data.X_val, "y_val": data.y_val}
        if groups:
            given |= {} if data.groups_val is None else {"groups_val": data.groups_val}
            if "groups" in takes and data.groups_train is not None:
                # LISA mixes over the attribute; the files number groups 2 * class + attribute.
                is_lisa = cls is heads.LISAClassifier
                given["groups"] = data.groups_train % 2 if is_lisa else data.groups_train
        return clf.fit(data.X_train, data.y_train, **given)

    none = {name: False for name in cls.uses._fields if "groups" in name}
    return Method(str(cls.uses if groups else cls.uses._replace(**none)), fit, groups)


METHODS = {
    "ERM": Method("nothing", erm),
    "ERM, class-balanced": Method("nothing", class_balanced_erm),
    "hard rows, no edits": Method("validation labels", hard_rows_alone, needs_groups=True),
    "HSFM, as published": method(HSFMClassifier, make=hsfm_published),
    "HSFMClassifierCV, groups": method(HSFMClassifierCV),
    "HSFMClassifierCV": method(HSFMClassifierCV, groups=False),
    "DFR": method(heads.DFRClassifier),
    "DFR, training rows": method(heads.DFRClassifier, variant="train", n_retrains=10)._replace(
        uses="training groups; validation labels; validation groups to select"
    ),
    "class-balanced retraining": method(heads.ClassBalancedClassifier, groups=False),
    "AFR": method(heads.AFRClassifier),
    "AFR, no groups": method(heads.AFRClassifier, groups=False),
    "JTT": method(heads.JTTClassifier),
    "JTT, no groups": method(heads.JTTClassifier, groups=False),
    "SELF": method(heads.SELFClassifier),
    "SELF, no groups": method(heads.SELFClassifier, groups=False),
    "group DRO": method(heads.GroupDROClassifier),
    "CVaR DRO": method(heads.CVaRDROClassifier),
    "LISA": method(heads.LISAClassifier),
    "LfF": method(heads.LfFClassifier),
    "CLP": method(heads.CLPClassifier),
}


def probe(**params):
    """Return an unfitted logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, **params))


class HeadOf:
    """A linear head that predicts class indices."""

    def __init__(self, coef, intercept):
        self.coef, self.intercept = np.atleast_2d(coef), np.ravel(intercept)

    def predict(self, X):
        """Return class indices."""
        logits = X @ self.coef.T + self.intercept
        return (logits[:, 0] > 0).astype(int) if len(self.coef) == 1 else logits.argmax(axis=1)


class HardRowFineTuning:
    """HSFM's loop without a support: the head takes its steps on the mined rows themselves."""

    def __init__(self, seed, epochs=40, T=15, Khard=64, lr=3e-4):
        self.seed, self.epochs, self.T, self.Khard, self.lr = seed, epochs, T, Khard, lr

    def fit(self, data):
        """Mine two thirds of the validation rows; the worst class of the rest selects."""
        rng = np.random.RandomState(self.seed)
        self.scaler = StandardScaler().fit(data.X_train)
        Z, y = self.scaler.transform(data.X_val), data.y_val.astype(int)
        order = rng.permutation(len(y))
        mined, selecting = order[: 2 * len(y) // 3], order[2 * len(y) // 3 :]
        start = LogisticRegression(C=0.01, max_iter=1000)
        start.fit(self.scaler.transform(data.X_train), data.y_train)
        w = torch.tensor(np.r_[start.coef_[0], start.intercept_], dtype=torch.float32)
        w.requires_grad_()
        adam = torch.optim.Adam([w], lr=self.lr)
        X = torch.tensor(np.c_[Z, np.ones(len(Z))], dtype=torch.float32)
        target = torch.tensor(y, dtype=torch.float32)
        loss_of = torch.nn.BCEWithLogitsLoss(reduction="none")
        best = -1.0
        for _ in range(self.epochs):
            with torch.no_grad():
                losses = loss_of(X @ w, target).numpy()
            hard = np.concatenate(
                [
                    rows[np.argsort(-losses[rows])[: self.Khard]]
                    for rows in (mined[y[mined] == c] for c in (0, 1))
                ]
            )
            for _ in range(self.T):
                adam.zero_grad()
                loss_of(X[hard] @ w, target[hard]).mean().backward()
                adam.step()
            head = HeadOf(w.detach().numpy()[None, :-1], w.detach().numpy()[-1:].copy())
            pred = head.predict(Z[selecting])
            score = worst_group_accuracy_score(y[selecting], pred, y[selecting])
            if score >= best:
                best, self.head = score, HeadOf(head.coef.copy(), head.intercept)
        return self

    def predict(self, X):
        """Return class indices."""
        return self.head.predict(self.scaler.transform(X))


def load(folder, file, own_head, variant, seed):
    """Return the data of a column in a variant, or None where the file is absent."""
    path = Path(folder) / f"{file}.npz"
    if not path.is_file():
        return None
    data = load_features(path)
    if not own_head:
        data.head = None
    if variant.startswith("x"):
        factor = float(variant[1:])
        for split in ("train", "val", "test"):
            if data[f"X_{split}"] is not None:
                data[f"X_{split}"] = data[f"X_{split}"] * np.float32(factor)
        if data.head is not None:
            data.head = data.head[0] / factor, data.head[1]
    if variant == "skewed" and data.groups_val is not None:
        kept = skewed_rows(data.groups_train, data.groups_val, np.random.RandomState(seed))
        for key in ("X_val", "y_val", "groups_val"):
            data[key] = data[key][kept]
    return data


def skewed_rows(groups_train, groups_val, rng, part=1.0):
    """Return validation rows whose groups are as unequal as in training.

    They are as many as there can be, times ``part``; two of each group at least.
    """
    ids, train = np.unique(groups_train, return_counts=True)
    rows = [rng.permutation(np.flatnonzero(groups_val == g)) for g in ids]
    share = part * min(len(r) / t for r, t in zip(rows, train, strict=True))
    return np.concatenate([r[: max(2, round(share * t))] for r, t in zip(rows, train, strict=True)])


def run(name, method, data, seed, paper):
    """Return the record of one run."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = METHODS[method].fit(data, seed, paper)
    seconds = time.perf_counter() - start
    groups = data.y_test if data.groups_test is None else data.groups_test
    scores = group_scores(data.y_test, model.predict(data.X_test), groups)
    return {"worst": scores.worst, "average": scores.average, "seconds": seconds}


def main(argv=None):
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("--data-dir", default="../shared/data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--variant", choices=TITLES, default="plain")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args(argv)
    RESULTS.mkdir(parents=True, exist_ok=True)
    log = RESULTS / "robustness.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(r["variant"], r["set"], r["method"], r["seed"]) for r in records}
    versions = {
        "sklearn_hsfm": __version__,
        "torch": torch.__version__,
        "sklearn": sklearn.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    for name in args.sets:
        file, own_head, paper = SETS[name]
        for seed in range(args.seeds):
            todo = [m for m in args.methods if (args.variant, name, m, seed) not in done]
            data = load(args.data_dir, file, own_head, args.variant, seed) if todo else None
            if data is None:
                if todo:
                    print(f"{name}: no file {file}.npz in {args.data_dir}")
                    break
                continue
            for method in todo:
                if data.groups_val is None and METHODS[method].needs_groups:
                    continue
                record = {"variant": args.variant, "set": name, "method": method, "seed": seed}
                record |= {**run(name, method, data, seed, paper), **versions}
                records.append(record)
                with log.open("a") as file_:
                    file_.write(json.dumps(record) + "\n")
                print(
                    *(record[k] for k in ("set", "method", "seed", "worst", "seconds")), flush=True
                )
    text = "\n\n".join(table(records, v) for v in TITLES if any(r["variant"] == v for r in records))
    (RESULTS / "robustness.md").write_text(text + "\n")
    print("\n" + text)


def table(records, variant):
    """Return the Markdown tables of one variant: worst group, average, seconds."""
    records = [r for r in records if r["variant"] == variant]
    names = [s for s in SETS if any(r["set"] == s for r in records)]
    methods = [m for m in METHODS if any(r["method"] == m for r in records)]
    parts = [f"### {TITLES[variant]}"]
    for title, key in (("worst group", "worst"), ("average", "average"), ("seconds", "seconds")):
        rows = [f"| {title} | uses, beyond training labels | {' | '.join(names)} |"]
        rows.append("| --- " * (len(names) + 2) + "|")
        for method in methods:
            cells = []
            for name in names:
                mine = [r for r in records if (r["set"], r["method"]) == (name, method)]
                cells.append(cell([r[key] for r in mine], key))
            rows.append(f"| {method} | {METHODS[method].uses} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def cell(values, key):
    """Return mean, spread and number of the runs of one method on one set."""
    if not values:
        return "-"
    if key == "seconds":
        return f"{np.mean(values):.1f}"
    return f"{np.mean(values):.3f} ± {np.std(values):.3f} ({len(values)})"


if __name__ == "__main__":
    main()
