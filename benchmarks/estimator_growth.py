"""How the time of whole fits grows: ours beside what they replace, each size varied alone."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.tables import markdown, spread
from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm.heads import ClassBalancedClassifier, DFRClassifier

BASE = {"n_train": 4000, "n_val": 1200, "d": 512, "C": 2}
GROWTH = {
    "n_train": (1000, 4000, 16000),
    "n_val": (300, 1200, 4800),
    "d": (128, 512, 2048),
    "C": (2, 8, 32),
}
REFERENCE = "DFR"


def with_shortcut(rows, rng):
    """Return rows in which an attribute goes with the class, and validation groups.

    It does in 95 % of the training samples and in half of the validation samples, so that edits are
    learned on these. Rows of a class overlap with others, as real ones: separable classes end some
    solvers early, and hold up others.
    """
    (X, y), (X_val, y_val) = rows[:2], rows[2:]
    n_classes = y.max() + 1
    centres = rng.normal(size=(n_classes, X.shape[1])) * 0.5
    parts, groups = [], None
    for (A, labels), share in (((X, y), 0.95), ((X_val, y_val), 0.5)):
        holds = rng.uniform(size=len(labels)) < share
        attribute = np.where(holds, labels, (labels + 1) % n_classes)
        noise = 2 * rng.normal(size=A.shape)
        parts += [(A + noise + centres[attribute]).astype(A.dtype), labels]
        groups = 2 * labels + holds
    return parts, groups


def calls_of(rows, groups, device):
    """Return a call that fits each estimator at its defaults; DFR trains on the groups."""
    X, y, X_val, y_val = rows
    ours = {"random_state": 0, "device": device}
    erm = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return {
        "HSFMClassifierCV": lambda: HSFMClassifierCV(**ours).fit(X, y, X_val, y_val),
        "HSFMClassifier": lambda: HSFMClassifier(**ours).fit(X, y, X_val, y_val),
        "DFR": lambda: DFRClassifier(random_state=0).fit(X, y, X_val, y_val, groups_val=groups),
        "class-balanced retraining": lambda: ClassBalancedClassifier(random_state=0).fit(
            X, y, X_val, y_val
        ),
        "LogisticRegression": lambda: erm.fit(X, y),
    }


def estimators(args, features, in_turn):
    """Time whole fits at each size; ``features`` makes rows and ``in_turn`` times calls."""
    records = []
    for name, values in GROWTH.items():
        for value in values:
            at = {**BASE, name: value}
            rows = features(at["n_train"], at["n_val"], at["C"], at["d"])
            rows, groups = with_shortcut(rows, np.random.default_rng(1))
            calls = calls_of(rows, groups, args.device)
            edits = calls["HSFMClassifierCV"]().finder_ is None
            seconds = in_turn(calls.values(), args.repeats)
            times = dict(zip(calls, seconds.tolist(), strict=True))
            records.append({"varied": name, **at, "edits": edits, "seconds": times})
            print(f"estimators: {name}={value}", flush=True)
    return records


def table(records):
    """Return seconds, and how many times the reference they are, as Markdown.

    With edits, `HSFMClassifierCV` has found that validation samples show more than training ones.
    """
    names = list(records[0]["seconds"])
    rows = []
    for r in records:
        times = r["seconds"]
        ratios = [np.median(np.divide(times[n], times[REFERENCE])) for n in names]
        cells = [f"{spread(times[n])}, x{x:.2f}" for n, x in zip(names, ratios, strict=True)]
        rows.append([r["varied"], *(r[k] for k in BASE), "yes" if r["edits"] else "no", *cells])
    return markdown(["varied", *BASE, "edits", *names], rows)


def picture(records, path):
    """Draw the seconds of each estimator against each size, on log axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2), layout="constrained")
    panels = figure.subplots(1, len(GROWTH), sharey=True)
    for panel, varied in zip(panels, GROWTH, strict=True):
        mine = [r for r in records if r["varied"] == varied]
        for name, mark in zip(mine[0]["seconds"], "osD^v", strict=True):
            y = [np.median(r["seconds"][name]) for r in mine]
            panel.loglog([r[varied] for r in mine], y, f"{mark}-", label=name)
        panel.set_xlabel(varied)
        panel.xaxis.set_minor_formatter("")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds of a fit")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    figure.savefig(path, dpi=120)
