"""Audit: what an audit found, as text, tables and a page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sklearn_hsfm._typing import DataFrame, FilePath
from sklearn_hsfm.discovery._evidence import NONE_BELOW
from sklearn_hsfm.metrics import GroupScores

FOUND = "shortcut found"
NOT_FOUND = "no shortcut found"
NO_PROOF = (
    " That is no proof that there is none: a shortcut that few of these samples contradict, that "
    "the heads do not lean on, or that is not one direction of the features, is missed."
)
WORSE = "reads worse than it could"
CANNOT_TELL = "cannot tell"
_MOST_CELLS = 8  # in text; tables and page have all
_MOST_SHOWN = 6  # samples of a list, in text


class Material(NamedTuple):
    """What samples look like: pictures, texts, or None where they are numbers."""

    images: Any
    texts: list | None


@dataclass(frozen=True)
class Audit:
    """What `audit` found; prints as text, and shows as a page in notebooks.

    Attributes
    ----------
    verdict : str
        "shortcut found"; "no shortcut found", which is no proof that there is none; "reads worse
        than it could", which a fitted classifier may; or "cannot tell".
    classes : ndarray of shape (n_classes,)
        Labels.
    y : ndarray of shape (n_samples,)
        The label of each sample.
    evidence : dict of ndarray of shape (n_classes,)
        As ``evidence_`` of `ShortcutFinder`.
    evidence_reason : str
        What the evidence says, in words.
    chance : float
        The probability that the mean skewness is above what a shortcut takes, given its error.
    votes : tuple of int
        In how many of the training parts of the folds a shortcut was found, and of how many.
    gain : tuple of float
        By how much a head that is cross-fitted on ``X`` is better on it than the fitted
        classifier, and the standard error; NaN without one.
    cell_names : ndarray of shape (n_cells,)
        Names of the cells: the hurt of each class, then the others; the classes, where nobody is
        hurt.
    cell : ndarray of shape (n_samples,)
        The cell of each sample.
    hurt : bool ndarray of shape (n_samples,)
        Who is hurt.
    hurt_scores : ndarray of shape (n_samples,)
        The higher, the more a shortcut hurts; comparable within a class.
    scores : dict of str to GroupScores
        Accuracies in the cells with 95 % intervals, by method. Names are those of the
        classifiers, "ERM" and "class-balanced" are logistic regressions.
    group_scores : dict of str to GroupScores or None
        The same in the groups, where they are known.
    groups : tuple or None
        Names of the groups, and their membership, a sparse matrix.
    compared : tuple of str
        The methods before and after the repair.
    differences : ndarray of shape (3, n_cells or n_groups)
        By how much accuracies of these differ, and the ends of the 95 % interval; in the groups
        where they are known.
    predictions : dict of str to ndarray of shape (n_samples,)
        What each method predicts.
    margin : ndarray of shape (n_samples,)
        How far the last method speaks for the label.
    label_scores : ndarray of shape (n_samples,)
        How likely each label is to be wrong: doubtful above 0.
    spread : ndarray of shape (n_samples,)
        How far the heads of the last method disagree; NaN where it has one.
    material : tuple
        Pictures or texts of the samples.

    See Also
    --------
    audit : Makes it, with an example.
    """

    verdict: str
    classes: np.ndarray
    y: np.ndarray
    evidence: dict[str, np.ndarray]
    evidence_reason: str
    chance: float
    votes: tuple[int, ...]
    gain: tuple[float, ...]
    cell_names: np.ndarray
    cell: np.ndarray
    hurt: np.ndarray
    hurt_scores: np.ndarray
    scores: dict[str, GroupScores]
    group_scores: dict[str, GroupScores] | None
    groups: tuple | None
    compared: tuple[str, ...]
    differences: np.ndarray
    predictions: dict[str, np.ndarray]
    margin: np.ndarray
    label_scores: np.ndarray
    spread: np.ndarray
    material: Material = field(repr=False)

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, in words."""
        if self.verdict == WORSE:
            gain, error = self.gain
            return (
                f"A head that was learned on other folds of X reads it {100 * gain:.1f} ± "
                f"{100 * error:.1f} points better than {self.audited}, which leans on what does "
                "not hold here, or has seen too few samples."
            )
        if self.verdict == CANNOT_TELL and self.gain[0] > 2 * self.gain[1]:
            gain, error = 100 * np.array(self.gain)
            return (
                f"{self.evidence_reason} Yet a head that was learned on other folds of X reads it "
                f"{gain:.1f} ± {error:.1f} points better than {self.audited}."
            )
        return self.evidence_reason

    @property
    def how_sure(self) -> str:
        """How far the answer may be chance, in words."""
        found, asked = self.votes
        parts = f"{found} of {asked} training parts of the folds"
        said = f"How sure: a second population is found in {parts}"
        if not np.isnan(self.chance):
            said += (
                f"; given its error, the skewness of all is above {NONE_BELOW} with a probability "
                f"of {self.chance:.1%}"
            )
        return f"{said}.{NO_PROOF if self.verdict == NOT_FOUND else ''}"

    @property
    def audited(self) -> str | None:
        """Name of the fitted classifier that was audited; None where all were fitted here."""
        return None if np.isnan(self.gain[0]) else list(self.predictions)[2]

    @property
    def repair(self) -> str:
        """Whether the repair works, in words.

        "works" or "does harm", where the interval of the difference in the cell that was read
        worst before is beyond zero, "not shown to help" where it is not, "nothing to repair"
        without a shortcut or groups.
        """
        if self.group_scores is None and not self.hurt.any():
            return "nothing to repair"
        _, low, high = self.differences[:, self.worst]
        return "works" if low > 0 else "does harm" if high < 0 else "not shown to help"

    @property
    def worst(self) -> int:
        """Which cell, or group where they are known, was read worst before the repair."""
        return int(np.nanargmin(self.judged[self.compared[0]].accuracy))

    @property
    def judged(self) -> dict[str, GroupScores]:
        """Accuracies that the repair is judged by: in the groups, or else in the cells."""
        return self.scores if self.group_scores is None else self.group_scores

    @property
    def doubtful(self) -> np.ndarray:
        """Samples whose label is likely to be wrong, the likeliest first."""
        order = np.argsort(-self.label_scores, kind="stable")
        return order[self.label_scores[order] > 0]

    @property
    def disputed(self) -> np.ndarray:
        """All samples, those first about which heads disagree most, as measured by decisions."""
        if np.isnan(self.spread).all() or not (self.spread > 0).any():
            return np.array([], dtype=int)
        sure = np.abs(self.margin) / np.maximum(self.spread, np.finfo(float).tiny)
        return np.argsort(sure, kind="stable")

    def telling(self, cell: int, n: int = _MOST_SHOWN) -> np.ndarray:
        """Return the samples that speak most for a cell, those of doubtful labels last.

        Parameters
        ----------
        cell : int
            Which cell.
        n : int, default=6
            How many samples.

        Returns
        -------
        ndarray of shape (n,) or shorter
            Indices into ``X``.
        """
        rows = np.flatnonzero(self.cell == cell)
        sign = -1 if self.hurt[rows].any() else 1
        keys = sign * self.hurt_scores[rows], self.label_scores[rows] > 0
        return rows[np.lexsort(keys)][:n]

    def __str__(self):
        """Return the audit as text."""
        from sklearn_hsfm.inspection._audit_text import as_text

        return as_text(self, _MOST_CELLS, _MOST_SHOWN)

    def to_frame(self, which: Literal["cells", "samples", "classes"] = "cells") -> DataFrame:
        """Return a table.

        Parameters
        ----------
        which : {"cells", "samples", "classes"}, default="cells"
            Accuracies in cells, and in groups where they are known; all about each sample; the
            evidence of each class.

        Returns
        -------
        pandas.DataFrame
            The table.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If there is no such table.
        """
        from sklearn_hsfm.inspection._audit_text import as_columns

        columns = as_columns(self, which)
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_frame takes pandas, which is not installed; pip install pandas."
            ) from error
        return pd.DataFrame(columns)

    def to_html(self, *, title: str = "Is there a shortcut, and where", n_samples: int = 8) -> str:
        """Return the audit as a page that loads nothing.

        Parameters
        ----------
        title : str, default="Is there a shortcut, and where"
            Heading of the page.
        n_samples : int, default=8
            Samples to show of each cell and list.

        Returns
        -------
        str
            The page.

        Raises
        ------
        ImportError
            If matplotlib or jinja2 is missing (extra ``report``).
        """
        from sklearn_hsfm.inspection._audit_page import page

        return page(self, title, n_samples)

    def save(self, path: FilePath) -> Path:
        """Write the page to a file.

        Parameters
        ----------
        path : str or path-like
            Such as ``"audit.html"``.

        Returns
        -------
        pathlib.Path
            Where it is.
        """
        from sklearn_hsfm.inspection._report import Report

        return Report(self.to_html()).save(path)

    def _repr_html_(self):
        """Return the page in a frame, or None, where what draws it is missing."""
        from sklearn_hsfm.inspection._report import Report

        try:
            return Report(self.to_html())._repr_html_()
        except ImportError:
            return None

    def __repr__(self):
        """Return the verdict."""
        return f"<Audit of {len(self.y)} samples: {self.verdict}; repair: {self.repair}>"
