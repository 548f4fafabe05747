"""Compare ERM with HSFM on features with a shortcut, and print a table.

``python -m sklearn_hsfm`` does it on the embedded digit dominoes, ``--data FILE.npz`` on your
own features; `sklearn_hsfm.datasets.load_features` says how such a file is laid out.
``python -m sklearn_hsfm fit|audit|predict --help`` is about data of your own: images in folders,
images named by a table, or features.
"""

import argparse
import platform
import sys
import time

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, __version__, paper_settings
from sklearn_hsfm._cli import COMMANDS, one_line_errors, run
from sklearn_hsfm.datasets import load_digit_dominoes, load_features
from sklearn_hsfm.metrics import group_scores

PAPER_SETS = ("waterbirds", "celeba", "metashift", "dominoes")


def main(argv=None):
    """Run the command that the command line names, or else the comparison."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        run(argv)
        return
    args = parse(argv)
    with one_line_errors():
        compare(args)


def compare(args):
    """Print the table of methods."""
    methods = METHODS if args.methods is None else {m: METHODS[m] for m in args.methods}
    print(header(args), flush=True)
    rows = {}
    for seed in range(args.seeds):
        data = load_digit_dominoes(random_state=seed) if args.data is None else read(args.data)
        for name, (_, fitted) in methods.items():
            start = time.perf_counter()
            model = fitted(data, seed, args)
            seconds = time.perf_counter() - start
            groups = data.y_test if data.groups_test is None else data.groups_test
            scores = group_scores(data.y_test, model.predict(data.X_test), groups)
            rows.setdefault(name, []).append((scores.average, scores.worst, seconds))
    print(table(rows, "worst class" if data.groups_test is None else "worst group"))


def parse(argv):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m sklearn_hsfm", description=__doc__)
    parser.add_argument("--version", action="version", version=f"sklearn_hsfm {__version__}")
    parser.add_argument("--data", metavar="FILE.npz", help="features; default: digit dominoes")
    parser.add_argument("--seeds", type=int, default=5, help="runs, 5 by default")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument(
        "--paper",
        choices=PAPER_SETS,
        default="waterbirds",
        help="the column of Table 11 that 'HSFM, as published' takes; waterbirds by default",
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="NAME", help="rows")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, got {args.seeds}")
    return args


def read(path):
    """Return the features of a file, which must have samples to test on."""
    data = load_features(path)
    if data.X_test is None:
        raise ValueError(f"{path} has no test rows, and a comparison needs some.")
    return data


def validation(data, *, groups):
    """Return the validation arguments of ``fit``; none if the file has no such samples."""
    if data.X_val is None:
        return {}
    known = {"groups_val": data.groups_val} if groups else {}
    return {"X_val": data.X_val, "y_val": data.y_val, **known}


def erm(data, seed, args):
    """Fit the plain linear probe."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return probe.fit(data.X_train, data.y_train)


def class_balanced(data, seed, args):
    """Fit the linear probe, classes weighted equally."""
    probe = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), probe).fit(data.X_train, data.y_train)


def fit_hsfm(model, data, *, groups):
    """Fit one of the package's classifiers on the samples and labels that it may see."""
    return model.fit(data.X_train, data.y_train, **validation(data, groups=groups))


def published(data, seed, args):
    """Fit the published procedure: raw features, published rates, groups choose the epoch."""
    model = HSFMClassifier(
        **paper_settings(args.paper), standardize=False, **common(data, seed, args)
    )
    return fit_hsfm(model, data, groups=True)


def single(data, seed, args):
    """Fit one setting, the defaults."""
    return fit_hsfm(HSFMClassifier(**common(data, seed, args)), data, groups=False)


def training_alone(data, seed, args):
    """Fit the training samples, and nothing else."""
    return HSFMClassifierCV(**common(data, seed, args)).fit(data.X_train, data.y_train)


def cross_fitted(data, seed, args):
    """Fit the default search, without groups."""
    return fit_hsfm(HSFMClassifierCV(**common(data, seed, args)), data, groups=False)


def cross_fitted_with_groups(data, seed, args):
    """Fit the default search; groups judge."""
    return fit_hsfm(HSFMClassifierCV(**common(data, seed, args)), data, groups=True)


def common(data, seed, args):
    """Return the arguments that all classifiers of the package get."""
    return {"init_head": data.head, "device": args.device, "random_state": seed}


# name: (what it uses of the validation set, how to fit it)
METHODS = {
    "ERM": ("nothing", erm),
    "ERM, class-balanced": ("nothing", class_balanced),
    "HSFMClassifierCV, X and y alone": ("nothing", training_alone),
    "HSFM, as published": ("labels; groups to choose the epoch", published),
    "HSFMClassifier": ("labels", single),
    "HSFMClassifierCV": ("labels", cross_fitted),
    "HSFMClassifierCV, groups": ("labels; groups to judge and to fit", cross_fitted_with_groups),
}


def header(args):
    """Return what was run, on what."""
    data = args.data or "digit dominoes, split anew with every seed"
    return (
        f"Data: {data}. Seeds: {args.seeds}. Mean ± standard deviation over seeds.\n"
        f"'As published' is Table 11, {args.paper}, on raw features.\n"
        f"sklearn_hsfm {__version__}, torch {torch.__version__}, scikit-learn "
        f"{sklearn.__version__}, {platform.machine()}, device {args.device}, "
        f"{torch.get_num_threads()} thread(s).\n"
    )


def table(rows, worst):
    """Return the samples as a Markdown table."""
    titles = ["method", "uses of the validation set", "average", worst, "seconds"]
    body = [titles, ["---"] * len(titles)]
    for name, runs in rows.items():
        mean, std = np.mean(runs, axis=0), np.std(runs, axis=0)
        accuracies = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean[:2], std[:2], strict=True)]
        body.append([name, METHODS[name][0], *accuracies, f"{mean[2]:.2f}"])
    widths = [max(len(row[i]) for row in body) for i in range(len(titles))]
    body[1] = ["-" * w for w in widths]
    lines = (" | ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=True)) for r in body)
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
