"""report: all there is to see of a fitted classifier, as one HTML page."""

import html
import inspect
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklearn_hsfm._labels import class_indices
from sklearn_hsfm._typing import ArrayLike, Classifier, FilePath, ImagesLike
from sklearn_hsfm.inspection._cards import cards_of_groups, kind_of_groups
from sklearn_hsfm.inspection._edits import describe_edits
from sklearn_hsfm.inspection._embedding import data_uri, inline_svg
from sklearn_hsfm.inspection._fit_history import FitHistoryDisplay
from sklearn_hsfm.inspection._group_accuracy import GroupAccuracyDisplay
from sklearn_hsfm.inspection._hard_set import HardSetDisplay
from sklearn_hsfm.inspection._page import template
from sklearn_hsfm.inspection._pictures import check_images, picture
from sklearn_hsfm.inspection._support_edits import SupportEditDisplay
from sklearn_hsfm.inspection._trade_off import TradeOffDisplay
from sklearn_hsfm.metrics import group_scores
from sklearn_hsfm.metrics._columns import one_column

_PAIRS_PER_CLASS, _MOST_PAIRS = 3, 12
_MOST_GROUPS = 12  # in the figure; the table has all
_PACKAGES = ("sklearn-hsfm", "scikit-learn", "numpy", "torch", "matplotlib")


class Report:
    """An HTML page that needs nothing beside itself; made by `report`.

    Notebooks show it. It holds no script and loads nothing, so it opens anywhere, offline.

    Parameters
    ----------
    html : str
        The page.

    Examples
    --------
    >>> from sklearn_hsfm.inspection import Report
    >>> Report("<p>all is well</p>").html
    '<p>all is well</p>'
    """

    def __init__(self, html: str):
        self.html = html

    def save(self, path: FilePath) -> Path:
        """Write the page to a file.

        Parameters
        ----------
        path : str or path-like
            Such as ``"report.html"``.

        Returns
        -------
        pathlib.Path
            Where it is.
        """
        path = Path(path)
        path.write_text(self.html, encoding="utf-8")
        return path

    def _repr_html_(self):
        """Return the page in a frame, so that its style stays its own."""
        page = html.escape(self.html)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 45rem; border: 0"></iframe>'

    def __repr__(self):
        """Return how large the page is, rather than the page."""
        return f"<Report of {len(self.html) / 1024:.0f} KiB; save('report.html') writes it>"


