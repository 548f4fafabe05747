"""Cross-fit settings side by side; where that is much work, those that fall behind drop out.

A heat is the first repeat. It shows which rows have a doubtful label, and the other repeats, which
steady the average, do not mine these. Where all is much work, every setting runs its epochs leg by
leg in the heat, and after each leg only those that are near the best go on: a race as in O. Maron,
A. Moore, "Hoeffding Races" (NIPS 1993), with epochs in place of data points. The other repeats are
for the settings that are near the best at the end. Whoever drops out is missing from the average,
so nobody does where the work of all is little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.parallel import delayed

from sklearn_hsfm._choosing.candidates import Choice, normalized, out_of_fold
from sklearn_hsfm._parallel import results
from sklearn_hsfm._progress import bar

EVERY = 2  # epochs between two candidates of a setting
NEVER = -1  # epoch of heads that were fitted otherwise, and not edited
_LEGS = (0.25, 0.5, 1.0)  # parts of the epochs after which a setting may drop out
_MUCH_WORK = 2**37  # multiplications: some seconds of one thread
_ROWS_AT_ONCE = 2**15  # validation rows that are standardised at a time


class Candidates(NamedTuple):
    """A setting at an epoch each, with one head a split; in the order of settings and epochs."""

    setting: np.ndarray  # (n_candidates,)
    epoch: np.ndarray  # (n_candidates,)
    heads: np.ndarray  # (n_candidates, n_splits, R, d + 1) on standardised rows
    logits: np.ndarray  # (n_candidates, n_val, R) of every row, by the heads that held it out

    def take(self, which):
        """Return some of them."""
        return Candidates(*(part[which] for part in self))

    def joined(self, others):
        """Return these and others."""
        both = Candidates(*map(np.concatenate, zip(self, others, strict=True)))
        return both.take(np.lexsort((both.epoch, both.setting)))


class Standing(NamedTuple):
    """Candidates, and the choice among them."""

    candidates: Candidates
    choice: Choice | None  # None where nothing had to be chosen

    def edits_lead(self):
        """Return whether some edited head scores better than all unedited ones."""
        edited = self.candidates.epoch > 0
        return self.choice.score[edited].max() > self.choice.score[~edited].max()

    def near(self, after=-1):
        """Return the settings that have, after an epoch, a candidate near the best of all.

        Near is within a standard error; of a judge whose error is not known, chosen.
        """
        score, (setting, epoch, *_) = self.choice.score, self.candidates
        if self.choice.error is None:
            near = np.isin(np.arange(len(score)), self.choice.chosen)
        else:
            near = score >= score.max() - self.choice.error
        return np.unique(setting[near & (epoch > after)])


@dataclass
class Race:
    """Settings, and the rows on which they are fitted and judged.

    Parameters
    ----------
    settings : sequence of dict
        "T", "Khard", "inner_lr", "outer_lr" of each.
    starts : ndarray of shape (n_settings, R, d + 1)
        Heads to start from, on standardised rows.
    supports : ndarray of shape (n_splits, n, d)
        Standardised.
    mined, held_out : bool ndarray of shape (n_splits, n_val)
        The validation rows that a split mines, and those that it judges.
    X_val, scaler
        Validation features, and what standardises them.
    shared : dict
        What the problems share: arguments of `Problem.from_arrays`.
    steps : dict
        What the epochs share: arguments of `every_head`.
    judge : callable
        Returns the `Choice` among `Candidates`.
    doubt : callable
        Returns the rows whose label is doubtful to `Candidates`.
    n_jobs : int or None
    progress : "auto" or bool
        Whether to show a bar.
    """

    settings: Sequence[dict]
    starts: np.ndarray
    supports: np.ndarray
    mined: np.ndarray
    held_out: np.ndarray
    X_val: Any
    scaler: Any
    shared: dict
    steps: dict
    judge: Callable[[Candidates], Choice]
    doubt: Callable[[Candidates], np.ndarray]
    n_jobs: int | None
    progress: str | bool

    def run(self, epochs, n_first, may_drop):
        """Return how the heat ended, and the final; they are the same where one was enough.

        ``n_first`` splits are those of the first repeat; ``may_drop`` says whether the judge knows
        its error, and so who falls behind.
        """
        first, others = np.split(np.arange(len(self.held_out)), [n_first])
        epochs -= epochs % EVERY
        work, every = self._multiplications() * epochs, np.arange(len(self.settings))
        racing = may_drop and work * len(every) * len(self.held_out) > _MUCH_WORK
        with bar(self.progress, unit=" epochs", desc="HSFMClassifierCV") as shown:
            if racing or not len(others):
                heat = self._heat(first, legs(epochs) if racing else [epochs], shown)
                stay = heat.near()
                over = not heat.edits_lead() or work * len(stay) * len(others) > _MUCH_WORK
                if over or not len(others):
                    return heat, heat
            else:  # nobody drops out, so nobody has to be chosen yet
                stay, heat = every, Standing(self._first(first, epochs, shown), None)
            doubtful = self.doubt(heat.candidates)
            trusted = trusted_rows(self.mined, doubtful, self.shared["y_val"])
            return heat, replace(self, mined=trusted)._final(heat, stay, first, others, shown)

    def _first(self, splits, epochs, shown):
        """Return the candidates of all settings on the first splits."""
        every = np.arange(len(self.settings))
        more_work(shown, len(every) * len(splits) * epochs)
        heads, _ = self._leg(every, splits, *self._at_start(every, splits), epochs, shown)
        return self._entered(every, range(0, epochs + 1, EVERY), heads, splits)

    def _multiplications(self):
        """Return about how many an epoch of one problem takes."""
        from sklearn_hsfm._core.metagradient import multiplications

        (_, n, d), R = self.supports.shape, self.starts.shape[1]
        most = max(s["Khard"] for s in self.settings)
        m = int(np.minimum(np.bincount(self.shared["y_val"]), most).sum())
        T = max(s["T"] for s in self.settings)
        return self.steps["KH"] * (min(multiplications(n, R, d, T)) + 2 * m * R * d)

    def _heat(self, splits, ends, shown):
        """Return the standing after the last leg; settings that fall behind run no further."""
        racing = np.arange(len(self.settings))
        heads, supports = self._at_start(racing, splits)  # of the epochs of a leg, its start first
        more_work(shown, len(racing) * len(splits) * ends[-1])
        candidates, done = None, 0
        for end in ends:
            heads, supports = self._leg(racing, splits, heads, supports, end - done, shown)
            if candidates is None:
                candidates = self._entered(racing, range(0, end + 1, EVERY), heads, splits)
            else:
                epochs = range(done + EVERY, end + 1, EVERY)
                candidates = candidates.joined(self._entered(racing, epochs, heads[:, 1:], splits))
            standing = Standing(candidates, self.judge(candidates))
            stay = np.isin(racing, standing.near(after=done)) & standing.edits_lead()
            more_work(shown, -(~stay).sum() * len(splits) * (ends[-1] - end))
            racing, heads, supports, done = racing[stay], heads[stay, -1:], supports[stay], end
            if len(racing) == 0:
                break
        return standing

    def _final(self, heat, racing, first, others, shown):
        """Return the standing of the settings that are still racing, on all splits."""
        known = heat.candidates
        last = known.epoch[np.isin(known.setting, racing)].max()
        known = known.take(np.isin(known.setting, racing) & (known.epoch <= last))
        start, supports = self._at_start(racing, others)
        more_work(shown, len(racing) * len(others) * last)
        heads, _ = self._leg(racing, others, start, supports, last, shown)
        added = self._entered(racing, range(0, last + 1, EVERY), heads, others)
        # A setting that dropped out early has no head at the later epochs.
        pairs = added.setting * (last + 1) + added.epoch
        added = added.take(np.isin(pairs, known.setting * (last + 1) + known.epoch))
        times = [self.held_out[splits].sum(axis=0)[:, None] for splits in (first, others)]
        candidates = known._replace(
            heads=np.concatenate([known.heads, added.heads], axis=1),
            logits=(times[0] * known.logits + times[1] * added.logits) / sum(times),
        )
        return Standing(candidates, self.judge(candidates))

    def _at_start(self, racing, splits):
        """Return heads and supports, as `_leg` has them."""
        heads = np.repeat(self.starts[racing][:, None, None], len(splits), axis=2)
        return heads, np.repeat(self.supports[None, splits], len(racing), axis=0)

    def _leg(self, racing, splits, heads, supports, epochs, shown):
        """Run some epochs from the last of the heads, with Adam anew.

        Returns the heads, that at the start and every second one after it, as an array of shape
        (n_racing, n_epochs / 2 + 1, n_splits, R, d + 1), and the supports at the end, (n_racing,
        n_splits, n, d).
        """
        shape = supports.shape[:2]
        of_problem = [(self.settings[s], k) for s in racing for k in splits]
        heads, supports = (a.reshape(-1, *a.shape[2:]) for a in (heads[:, -1], supports))
        steps = {**self.steps, "epochs": epochs}
        size = self._batch_size(heads, supports)
        tasks = []
        for batch in gen_batches(len(of_problem), size):
            settings, folds = zip(*of_problem[batch], strict=True)
            problem = supports[batch], heads[batch], self.mined[list(folds)]
            tasks.append(delayed(_every_head)(settings, *problem, self.shared, steps))
        run, ends = [], []
        for of_batch in results(tasks, self.n_jobs):
            run.extend(of_batch[0])
            ends.extend(of_batch[1])
            shown.update(len(of_batch[0]) * epochs)
        run, ends = (np.reshape(a, (*shape, *a[0].shape)) for a in (run, ends))
        return run.swapaxes(1, 2), ends

    def _batch_size(self, heads, supports):
        """Return how many problems to solve at once."""
        from sklearn_hsfm._core.problem import batch_size

        n_hard = max(s["Khard"] for s in self.settings) * max(2, heads.shape[1])
        n, d = supports.shape[1:]
        sizes = {"d": d, "dtype": self.shared["dtype"], "device": self.shared["device"]}
        return batch_size(self.shared["rows"], n, n_hard, heads.shape[1], **sizes)

    def with_others(self, standing, heads):
        """Return a standing among heads, (n_others, n_splits, R, d + 1), that were not edited."""
        settings = len(self.settings) + np.arange(len(heads))
        n_splits = standing.candidates.heads.shape[1]
        others = self._entered(settings, [NEVER], heads[:, None, :n_splits], np.arange(n_splits))
        candidates = standing.candidates.joined(others)
        return Standing(candidates, self.judge(candidates))

    def _entered(self, racing, epochs, heads, splits):
        """Return `Candidates` of heads (n_racing, n_epochs, n_splits, R, d + 1)."""
        heads = heads.reshape(-1, *heads.shape[2:])
        unit, held_out, n_val = normalized(heads), self.held_out[splits], len(self.X_val)
        logits = np.empty((len(heads), n_val, heads.shape[2]), dtype=heads.dtype)
        for rows in gen_batches(n_val, _ROWS_AT_ONCE):
            Z = self.scaler.transform(self.X_val[rows])
            logits[:, rows] = out_of_fold(unit, Z, held_out[:, rows])
        setting, epoch = (a.ravel() for a in np.meshgrid(racing, epochs, indexing="ij"))
        return Candidates(setting, epoch, heads, logits)


def legs(epochs):
    """Return the epochs at which the legs of a heat end."""
    return sorted({EVERY * max(1, round(part * epochs / EVERY)) for part in _LEGS})


def trusted_rows(mined, doubtful, y_val):
    """Return what a split may mine, (n_splits, n_val), without the rows of a doubtful label.

    Where a class would have none to mine, it keeps those that it had.
    """
    trusted = mined & ~doubtful
    for c in np.unique(y_val):
        rows = np.flatnonzero(y_val == c)
        bare = np.flatnonzero(~trusted[:, rows].any(axis=1))
        trusted[np.ix_(bare, rows)] = mined[np.ix_(bare, rows)]
    return trusted


def more_work(shown, epochs):
    """Add to what a bar counts to."""
    shown.total = (shown.total or 0) + int(epochs)
    shown.refresh()


def _every_head(settings, supports, heads, mined, shared, steps):
    """Return every second head of some problems, (B, n_epochs / 2 + 1, R, d + 1), and supports."""
    from sklearn_hsfm._core.problem import Problem
    from sklearn_hsfm._core.solve import every_head

    d = supports.shape[-1]
    problem = Problem.from_arrays(
        support=supports, heads=(heads[..., :-1], heads[..., -1]), mined=mined, **shared
    )
    of_problem = {name: [s[name] for s in settings] for name in settings[0] if name != "C"}
    W, H = every_head(problem, every=EVERY, **of_problem, **steps)
    W = W.cpu().numpy().swapaxes(0, 1)  # (B, n_epochs / 2 + 1, R, D)
    heads = np.concatenate([W[..., :d], W[..., -1:]], axis=-1)
    return heads, H[..., :d].cpu().numpy()
