"""describe_edits: what the edits of the support meant, in real rows, groups and words."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._compat import HasMethods, Interval, validate_params
from sklearn_hsfm._typing import ArrayLike
from sklearn_hsfm.inspection._directions import directions, make_bank
from sklearn_hsfm.metrics._columns import check_same_length
from sklearn_hsfm.metrics._groups import one_per_id


@dataclass(frozen=True)
class Shift:
    """Where the nearest real samples lie before and after the edits, of each class.

    Attributes
    ----------
    names : ndarray of shape (n_values,)
        Groups, or values of an attribute.
    before, after : ndarray of shape (n_classes, n_values)
        Mean share of the nearest samples that each has.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hsfm.inspection import Shift
    >>> before, after = np.array([[0.9, 0.1]]), np.array([[0.3, 0.7]])
    >>> print(Shift(np.array(["land", "water"]), before, after).toward(0))
    water
    """

    names: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def toward(self, c: int) -> Any:
        """Return the name that gained the largest share.

        Parameters
        ----------
        c : int
            Index of a class.

        Returns
        -------
        object
            The name.
        """
        return self.names[(self.after - self.before)[c].argmax()]


@dataclass(frozen=True)
class EditDescription:
    """What `describe_edits` found; prints as text.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Labels.
    y : ndarray of shape (n_support,)
        Labels of the support.
    length : ndarray of shape (n_support,)
        Root mean square of each edit over the features, in standard deviations of each.
    alignment : ndarray of shape (n_support,)
        Cosine between an edit and the direction that undoes the shortcut of its class: 1 moves
        straight from the group that the initial head finds easiest to the one it finds hardest,
        -1 the other way, 0 elsewhere; NaN where the class has one group.
    easy, hard : ndarray of shape (n_classes,)
        Names of those groups; None for a class with one.
    chance : float
        Standard deviation of that cosine for a random direction, 1 / sqrt(n_features).
    before, after : ndarray of shape (n_support, n_neighbors)
        The nearest samples of the bank before and after each edit, nearest first.
    shifts : dict of str to Shift
        The "group" (or "slice", where no groups are known) and each attribute of those samples.
    concepts : dict of str to ndarray of shape (n_support,)
        Change of the cosine between a support sample and the text embedding of each concept.

    See Also
    --------
    describe_edits : Makes it, with an example.
    """

    classes: np.ndarray
    y: np.ndarray
    length: np.ndarray
    alignment: np.ndarray
    easy: np.ndarray
    hard: np.ndarray
    chance: float
    before: np.ndarray
    after: np.ndarray
    shifts: dict[str, Shift]
    concepts: dict[str, np.ndarray]

    def __str__(self):
        """Return the description as text."""
        lines = []
        for c, label in enumerate(self.classes):
            rows = self.y == label
            lines += [
                f"class {label}: {rows.sum()} support samples, edited by "
                f"{self.length[rows].mean():.2f} standard deviations a feature",
                f"  from {self.easy[c]} to {self.hard[c]}, against the shortcut: cosine "
                f"{self.alignment[rows].mean():+.2f} ± {self.alignment[rows].std():.2f} "
                f"(a random direction: 0 ± {self.chance:.2f})",
            ]
            for kind, shift in self.shifts.items():
                gains = zip(shift.names, shift.before[c], shift.after[c], strict=True)
                lines.append(
                    f"  moved toward {kind} {shift.toward(c)}; nearest real samples by {kind}:"
                )
                lines += [f"    {name}: {b:.0%} -> {a:.0%}" for name, b, a in gains if b or a]
            lines += [
                f"  concept {name!r}: cosine {change[rows].mean():+.3f}"
                for name, change in self.concepts.items()
            ]
        return "\n".join(lines)


@validate_params(
    {
        "attributes": [None, HasMethods("items")],
        "concepts": [None, HasMethods("items")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def describe_edits(
    estimator: HSFMClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    attributes: Mapping[str, ArrayLike] | None = None,
    concepts: Mapping[str, ArrayLike] | None = None,
    n_neighbors: int = 5,
) -> EditDescription:
    """Say what the edits of the support meant, by real samples.

    The paper shows edits as generated images (Section 5.3); this says the same without a
    generator: which real samples a support sample was closest to and is now, which groups and
    attributes these have, and how far the edit points against the shortcut.

    Parameters
    ----------
    estimator : HSFMClassifier
        Fitted; of an `HSFMClassifierCV` what its ``refit_best`` returns.
    X : array-like of shape (n_samples, n_features)
        A bank of real samples: those of the test, or of any other images, by the same extractor. A
        bank of training samples finds each support sample itself before its edit.
    y : array-like of shape (n_samples,)
        Their labels.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
        Their groups; without them the halves of each class that the shortcut helps and hurts, as
        the initial and the repaired head tell them apart (if they hardly differ, halves at
        random).
    attributes : dict of str to array-like of shape (n_samples,), default=None
        Further columns of the bank, such as the place of each image.
    concepts : dict of str to array-like of shape (n_features,), default=None
        Text embeddings, where ``X`` are features of CLIP: what ``encode_text`` of the same model
        says of "a photo of a bird on water".
    n_neighbors : int, default=5
        Real samples before and after each edit, by the cosine of standardised features: edits reach
        beyond the real samples, where distances say little.

    Returns
    -------
    EditDescription
        A record that prints as text.

    Raises
    ------
    ValueError
        If the estimator has no edited support, lengths or features differ, a class has no samples,
        a concept is no finite direction, or ``n_neighbors`` exceeds the bank.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import make_spurious_features
    >>> from sklearn_hsfm.inspection import describe_edits
    >>> data = make_spurious_features(random_state=0)
    >>> clf = HSFMClassifier(random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> edits = describe_edits(clf, data.X_test, data.y_test, groups=data.groups_test)
    >>> bool(edits.alignment.mean() > 3 * edits.chance)
    True
    """
    bank = make_bank(estimator, X, y, groups)
    n, d = bank.Z.shape
    if n_neighbors > n:
        raise ValueError(f"n_neighbors={n_neighbors}; the bank of {n} samples wants 1 to {n}.")
    columns = {"slice" if groups is None else "group": (bank.names, bank.member)}
    for name, column in (attributes or {}).items():
        values, member = one_per_id(column, f"attributes[{name!r}]")
        check_same_length(**{"X": y, f"attributes[{name!r}]": column})
        columns[name] = values, member
    concepts = {name: _text(vector, name, d) for name, vector in (concepts or {}).items()}

    found = directions(bank, len(estimator.classes_))
    index = np.searchsorted(estimator.classes_, estimator.support_y_)
    start, end = (bank.scaler.transform(a) for a in (estimator.support_init_, estimator.support_))
    edit = end - start
    norm = np.linalg.norm(edit, axis=1)
    along = -(edit * found.shortcut[index]).sum(axis=1) / np.maximum(norm, np.finfo(float).tiny)
    nearest = NearestNeighbors(n_neighbors=n_neighbors, metric="cosine").fit(bank.Z)
    before, after = (nearest.kneighbors(Z, return_distance=False) for Z in (start, end))

    def shares(rows, member):
        near = member[rows.ravel()].toarray().reshape(*rows.shape, -1)
        of_row = near.mean(axis=1)  # (n_support, n_values)
        return np.array([of_row[index == c].mean(axis=0) for c in np.unique(index)])

    return EditDescription(
        classes=estimator.classes_,
        y=estimator.support_y_,
        length=norm / np.sqrt(d),
        alignment=along,
        easy=found.easy,
        hard=found.hard,
        chance=float(1 / np.sqrt(d)),
        before=before,
        after=after,
        shifts={
            name: Shift(values, shares(before, member), shares(after, member))
            for name, (values, member) in columns.items()
        },
        concepts={
            name: _cosine(estimator.support_, vector) - _cosine(estimator.support_init_, vector)
            for name, vector in concepts.items()
        },
    )


def _text(vector, name, d):
    try:
        vector = np.asarray(vector, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The embedding of the concept {name!r} holds no numbers.") from error
    if vector.shape != (d,):
        raise ValueError(
            f"The embedding of the concept {name!r} has shape {vector.shape}; the features want "
            f"({d},): use the text encoder of the model that made them."
        )
    norm = np.linalg.norm(vector)
    if not (np.isfinite(norm) and norm > 0):
        raise ValueError(
            f"The embedding of the concept {name!r} has length {norm}; a direction has a finite "
            "one above 0."
        )
    return vector


def _cosine(rows, vector):
    """Return cosines; that of a row of zeros is 0."""
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return rows @ vector / np.maximum(norms, np.finfo(float).tiny)
