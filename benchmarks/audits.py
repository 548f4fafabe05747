"""What an audit answers with and without a shortcut, which labels it doubts, which samples.

``python -m benchmarks.audits verdicts --data-dir DIR`` audits training samples as they are, with
labels that are shuffled, and with as many of each group, which is no shortcut; and the upper half
of digit dominoes. ``labels`` flips a tenth of the training labels; with cleanlab installed (which
nothing else here needs) its answers stand beside. ``spread`` asks how well the disagreement of the
averaged heads tells which test samples are misread. ``fitted`` audits a class-balanced regression
of training samples on others of these, and on test samples.
"""

import argparse
import time
import warnings
from collections import Counter

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.columns import existing_folder, files_with_groups
from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.heads import ClassBalancedClassifier
from sklearn_hsfm.inspection import audit

MOST = 3000  # training samples of an audit


def main(argv=None):
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audits", description=__doc__)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument(
        "--data-dir", type=existing_folder, required=True, help="folder of .npz files"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs, 3 by default")
    args = parser.parse_args(argv)
    sets = {path.stem: data for path, data in files_with_groups(args.data_dir)}
    if not sets:
        parser.error(f"--data-dir {args.data_dir} has no .npz file of groups within classes")
    TABLES[args.table](sets, range(args.seeds))