def report(
    estimator: Classifier,
    X_test: Any,
    y_test: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    images: ImagesLike = None,
    baseline: Classifier | Mapping[str, Classifier] | None = None,
    X_val: Any = None,
    y_val: ArrayLike | None = None,
    images_val: ImagesLike = None,
    title: str = "Where the classifier fails, and why",
) -> Report:
    """Return a page that shows which groups fail, what is mistaken, and what the edits did.

    Parameters
    ----------
    estimator : classifier, Pipeline or search
        Fitted. Any linear one is reported; `HSFMClassifier` with its history and its edits.
    X_test : array-like
        What its ``predict`` takes, of samples that neither trained nor chose it.
    y_test : array-like of shape (n_samples,)
        Their labels.
    groups : array-like of shape (n_samples,) or (n_samples, n_groups), default=None
        Their groups. Without them the cells that an `HSFMClassifierCV` found in training are
        reported, or else the classes.
    images : array, sequence of paths or of images, default=None
        Their images, as `FeatureExtractor` takes them, or grey ones of shape (n_samples, height,
        width).
    baseline : classifier or dict of str to classifier, default=None
        Fitted ones to compare with, such as ``{"ERM": erm, "class-balanced": balanced}``; None is
        the head that ``estimator`` started from, if it keeps one.
    X_val, y_val, images_val : array-like, default=None
        The samples that an `HSFMClassifier` mined, to show its hard set: what ``fit`` got as
        ``X_val``, or as ``X`` where it got none. Without them the page shows the test samples of
        largest loss.
    title : str, default="Where the classifier fails, and why"
        Heading of the page.

    Returns
    -------
    Report
        The page; ``save(path)`` writes it.

    Raises
    ------
    ImportError
        If matplotlib or jinja2 is missing (extra ``report``).
    ValueError
        If lengths differ, or ``y_test`` has a label that the classifier does not know.

    Examples
    --------
    >>> from sklearn_hsfm import HSFMClassifier
    >>> from sklearn_hsfm.datasets import load_digit_dominoes
    >>> from sklearn_hsfm.inspection import report
    >>> data = load_digit_dominoes(random_state=0)
    >>> clf = HSFMClassifier(epochs=5, random_state=0)
    >>> clf = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    >>> page = report(clf, data.X_test, data.y_test, groups=data.groups_test,
    ...               images=data.X_test.reshape(-1, 16, 8))
    >>> "<svg" in page.html
    True
    """
    filled = template("report.html", "A report")
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    y_test = one_column(y_test, "y_test")
    if _num_samples(X_test) != len(y_test):
        lengths = [_num_samples(X_test), len(y_test)]
        raise ValueError(f"X_test, y_test have inconsistent numbers of samples: {lengths}.")
    class_indices(y_test, estimator.classes_, "y_test")
    if (X_val is None) != (y_val is None) or (X_val is None and images_val is not None):
        raise ValueError("X_val and y_val come together, and images_val with them; one is None.")
    images = None if images is None else check_images(images, len(y_test))
    if y_val is not None:
        y_val = one_column(y_val, "y_val")
        class_indices(y_val, estimator.classes_, "y_val")
    if images_val is not None:
        images_val = check_images(images_val, len(y_val))
    head, features = _head_and_features(estimator, X_test)
    validation = None
    if X_val is not None and hasattr(head, "hard_indices_"):
        validation = _head_and_features(estimator, X_val)[1], y_val, images_val

    kind, groups, telling = kind_of_groups(head, features, y_test, groups)
    predictions = _predictions(estimator, head, X_test, features, baseline)
    scores = {name: group_scores(y_test, p, groups) for name, p in predictions.items()}
    return Report(
        filled.render(
            title=title,
            kind=kind,
            name=type(head).__name__,
            n_rows=len(y_test),
            uses=getattr(head, "uses", None),
            methods=list(scores),
            n_methods=len(scores),
            before=next(iter(scores.values())) if len(scores) > 1 else None,
            now=list(scores.values())[-1],
            has_pictures=images is not None,
            cells=cards_of_groups(scores, groups, telling, images),
            table=_table(*scores.values()),
            group_figure=inline_svg(GroupAccuracyDisplay(scores).plot, n_groups=_MOST_GROUPS),
            trade_off=_trade_off(head, features, y_test, groups),
            history=_history(head),
            candidates=_candidates(head),
            hard=_hard_rows(head, features, y_test, images, validation),
            edits=_edits(head, features, y_test, groups, kind, images),
            settings=_settings(head),
            versions={"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        )
    )


def _head_and_features(estimator, X):
    """Return the last step of a pipeline and what reaches it; else the classifier and ``X``."""
    if isinstance(estimator, Pipeline):
        return estimator[-1], estimator[:-1].transform(X)
    return estimator, X


def _predictions(estimator, head, X, features, baseline):
    """Return the predictions to compare, the baseline's first, if there is one."""
    found = {}
    if isinstance(baseline, dict):
        found = {str(name): model.predict(X) for name, model in baseline.items()}
        if type(head).__name__ in found:
            raise ValueError(f"baseline has the name of the classifier, {type(head).__name__!r}.")
    elif baseline is not None:
        found[f"baseline, {type(baseline).__name__}"] = baseline.predict(X)
    elif hasattr(head, "init_coef_"):
        logits = np.asarray(features) @ head.init_coef_.T + head.init_intercept_
        index = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)
        found["initial head"] = head.classes_[index]
    found[type(head).__name__] = estimator.predict(X)
    return found


def _table(*scores):
    """Return the rows of the table, the lowest accuracy first."""
    *before, now = scores
    return [
        {
            "group": now.group[k],
            "worst": now.group[k] == now.worst_group,
            "count": now.count[k],
            "accuracy": now.accuracy[k],
            "before": [s.accuracy[k] for s in before],
            "low": now.low[k],
            "high": now.high[k],
        }
        for k in np.argsort(now.accuracy, kind="stable")
    ]


def _trade_off(head, features, y, groups):
    if not (hasattr(head, "init_coef_") or hasattr(head, "first_")):
        return None
    return inline_svg(TradeOffDisplay.from_estimator, head, features, y, groups)


def _history(head):
    return inline_svg(FitHistoryDisplay.from_estimator, head) if hasattr(head, "history_") else None


def _candidates(head):
    """Return the settings that `HSFMClassifierCV` tried, as rows of a table."""
    results = getattr(head, "cv_results_", None)
    if results is None or "n_selected" not in results:
        return None
    order = np.argsort(results["rank_test_score"], kind="stable")
    score = [f"{mean:.3f}" for mean in results["mean_test_score"]]
    edited = "epoch" in results  # else regressions, which have neither epochs nor splits
    if edited:
        score = [
            f"{s} ± {std:.3f}" for s, std in zip(score, results["std_test_score"], strict=True)
        ]
    return [
        {
            **results["params"][k],
            **({"best epoch": results["epoch"][k]} if edited else {}),
            "score": score[k],
            "heads in the mean": results["n_selected"][k],
        }
        for k in order
    ]


def _hard_rows(head, features, y, images, validation):
    """Return the display of the mined rows, or of the test rows of largest loss, for the page."""
    if validation is not None:
        X_val, y_val, images = validation
        display = HardSetDisplay.from_estimator(head, X_val, y_val, images=images)
    elif hasattr(head, "predict_proba"):
        proba = head.predict_proba(features)
        display = HardSetDisplay.from_predictions(
            y, proba, images=images, features=features, classes=head.classes_
        )
    else:
        return None
    import matplotlib.pyplot as plt

    plt.close(display.figure_)  # the page lays the pictures out itself
    rows = [caption.split("; ") for caption in display.captions()]
    shown = [data_uri(p) for p in display.pictures] if images is not None else [None] * len(rows)
    return {
        "mined": validation is not None,
        "rows": list(zip(display.rows.tolist(), rows, shown, strict=True)),
    }


def _edits(head, features, y, groups, kind, images):
    """Return the edits in numbers, as a figure, and by real images."""
    if not hasattr(head, "support_init_") or len(np.unique(y)) < len(head.classes_):
        return None
    known = groups if kind == "group" else None
    edits = describe_edits(head, features, y, groups=known)
    figure = None
    if np.isfinite(edits.alignment).all():
        figure = inline_svg(SupportEditDisplay.from_estimator, head, features, y, known)
    pairs = []
    for label in edits.classes if images is not None else []:
        for k in np.flatnonzero(edits.y == label)[:_PAIRS_PER_CLASS]:
            nearest = edits.before[k, 0], edits.after[k, 0]
            pairs.append((label, *(data_uri(picture(images, row)) for row in nearest)))
    return {"text": str(edits), "figure": figure, "pairs": pairs[:_MOST_PAIRS]}


def _settings(head):
    """Return the arguments, and whether each is the default."""
    defaults = inspect.signature(type(head).__init__).parameters
    found = {}
    for name, value in head.get_params(deep=False).items():
        shown = f"{value:.4g}" if isinstance(value, float) else repr(value)
        shown = shown if len(shown) < 80 else f"{shown[:77]}..."
        found[name] = shown, repr(defaults[name].default) == repr(value)
    return found
