"""Which way HSFM's edits point, on real features: a table, with the random direction beside it.

``python -m benchmarks.edits --data-dir DIR`` looks at the test samples of digit dominoes, and of
every feature file of DIR that has groups within its classes.
"""

import argparse

import numpy as np

from benchmarks.columns import existing_folder, files_with_groups
from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import describe_edits
from sklearn_hsfm.metrics import worst_group_accuracy_score


def main(argv=None):
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument(
        "--data-dir", type=existing_folder, required=True, help="folder of .npz files"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs, 3 by default")
    args = parser.parse_args(argv)
    if not any(args.data_dir.glob("*.npz")):
        parser.error(f"--data-dir {args.data_dir} has no .npz file")
    print("| features | cosine | random | length | nearest in the hard group | worst group |")
    print("| --- | --- | --- | --- | --- | --- |")
    seeds = range(args.seeds)
    print_row("digit dominoes", [describe(load_digit_dominoes(random_state=s), s) for s in seeds])
    for path, data in files_with_groups(args.data_dir):
        print_row(path.stem, [describe(data, seed) for seed in seeds])


def print_row(name, runs):
    """Print what the runs on one set have in common."""
    chance = runs[0][0]
    cosine, length, before, after, initial, repaired = map(
        spread, np.transpose([run[1:] for run in runs])
    )
    cells = [name, cosine, f"0 ± {chance:.2f}", length]
    cells += [f"{before} -> {after}", f"{initial} -> {repaired}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def describe(data, seed):
    """Return chance, mean cosine, mean length, shares of the hard groups, and worst groups."""
    clf = HSFMClassifier(random_state=seed)
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    edits = describe_edits(clf, data.X_test, data.y_test, groups=data.groups_test)
    shift = edits.shifts["group"]
    hard = [list(shift.names).index(name) for name in edits.hard]
    shares = (share[np.arange(len(hard)), hard].mean() for share in (shift.before, shift.after))
    repaired = worst_group_accuracy_score(data.y_test, clf.predict(data.X_test), data.groups_test)
    clf.coef_, clf.intercept_ = clf.init_coef_, clf.init_intercept_
    initial = worst_group_accuracy_score(data.y_test, clf.predict(data.X_test), data.groups_test)
    return edits.chance, edits.alignment.mean(), edits.length.mean(), *shares, initial, repaired


def spread(values):
    """Return mean ± standard deviation."""
    return f"{np.mean(values):.2f} ± {np.std(values):.2f}"


if __name__ == "__main__":
    main()