def verdicts(sets, seeds):
    """Print what audits answer."""
    print("| training samples | answers | repair | gain of the worst group | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for name, data in sets.items():
        for kind, change in (("", drawn), (", shuffled", shuffled), (", balanced", balanced)):
            print_audits(f"{name}{kind}", [(*change(data, s), s) for s in seeds])
    upper = [load_digit_dominoes(random_state=s) for s in seeds]
    print_audits("digit dominoes", [(d.X_train, d.y_train, d.groups_train, 0) for d in upper])
    print_audits(
        "digits, upper half",
        [(d.X_train[:, :64], d.y_train, None, s) for s, d in enumerate(upper)],
    )


def print_audits(name, cases):
    """Print the answers of one kind of set."""
    start = time.perf_counter()
    found = [audit(None, X, y, groups=g, random_state=s) for X, y, g, s in cases]
    seconds = (time.perf_counter() - start) / len(cases)
    gains = [100 * a.differences[0, a.worst] for a in found if a.group_scores is not None]
    cells = [
        name,
        counted(a.verdict for a in found),
        counted(a.repair for a in found),
        f"{np.mean(gains):+.1f} ± {np.std(gains):.1f}" if gains else "-",
        f"{seconds:.0f}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def counted(words):
    """Return how often each word came."""
    return ", ".join(f"{n} {word}" for word, n in Counter(words).most_common())


def drawn(data, seed):
    """Return `MOST` training samples at most, and their groups."""
    rows = np.random.RandomState(seed).permutation(len(data.y_train))[:MOST]
    return data.X_train[rows], data.y_train[rows], data.groups_train[rows]


def shuffled(data, seed):
    """Return training samples whose labels say nothing."""
    X, y, _ = drawn(data, seed)
    return X, np.random.RandomState(seed).permutation(y), None


def balanced(data, seed):
    """Return as many training samples of each group."""
    rng = np.random.RandomState(seed)
    groups = np.unique(data.groups_train, return_inverse=True)[1]
    order = rng.permutation(len(groups))
    n = min(np.bincount(groups).min(), MOST // (groups.max() + 1))
    rows = np.concatenate([order[groups[order] == g][:n] for g in np.unique(groups)])
    return data.X_train[rows], data.y_train[rows], None


def labels(sets, seeds):
    """Print precision and recall on flipped labels."""
    print(
        "| features | score | precision at the number flipped | average precision "
        "| flagged | precision | recall |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, data in sets.items():
        records = {}
        for seed in seeds:
            for method, values in flipped(data, seed).items():
                records.setdefault(method, []).append(values)
        for method, values in records.items():
            shown = [
                f"{m:.2f} ± {s:.2f}"
                for m, s in zip(np.mean(values, 0), np.std(values, 0), strict=True)
            ]
            print(f"| {' | '.join([name, method, *shown])} |", flush=True)


def flipped(data, seed):
    """Return, of each method, how well it finds a tenth of the labels that is flipped."""
    X, y, _ = drawn(data, seed)
    classes, index = np.unique(y, return_inverse=True)
    wrong = np.random.RandomState(seed + 1).uniform(size=len(y)) < 0.1
    index = np.where(wrong, 1 - index, index)
    said = audit(None, X, classes[index], random_state=seed)
    found = {"audit": measured(wrong, said.label_scores, said.label_scores > 0)}
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return found
    # The same cross-fitted decisions: the margin is the log-odds of the label.
    of_one = 1 / (1 + np.exp(-np.where(index == 1, said.margin, -said.margin)))
    proba = np.column_stack([1 - of_one, of_one])
    score = -get_label_quality_scores(index, proba)
    for rule in ("prune_by_noise_rate", "confident_learning"):
        mask = find_label_issues(index, proba, filter_by=rule)
        found[f"cleanlab, {rule}"] = measured(wrong, score, mask)
    return found


def measured(wrong, score, mask):
    """Return precision at the number of wrong labels, average precision, and those of a mask."""
    top = np.argsort(-score, kind="stable")[: wrong.sum()]
    precision = wrong[mask].mean() if mask.any() else np.nan
    return (
        wrong[top].mean(),
        average_precision_score(wrong, score),
        mask.mean(),
        precision,
        mask[wrong].mean(),
    )


def spread(sets, seeds):
    """Print how well disagreement tells errors."""
    print("| features | fitted on | heads | error | spread | spread / decision | 1 / decision |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, data in sets.items():
        for kind in ("X, y, X_val, y_val", "X, y"):
            values = [misread(data, seed, kind) for seed in seeds]
            shown = [f"{np.mean([v[0] for v in values]):.0f}"]
            shown += [
                f"{np.mean(v):.2f} ± {np.std(v):.2f}" for v in list(zip(*values, strict=True))[1:]
            ]
            print(f"| {' | '.join([name, kind, *shown])} |", flush=True)


def misread(data, seed, kind):
    """Return the number of heads, the error, and the areas under the ROC curve."""
    known = (data.X_train, data.y_train)
    if "val" in kind:
        known = (*known, data.X_val, data.y_val)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "HSFMClassifierCV", UserWarning)
        clf = HSFMClassifierCV(random_state=seed).fit(*known)
    wrong = clf.predict(data.X_test) != data.y_test
    decision, apart = clf.decision_function(data.X_test), clf.decision_spread(data.X_test)
    sure = np.abs(decision)
    areas = [roc_auc_score(wrong, s) for s in (apart, apart / sure, -sure)]
    return len(clf.heads_), wrong.mean(), *areas


def fitted(sets, seeds):
    """Print what audits of a fitted head answer, and how many of the hurt are."""
    print("| audited samples | answers | reads better | hurt | precision | recall | by chance |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, data in sets.items():
        for kind, choose in (("held out of training", held_out), ("test", of_test)):
            found = [audited(data, choose, seed) for seed in seeds]
            numbers = np.array([f[1:] for f in found])
            columns = (column[np.isfinite(column)] for column in numbers[:, 1:].T)
            shown = [f"{column.mean():.2f}" if len(column) else "-" for column in columns]
            gain = f"{numbers[:, 0].mean():+.1f} ± {numbers[:, 0].std():.1f}"
            cells = [f"{name}, {kind}", counted(f[0] for f in found), gain, *shown]
            print(f"| {' | '.join(cells)} |", flush=True)


def audited(data, choose, seed):
    """Return the verdict, the gain in points, and how the hurt are found, if any are."""
    fit_on, (X, y, groups) = choose(data, seed)
    head = ClassBalancedClassifier().fit(*fit_on)
    said = audit(head, X, y, random_state=seed)
    classes, index = np.unique(data.y_train, return_inverse=True)
    attribute = np.unique(data.groups_train, return_inverse=True)[1] % 2
    usual = [np.bincount(attribute[index == c]).argmax() for c in range(len(classes))]
    of_sample = np.unique(groups, return_inverse=True)[1] % 2
    against = of_sample != np.array(usual)[np.searchsorted(classes, y)]
    hurt = said.hurt
    precision = against[hurt].mean() if hurt.any() else np.nan
    gain = 100 * said.gain[0]
    return said.verdict, gain, hurt.mean(), precision, hurt[against].mean(), against.mean()


def held_out(data, seed):
    """Return training samples to fit on, and others to audit."""
    X, y, groups = drawn(data, seed)
    half = len(y) // 2
    return (X[:half], y[:half]), (X[half:], y[half:], groups[half:])


def of_test(data, seed):
    """Return training samples to fit on, and `MOST` test samples at most."""
    rows = np.random.RandomState(seed).permutation(len(data.y_test))[:MOST]
    known = data.X_test[rows], data.y_test[rows], data.groups_test[rows]
    return (data.X_train, data.y_train), known


TABLES = {"fitted": fitted, "labels": labels, "spread": spread, "verdicts": verdicts}

if __name__ == "__main__":
    main()
