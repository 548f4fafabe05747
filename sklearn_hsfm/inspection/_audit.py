"""audit: is there a shortcut, where is it, and did the repair work, from class labels alone."""

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import ndtr
from sklearn.utils import check_random_state
from torch import nn

from sklearn_hsfm._choosing.cells import class_cells, margins
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm._choosing.offsets import best_offset
from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._compat import Interval, validate_params
from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._linear_head import fitted_scaler, log_probabilities
from sklearn_hsfm._progress import PROGRESS
from sklearn_hsfm._typing import ArrayLike, ImagesLike, Progress, RandomStateLike
from sklearn_hsfm._verdict import names_of_cells
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.discovery._evidence import NONE_BELOW, Evidence
from sklearn_hsfm.discovery._labels import label_scores
from sklearn_hsfm.discovery._residual import margin_and_residual
from sklearn_hsfm.inspection._audit_result import (
    CANNOT_TELL,
    FOUND,
    NOT_FOUND,
    WORSE,
    Audit,
    Material,
)
from sklearn_hsfm.inspection._cross_fits import (
    BALANCED,
    cross_fits,
    is_fitted,
    logits_of_estimator,
)
from sklearn_hsfm.inspection._inputs import (
    checked_features,
    decisions_of_network,
    head_and_features,
    to_look_at,
)
from sklearn_hsfm.inspection._paired import balanced_gain, paired_differences
from sklearn_hsfm.metrics import group_scores
from sklearn_hsfm.metrics._columns import check_same_length, one_column
from sklearn_hsfm.metrics._groups import group_membership

_CLEARLY_BETTER = 0.02  # balanced accuracy, beyond which a head that was learned here knows more
_COUNT = [Interval(Integral, 1, None, closed="left")]


