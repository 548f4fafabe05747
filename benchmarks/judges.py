"""Which judge chooses the best heads? Seen on validation samples alone: no test sample is read.

``python -m benchmarks.judges --data-dir DIR`` lets `HSFMClassifierCV` mine one part of the
validation samples, lets every judge choose among the same candidates, and scores what it chose by
the worst group of the other part. The part is a half (half), an eighth (eighth), drawn with
the skew of the training set (skewed), or a half with a tenth of its labels wrong (flipped). Runs
are kept in ``benchmarks/results/judges.jsonl``, the tables in ``judges.md``.
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.columns import DATA_DIR, existing_folder
from benchmarks.methods import all_methods, fitted
from benchmarks.rows import flipped, skewed
from benchmarks.runs import append, read
from benchmarks.tables import cell, markdown
from sklearn_hsfm import HSFMClassifierCV, selection
from sklearn_hsfm._choosing import candidates
from sklearn_hsfm._choosing.cells import best_threshold, class_cells
from sklearn_hsfm._choosing.folds import stratified_part
from sklearn_hsfm.datasets import load_features
from sklearn_hsfm.metrics import worst_group_accuracy_score

RESULTS = Path(__file__).parent / "results"
SETS = {
    "waterbirds": "waterbirds_efflite2",
    "dominoes": "dominoes_efflite0",
    "faces": "faces_gender_efflite0",
    "adult": "adult_sex",
    "dominoes-erm": "dominoes_erm_efflite0",
    "waterbirds-erm": "waterbirds_erm_efflite0",
}
REFERENCES = ("DFR", "ERM, class-balanced")
PARTS = ("half", "eighth", "skewed", "flipped")
HALF = "slices, half of the repeats"


class Candidates(HSFMClassifierCV):
    """Solve as the classifier does, and keep all candidates, for judges to choose among."""

    def _race(self, settings, starts, split, supports, held_out, scaler, *args):
        self.split_, self.held_out_, self.scaler_ = split, held_out, scaler
        self.y_val_, self.first_ = split.y_val, np.argmin([s["C"] for s in settings])
        return super()._race(settings, starts, split, supports, held_out, scaler, *args)

    def _average(self, final, split, scaler):
        self.candidates_ = final.candidates
        self.keep(len(self.held_out_))

    def _report(self, *args):
        """Report nothing."""

    def _say(self):
        """Say nothing."""

    def keep(self, n_splits):
        """Go on with the heads of the first splits."""
        setting, epoch, heads, _ = self.candidates_
        pool = candidates.normalized(heads[:, :n_splits])
        self.mean_heads_, self.unedited_ = pool.mean(axis=1), epoch == 0
        Z, held_out = self.scaler_.transform(self.split_.X_val), self.held_out_[:n_splits]
        self.logits_ = candidates.out_of_fold(pool, Z, held_out)
        self.reference_ = self.logits_[((setting == self.first_) & self.unedited_).argmax()]

    def choose(self, rule, cells=None, unedited=None):
        """Let a judge choose."""
        unedited = self.unedited_ if unedited is None else unedited
        return candidates.choose(
            self.logits_, self.reference_, self.y_val_, 2, unedited, rule=rule, cells=cells
        )

    def predict(self, X, choice):
        """Return the classes that a choice gives to rows."""
        heads = self.mean_heads_[choice.chosen, 0].mean(axis=0)
        return (self.scaler_.transform(X) @ heads[:-1] + heads[-1] > choice.offset[0]).astype(int)


def by_groups(c, groups):
    """Use group labels: the reference."""
    return c.choose("worst_group", groups)


def by_slices(c, groups):
    """Use what HSFMClassifierCV uses without group labels."""
    return c.choose("worst_slice")


def by_slices_and_mean(c, groups):
    """Average the worst slice and the mean over slices."""
    with mock.patch.object(candidates.np, "min", lambda a, axis: (a.min(axis) + a.mean(axis)) / 2):
        return c.choose("worst_slice")


def by_class(c, groups):
    """Take the worst class."""
    return c.choose("worst_class")


def by_mean(c, groups):
    """Take the mean over classes."""
    return c.choose("balanced")


def by_erm_cells(c, groups):
    """Take the worst cell of ERM prediction x label, of five rows or more."""
    predicted = (c.reference_[:, 0] > 0).astype(int)
    cells = class_cells(2 * c.y_val_ + predicted, 4)
    return c.choose("worst_group", cells & (cells.sum(axis=0) >= 5))


def by_tail_loss(c, groups):
    """Take the largest losses of each class, and then the threshold of the worst class."""
    choice = c.choose(selection.tail_loss)
    average = c.logits_[choice.chosen].mean(axis=0)[None]
    worst = candidates.choose(
        average, c.reference_, c.y_val_, 2, np.zeros(1, bool), rule="worst_class"
    )
    return choice._replace(offset=worst.offset)


def counted(logits, y, cells, thresholds):
    """Return shares of hits, in place of expected accuracies."""
    hits = (logits[..., 0][:, None] > thresholds[..., None]) == y
    return hits @ cells.astype(np.float32) / cells.sum(axis=0)


def by_counting(c, groups):
    """Count hits in slices."""
    with mock.patch.object(candidates, "expected_accuracies", counted):
        return by_slices(c, groups)


def by_counting_in_groups(c, groups):
    """Count hits in groups."""
    with mock.patch.object(candidates, "expected_accuracies", counted):
        return by_groups(c, groups)


def threshold_by_slices(c, groups):
    """Let the slices place the threshold as well, instead of the classes."""
    choice = by_slices(c, groups)
    average = c.logits_[choice.chosen].mean(axis=0)[None]
    offset, _ = best_threshold(average, c.y_val_, choice.cells, np.min)
    return choice._replace(offset=np.array([offset]))


def all_judge(rule):
    """Let rows of doubtful labels judge as well."""

    def judge(c, groups):
        nobody = np.zeros(len(c.y_val_), dtype=bool)
        with mock.patch.object(candidates, "doubtful_labels", return_value=nobody):
            return c.choose(rule, groups)

    return judge


def without_caution(c, groups):
    """Let edited heads win however little they are ahead."""
    return c.choose("worst_slice", unedited=np.zeros_like(c.unedited_))


def best_alone(c, groups):
    """Take the best candidate by slices, instead of an average over candidates."""
    with mock.patch.object(candidates, "_standard_error", return_value=0.0):
        return by_slices(c, groups)


JUDGES = {
    "groups": by_groups,
    "slices (the default)": by_slices,
    "slices, worst and mean": by_slices_and_mean,
    "worst class": by_class,
    "mean over classes": by_mean,
    "ERM prediction x label": by_erm_cells,
    "tail loss": by_tail_loss,
    "slices, hits counted": by_counting,
    "groups, hits counted": by_counting_in_groups,
    "slices, threshold by slices": threshold_by_slices,
    "slices, doubtful samples judge": all_judge("worst_slice"),
    "groups, doubtful samples judge": all_judge("worst_group"),
    "slices, edits always": without_caution,
    "slices, best candidate alone": best_alone,
}


def parted(data, part, seed):
    """Return which validation samples are mined and judge; the others score."""
    rng = np.random.RandomState(seed)
    if part == "skewed":  # at least 40 % of each group stay to score
        return skewed(data, rng, part=0.6)
    share = 1 / 8 if part == "eighth" else 1 / 2
    return np.flatnonzero(stratified_part(data.groups_val, share, rng))


def run(data, part, seed):
    """Return the worst-group accuracy of every judge on the rows that score."""
    rows = parted(data, part, seed)
    rest = np.setdiff1d(np.arange(len(data.y_val)), rows)
    X, y, groups = data.X_val[rest], data.y_val[rest], data.groups_val[rest]
    for key in ("X_val", "y_val", "groups_val"):
        data[key] = data[key][rows]
    if part == "flipped":
        data = flipped(data, 0.1, np.random.RandomState(seed))
    c = Candidates(random_state=seed, scoring="worst_class")
    c.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    cells = data.groups_val[:, None] == np.unique(data.groups_val)
    predictions = {name: c.predict(X, judge(c, cells)) for name, judge in JUDGES.items()}
    c.keep(c.n_repeats * c.cv // 2)
    predictions[HALF] = c.predict(X, by_slices(c, cells))
    for name in REFERENCES:
        predictions[name] = fitted(all_methods()[name], None, data, seed, "cpu").predict(X)
    return {n: worst_group_accuracy_score(y, p, groups) for n, p in predictions.items()}


def main(argv=None):
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judges", description=__doc__)
    parser.add_argument("--data-dir", type=existing_folder, default=DATA_DIR)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    args = parser.parse_args(argv)
    RESULTS.mkdir(parents=True, exist_ok=True)
    log = RESULTS / "judges.jsonl"
    records = read(log)
    done = {(r["part"], r["set"], r["seed"]) for r in records}
    for name in args.sets:
        for part in PARTS:
            for seed in range(args.seeds):
                if (part, name, seed) in done:
                    continue
                path = args.data_dir / f"{SETS[name]}.npz"
                if not path.is_file():
                    print(f"{name}: no file {path.name} in {args.data_dir}")
                    break
                data = load_features(path)
                data.head = None
                records.append({"part": part, "set": name, "seed": seed, **run(data, part, seed)})
                append(log, records[-1])
                print(part, name, seed, flush=True)
    text = "\n\n".join(table(records, part) for part in PARTS)
    (RESULTS / "judges.md").write_text(text + "\n")
    print("\n" + text)


def table(records, part):
    """Return the Markdown table of one kind of part."""
    names = [s for s in SETS if any(r["set"] == s and r["part"] == part for r in records)]
    rows = []
    for judge in (*REFERENCES, *JUDGES, HALF):
        values = [
            [r[judge] for r in records if r["part"] == part and r["set"] == name] for name in names
        ]
        mean = np.mean([np.mean(v) for v in values]) if values else np.nan
        rows.append([judge, *map(cell, values), f"{mean:.3f}"])
    title = f"### Part of the validation samples that is mined and judges: {part}\n\n"
    return title + markdown(["worst group of the other samples", *names, "mean"], rows)


if __name__ == "__main__":
    main()
