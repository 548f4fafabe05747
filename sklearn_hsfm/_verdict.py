"""What was found and done, in words and numbers that a user can act on."""

import warnings

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_hsfm._choosing.candidates import results_by_setting
from sklearn_hsfm._choosing.cells import class_cells
from sklearn_hsfm._choosing.race import NEVER
from sklearn_hsfm._linear_head import log_probabilities
from sklearn_hsfm.metrics import group_scores

REPAIRED = "repaired"
NOT_FOUND = "no shortcut found"
TOO_FEW = "too few samples to tell"
NOT_SHOWN = "no repair shown to help"


class VerdictMixin:
    """What `HSFMClassifierCV` reports of a fit."""

    def summary(self) -> str:
        """Return what was found and done, with accuracies before and after, as text.

        Returns
        -------
        str
            The verdict with its reason, the labels that were used, and a table of cells.
        """
        check_is_fitted(self)
        return as_text(self.verdict_, self.reason_, self.labels_used_, self.cell_scores_)

    def _report(self, settings, heat, final, split, held_out, judge, groups, before):
        """Store how the candidates did, and the unedited, whose logits are ``before``.

        ``groups`` says whether training groups were used.
        """
        candidates, choice = final
        best = choice.score.argmax()
        self.best_params_ = {
            **settings[candidates.setting[best]],
            "epoch": max(0, int(candidates.epoch[best])),
        }
        self.best_score_ = float(choice.average_score)
        self.slices_, self.doubtful_ = choice.cells, choice.doubtful
        self.n_splits_, self.finder_ = candidates.heads.shape[1], None
        self.cv_results_ = results_by_setting(settings, (heat, final), split.y_val, held_out, judge)
        edited = (candidates.epoch[choice.chosen] > 0).any()
        regressed = (candidates.epoch[choice.chosen] == NEVER).any()
        self.verdict_ = REPAIRED if edited or regressed else NOT_SHOWN
        self.reason_ = (
            "Edits learned on the validation samples do better on those that they did not mine."
            if edited
            else "Regressions on group-balanced validation samples do as well as edits."
            if regressed
            else "Edits learned on the validation samples do not do clearly better on those that "
            "they did not mine."
        )
        average = candidates.logits[choice.chosen].mean(axis=0) - choice.offset
        of_class = class_cells(split.y_val, len(self.classes_))
        cells = of_class if choice.cells is None else choice.cells
        names = names_of_cells(self.classes_, cells.shape[1], ("hurt", "helped"))
        if split.groups_val is not None:
            names = [f"group {name}" for name in split.names_val]
        self._report_cells(split.y_val, before, average, cells, names)
        used = {"validation groups": split.groups_val is not None, "training groups": groups}
        self.labels_used_ = ", ".join(
            ["y", "validation labels", *(k for k, v in used.items() if v)]
        )

    def _report_weights(self, repair, y, groups, split):
        """Store what the regressions on all samples are, and how they do out of fold."""
        finder, n_classes = self.finder_, len(self.classes_)
        if groups is not None:
            (names, cells), self.scoring_, self.verdict_ = groups, "worst_group", REPAIRED
            names = [f"group {name}" for name in names]
            self.reason_ = "Regressions on subsets with as many samples of each group."
        else:
            cells, self.scoring_ = finder.cells_, "worst_cell"
            if not finder.found_:
                cells, self.scoring_ = class_cells(y, n_classes), "worst_class"
            names = names_of_cells(self.classes_, cells.shape[1])
            answers = {True: REPAIRED, False: NOT_FOUND, None: TOO_FEW}
            self.verdict_, self.reason_ = answers[finder.found_], finder.reason_
        self.labels_used_ = ", ".join(
            ["y"]
            + ["validation labels"] * (split is not None and groups is None)
            + ["training groups"] * (groups is not None)
        )
        self._report_cells(y, repair.before, repair.after, cells, names)
        scores = [
            scores_of_cells(y, repair.before, z, cells, names)["after"].min()
            for z in repair.logits - repair.offset
        ]
        self.cv_results_ = {
            "params": np.array([{"C": C} for C in repair.strengths], dtype=object),
            "param_C": np.array(repair.strengths, dtype=object),
            "mean_test_score": np.array(scores),
            "rank_test_score": (np.array(scores)[:, None] < scores).sum(axis=1) + 1,
            "n_selected": np.isin(np.arange(len(scores)), repair.chosen).astype(int),
        }
        self.best_params_ = {"C": repair.strengths[int(np.argmax(scores))]}
        self.best_score_ = float(self.cell_scores_["after"].min())
        self.slices_, self.doubtful_ = cells, np.zeros(len(y), dtype=bool)
        self.n_splits_ = min(self.cv, int(np.bincount(y).min()))

    def _report_cells(self, y, before, after, cells, names):
        """Store accuracies before and after, and which cell `best_score_` is about."""
        self.cell_scores_ = scores_of_cells(y, before, after, cells, names)
        worst = int(self.cell_scores_["after"].argmin())
        self.best_cell_ = str(self.cell_scores_["cell"][worst])
        self.best_score_interval_ = tuple(
            float(self.cell_scores_[e][worst]) for e in ("low", "high")
        )

    def _say(self):
        """Warn where no repair is made."""
        if self.verdict_ != REPAIRED:
            warnings.warn(
                f"HSFMClassifierCV: {self.verdict_}. {self.reason_} The head that is kept is not "
                "repaired. If you suspect a shortcut, pass as X_val and y_val samples in which it "
                "often fails, or groups.",
                stacklevel=4,
            )


def scores_of_cells(y, before, after, cells, names):
    """Return accuracies before and after in each cell, with 95 % intervals, as a dict of arrays.

    Logits are (n_samples, R), ``cells`` (n_samples, n_cells) bool; empty cells are left out.
    """
    used = cells.any(axis=0)
    then, now = (
        group_scores(y, log_probabilities(z).argmax(axis=1), cells[:, used])
        for z in (before, after)
    )
    return {
        "cell": np.array(names)[used],
        "n_samples": cells[:, used].sum(axis=0),
        "before": then.accuracy,
        "after": now.accuracy,
        "low": now.low,
        "high": now.high,
    }


def as_text(verdict, reason, labels_used, scores):
    """Return what `HSFMClassifierCV.summary` returns."""
    width = max(4, *map(len, scores["cell"]))
    lines = [
        f"{verdict}. {reason}",
        f"Labels used: {labels_used}.",
        "",
        f"{'cell':<{width}}  samples  before  after  95 % interval",
    ]
    for name, n, before, after, low, high in zip(*scores.values(), strict=True):
        lines.append(
            f"{name:<{width}}  {n:>7}   {before:.3f}  {after:.3f}  {low:.3f} to {high:.3f}"
        )
    lines += [
        "",
        "Accuracies are of samples that were kept from the heads that judge them. Before is",
        "the head without a repair.",
    ]
    if verdict == NOT_FOUND:
        lines += [
            "",
            "That none was found is no proof that there is none: groups that nobody has named may",
            "do worse than the classes here.",
        ]
    return "\n".join(lines)


def names_of_cells(classes, n_cells, parts=("helped", "hurt")):
    """Return names of the classes, or of the helped and hurt parts of each."""
    classes = classes.tolist()
    if n_cells == len(classes):
        return [f"class {c!r}" for c in classes]
    return [f"class {c!r}, {part}" for c in classes for part in parts]
