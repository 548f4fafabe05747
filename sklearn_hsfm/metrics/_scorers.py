"""Scorers that reduce a metric over groups, for searches and by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.utils.metadata_routing import MetadataRequest

from sklearn_hsfm._compat import validate_params
from sklearn_hsfm._typing import ArrayLike, Classifier
from sklearn_hsfm.metrics._columns import check_same_length, one_column
from sklearn_hsfm.metrics._groups import group_membership
from sklearn_hsfm.metrics._scores import worst_class_accuracy_score


class GroupScorer:
    """A scorer that reduces a metric over groups; made by `make_group_scorer`.

    It requests ``groups`` by itself, so searches need no ``set_score_request``, and it can
    be a module constant whether or not metadata routing is on.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred) -> float``, called on the samples of each group.
    reduce : callable, default=min
        Turns the list of group values into one number.

    See Also
    --------
    make_group_scorer : Makes it, with an example.
    """

    def __init__(self, metric: Callable[..., Any], reduce: Callable[..., Any] = min):
        self.metric = metric
        self.reduce = reduce

    def __call__(
        self, estimator: Classifier, X: Any, y: ArrayLike, *, groups: ArrayLike | None = None
    ) -> float:
        """Return the reduced metric of ``estimator.predict(X)``.

        Parameters
        ----------
        estimator : fitted classifier
        X : array-like
            What ``estimator.predict`` takes.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups)
            Group ids or boolean membership.

        Returns
        -------
        float
            The reduced metric.

        Raises
        ------
        ValueError
            If there are no groups, lengths differ, the metric fails in a group, or ``reduce`` gives
            no number.
        """
        if groups is None:
            raise ValueError(
                f"{self!r} got no groups. In a search, call "
                "sklearn.set_config(enable_metadata_routing=True) first, then "
                "search.fit(X, y, groups=groups); directly, call "
                "scorer(estimator, X, y, groups=groups)."
            )
        y, y_pred = one_column(y, "y"), one_column(estimator.predict(X), "predictions")
        check_same_length(y=y, predictions=y_pred)
        names, member = group_membership(groups, len(y))
        member, values = member.tocsc(), []
        for name, rows in zip(names, np.split(member.indices, member.indptr[1:-1]), strict=True):
            try:
                values += [self.metric(y[rows], y_pred[rows])] if len(rows) else []
            except (TypeError, ValueError) as error:  # such as one class, where a metric needs two
                raise ValueError(f"{self!r} fails in {name!r} of groups: {error}") from error
        return a_number(self.reduce(values), repr(self))

    def get_metadata_routing(self) -> Any:
        """Return the request for ``groups``, as scikit-learn asks for it.

        Returns
        -------
        MetadataRequest
            Of ``groups``, when scoring.
        """
        request = MetadataRequest(owner=self)
        request.score.add_request(param="groups", alias=True)
        return request

    def __repr__(self):
        """Return the call that makes this scorer."""
        names = (getattr(f, "__name__", repr(f)) for f in (self.metric, self.reduce))
        return f"make_group_scorer({', '.join(names)})"


@validate_params({"metric": [callable], "reduce": [callable]}, prefer_skip_nested_validation=True)
def make_group_scorer(metric: Callable[..., Any], reduce: Callable[..., Any] = min) -> GroupScorer:
    """Return a scorer that reduces ``metric`` over groups, for searches and by hand.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred) -> float``, called on the samples of each group.
    reduce : callable, default=min
        Turns the list of group values into one number; greater must be better.

    Returns
    -------
    GroupScorer
        A scorer that takes ``groups``, routed or by hand.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.metrics import accuracy_score
    >>> from sklearn_hsfm.metrics import make_group_scorer
    >>> X, y = np.zeros((4, 1)), np.array([0, 0, 0, 1])
    >>> scorer = make_group_scorer(accuracy_score, np.mean)
    >>> scorer(DummyClassifier().fit(X, y), X, y, groups=["a", "a", "b", "b"])
    0.75
    """
    return GroupScorer(metric, reduce)


def a_number(value, what):
    """Return what a function of the user's has returned as a float, or say that it is none."""
    try:
        number = float("nan") if np.ndim(value) or isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if np.isnan(number):
        raise ValueError(
            f"{what} returned {value!r}; it must return one number, greater is better."
        )
    return number


#: Accuracy of the worst group, as a scorer that requests ``groups`` by itself.
worst_group_accuracy = make_group_scorer(accuracy_score)
#: Accuracy of the worst class, as a scorer; needs no groups.
worst_class_accuracy = make_scorer(worst_class_accuracy_score)