@validate_params(
    {
        "cv": [Interval(Integral, 2, None, closed="left")],
        "n_repeats": _COUNT,
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "progress": PROGRESS,
    },
    prefer_skip_nested_validation=True,
)
def audit(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    images: ImagesLike = None,
    cv: int = 3,
    n_repeats: int = 2,
    n_jobs: int | None = None,
    random_state: RandomStateLike = None,
    progress: Progress = "auto",
) -> Audit:
    """Say whether there is a shortcut, where, and whether a repair works, from class labels.

    No head judges a sample that it saw: plain and class-balanced logistic regressions and the
    repair are fitted on all folds but one, and judge that one.

    Parameters
    ----------
    estimator : None, classifier, transformer, Pipeline or torch.nn.Module
        What is to be audited.

        * None: an `HSFMClassifierCV` is the repair.
        * A classifier that is not fitted, such as `HSFMClassifierCV` or a head of
          `sklearn_hsfm.heads`: it is the repair, cloned for each fold.
        * A fitted classifier: its decisions are audited as they are, so ``X`` has to be samples
          that it did not see. The repair is an `HSFMClassifierCV`, unless it is one itself.
        * A Pipeline: its steps in front make the features, its last step is any of the above.
        * A transformer alone, such as a `FeatureExtractor`, makes the features.
        * A network: ``FeatureExtractor(network)`` makes the features, and where its last layer is
          for as many classes as ``y`` has, its decisions are audited as a fitted classifier's.

        Steps in front that are not fitted are fitted on ``X`` without labels.
    X : array-like of shape (n_samples, n_features), or what the steps in front take
        Samples: features, or images, texts, tables.
    y : array-like of shape (n_samples,)
        Class labels.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
        Known groups. They infer nothing; the audit adds the accuracies in them, and which of
        them are in the cells that it finds.
    images : array, sequence of paths or of images, default=None
        Pictures of the samples, for the page; as `FeatureExtractor` takes them, or grey ones of
        shape (n_samples, height, width). None shows ``X``, where it is images or texts.
    cv : int, default=3
        Folds, stratified by class.
    n_repeats : int, default=2
        Times that folds are drawn.
    n_jobs : int or None, default=None
        Fits at once, with joblib.
    random_state : int, RandomState instance or None, default=None
        Draws the folds, and seeds what has no ``random_state`` of its own.
    progress : "auto" or bool, default="auto"
        Show a progress bar; "auto" in terminals only.

    Returns
    -------
    Audit
        The answer: prints as text, shows in notebooks, ``save(path)`` writes a page,
        ``to_frame()`` returns tables.

    Raises
    ------
    ValueError
        If lengths differ, a class has one sample, the features are not finite, or the classifier
        was fitted on other classes.

    See Also
    --------
    sklearn_hsfm.HSFMClassifierCV : Repairs by what is found.
    sklearn_hsfm.discovery.ShortcutFinder : Finds who is hurt.
    report : A page about a fitted classifier on test samples.

    Notes
    -----
    Uses class labels alone, but for what ``groups`` adds.

    A shortcut is found where a `ShortcutFinder` finds one among all samples and in at least half
    of the training parts of the folds; where all and parts disagree, the audit cannot tell. A
    finder needs samples in which the shortcut usually holds, as in training. A fitted classifier
    may be audited on others, as on balanced test samples. Then a class-balanced regression that is
    cross-fitted on ``X`` tells: where it is better on ``X``, by two points of class-balanced
    accuracy and by two standard errors, at the classifier's own best threshold, the verdict is that
    the classifier "reads worse than it could": it leans on what does not hold here, or has seen too
    few samples. Hurt are then those of whom it says less than a repaired head explains.

    Who is hurt was inferred from what heads get wrong, so accuracies in hurt cells are lower than
    those of all samples with the attribute. Every column of the table is about the same samples.

    Examples
    --------
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.inspection import audit
    >>> data = load_digit_dominoes(random_state=0)
    >>> found = audit(None, data.X_train, data.y_train, random_state=0)
    >>> found.verdict, found.repair
    ('shortcut found', 'works')
    """
    y = one_column(y, "y")
    head, features, takes_images = head_and_features(estimator, X)
    array = checked_features(features)
    check_same_length(X=array, y=y)
    if groups is not None:
        groups = group_membership(groups, len(y))
    rng = check_random_state(random_state)
    seed, of_folds, of_residual = rng.randint(np.iinfo(np.int32).max, size=3)
    finder = ShortcutFinder(random_state=int(seed)).fit(array, y)
    classes = finder.classes_
    index = class_indices(y, classes, "y")
    images, texts = to_look_at(images, X, takes_images, len(y))
    if (smallest := np.bincount(index).min()) < 2:
        label = classes.tolist()[np.bincount(index).argmin()]
        raise ValueError(
            f"class {label!r} has {smallest} sample; no head can leave it out and know its class. "
            "Give it two or more, or leave the class out."
        )
    audited, called = None, type(head).__name__
    if isinstance(estimator, nn.Module):
        called = type(estimator).__name__
        audited = decisions_of_network(estimator, array, index, classes)
    elif head is not None and is_fitted(head):
        audited = _decisions(head, features, classes)
    repair = _repair(head, audited)
    folds = draw_folds(index, min(cv, smallest), n_repeats, np.random.RandomState(of_folds))
    name = None if repair is None else type(repair).__name__
    options = {"n_jobs": n_jobs, "progress": progress}
    judged = cross_fits(repair, name, array, index, classes, folds, rng, **options)

    logits = dict(judged.logits)
    if audited is not None:
        last = [logits.pop(name)] if repair is not None else []
        logits[called] = audited  # before what would repair it
        logits |= {f"{name} (cross-fitted)": z for z in last}
    spread = judged.spread
    if hasattr(head, "decision_spread") and audited is not None:
        spread = _of_predicted(head.decision_spread(features), audited)
    gain = (np.nan, np.nan)
    if audited is not None:
        of_class = class_cells(index, len(classes))
        placed = audited - best_offset(audited, index, of_class, np.mean)
        gain = balanced_gain(index, placed, judged.logits[BALANCED])
    verdict = _verdict(finder, judged.found, gain)
    if verdict == WORSE:
        order, hurt = _by_decisions(array, index, audited, of_residual)
    else:
        order, hurt = finder.scores_, finder.labels_ % 2 == 1
        hurt &= verdict == FOUND
    repaired = list(logits.values())[-1]
    return _result(
        verdict, (order, hurt), logits, spread, repaired,
        classes=classes, y=index, groups=groups, finder=finder, found=judged.found, gain=gain,
        before=called if audited is not None and repair is not None else BALANCED,
        material=Material(images, texts),
    )  # fmt: skip


