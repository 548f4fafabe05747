"""Accuracy by group: tables, worst groups, the averages that get confused, scorers.

A *group* is any set of samples whose accuracy matters, usually those that share a class and an
attribute. Everywhere, ``groups`` is either one id a sample, of any kind (integers with gaps,
strings), or a boolean membership matrix of shape (n_samples, n_groups), whose groups
may overlap and may be empty; the columns of a DataFrame name them.
"""

from sklearn_hsfm.metrics._groups import groups_from_attributes
from sklearn_hsfm.metrics._scorers import (
    GroupScorer,
    make_group_scorer,
    worst_class_accuracy,
    worst_group_accuracy,
)
from sklearn_hsfm.metrics._scores import (
    GroupScores,
    group_scores,
    macro_std_score,
    worst_class_accuracy_score,
    worst_group_accuracy_score,
)

__all__ = [
    "GroupScorer",
    "GroupScores",
    "group_scores",
    "groups_from_attributes",
    "macro_std_score",
    "make_group_scorer",
    "worst_class_accuracy",
    "worst_class_accuracy_score",
    "worst_group_accuracy",
    "worst_group_accuracy_score",
]