def _decisions(head, features, classes):
    """Return the logits of a fitted classifier on samples that it did not see."""
    if not np.array_equal(head.classes_, classes):
        raise ValueError(
            f"{type(head).__name__} was fitted on the classes {np.asarray(head.classes_).tolist()}"
            f", but y has {classes.tolist()}. Audit samples of the same classes."
        )
    return logits_of_estimator(head, features)


def _repair(head, audited):
    """Return the unfitted classifier whose repair is judged; None where the audited is one."""
    if head is not None and audited is None:
        return head
    if hasattr(head, "verdict_"):
        return None
    return HSFMClassifierCV()


def _of_predicted(spread, logits):
    """Return the spread, of many classes that of the class which is predicted."""
    return spread if spread.ndim == 1 else spread[np.arange(len(spread)), logits.argmax(axis=1)]


def _verdict(finder, votes, gain):
    """Return the verdict: of all samples, of the training parts, and of the fitted classifier."""
    if gain[0] - 2 * gain[1] > _CLEARLY_BETTER:
        return FOUND if finder.found_ else WORSE
    if finder.found_ is None:
        return CANNOT_TELL
    share = np.mean([vote is True for vote in votes])
    if finder.found_:
        return FOUND if share >= 0.5 else CANNOT_TELL
    reads_better = gain[0] - 2 * gain[1] > 0  # a little: neither shown nor ruled out
    return CANNOT_TELL if share >= 0.5 or reads_better else NOT_FOUND


def _by_decisions(X, y, logits, seed):
    """Return how much each sample is hurt by what a fitted classifier leans on, and who is."""
    rng, defaults = np.random.RandomState(seed), ShortcutFinder()
    known = {name: getattr(defaults, name) for name in ("C", "share", "cv", "n_repeats")}
    Z = fitted_scaler(X).transform(X)
    found = margin_and_residual(Z, y, rng, leaning_logits=logits, **known)
    return found.scores, found.scores >= found.threshold[y]


def _result(verdict, cells, logits, spread, repaired, *, classes, y, groups, finder, found, gain,
            before, material):  # fmt: skip
    """Return the `Audit`: who is in which cell, and how every method reads it."""
    (order, hurt), n_classes = cells, len(classes)
    if hurt.any():
        parts = [f"class {c!r}, {part}" for part in ("hurt", "helped") for c in classes.tolist()]
        cell, names = y + n_classes * ~hurt, np.array(parts)
    else:
        cell, names = y, np.array(names_of_cells(classes, n_classes))
    member = cell[:, None] == np.arange(len(names))
    used = member.any(axis=0)
    member, names, cell = member[:, used], names[used], np.searchsorted(np.flatnonzero(used), cell)
    said = {name: log_probabilities(z).argmax(axis=1) for name, z in logits.items()}
    after = list(said)[-1]
    hits = [said[name] == y for name in (before, after)]
    judge = member if groups is None else groups[1].toarray()
    known = {name: finder.evidence_[name] for name in Evidence._fields}
    mean, error = Evidence(**known).mean
    return Audit(
        verdict=verdict,
        classes=classes,
        y=classes[y],
        evidence=finder.evidence_,
        evidence_reason=finder.reason_,
        chance=float(ndtr((mean - NONE_BELOW) / error)) if error > 0 else np.nan,
        votes=(sum(vote is True for vote in found), len(found)),
        gain=gain,
        cell_names=names,
        cell=cell,
        hurt=hurt,
        hurt_scores=order,
        scores=_scores(y, said, member, names),
        group_scores=None if groups is None else _scores(y, said, judge, groups[0]),
        groups=groups,
        compared=(before, after),
        differences=paired_differences(*hits, judge),
        predictions={m: classes[p] for m, p in said.items()},
        margin=margins(repaired, y),
        label_scores=label_scores(repaired, y, np.hstack([member, class_cells(y, n_classes)])),
        spread=spread,
        material=material,
    )  # fmt: skip


def _scores(y, said, member, names):
    """Return the accuracies of each method in cells that have names."""
    return {
        method: replace(found, group=names, worst_group=names[int(np.nanargmin(found.accuracy))])
        for method, found in ((m, group_scores(y, p, member)) for m, p in said.items())
    }
