"""The rules that choose an epoch."""

import numpy as np
import pytest
from sklearn.metrics import get_scorer, roc_auc_score, top_k_accuracy_score

from sklearn_hsfm import HSFMClassifier, selection

Y = np.array([0, 0, 0, 0, 1, 1])
PROBA = np.array([0.9, 0.8, 0.6, 0.2, 0.7, 0.4])  # of the true class
LOG_PROBA = np.log(np.where(np.arange(2) == Y[:, None], PROBA[:, None], 1 - PROBA[:, None]))
QUICK = {"epochs": 5, "KH": 2, "T": 3, "Khard": 10, "random_state": 0}


def fit(data, groups=None, **params):
    clf = HSFMClassifier(**QUICK, **params)
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups_val=groups)


def test_rules_by_hand():
    groups = np.array(["a", "a", "b", "b", "a", "a"])
    assert selection.accuracy(Y, LOG_PROBA) == pytest.approx(4 / 6)
    assert selection.worst_class(Y, LOG_PROBA) == 0.5
    assert selection.worst_group(Y, LOG_PROBA, groups) == 0.5
    assert selection.tail_loss(Y, LOG_PROBA) == pytest.approx((np.log(0.2) + np.log(0.4)) / 2)
    two = (np.log(0.2 * 0.6) / 2 + np.log(0.4)) / 2
    assert selection.tail_loss(Y, LOG_PROBA, fraction=0.5) == pytest.approx(two)
    assert selection.last(Y, LOG_PROBA) == 0


def test_scorers_read_the_log_odds_of_two_classes_and_a_column_a_class_of_more():
    by_scorer = selection.rule_of_scorer(get_scorer("roc_auc"), np.array(["a", "b"]))
    odds = PROBA / (1 - PROBA)
    assert by_scorer(Y, LOG_PROBA) == roc_auc_score(Y, np.where(Y == 1, odds, 1 / odds))
    rng = np.random.RandomState(0)
    y, log_proba = np.arange(30) % 4, np.log(rng.dirichlet(np.ones(4), 30))
    by_scorer = selection.rule_of_scorer(get_scorer("top_k_accuracy"), np.array(list("abcd")))
    assert by_scorer(y, log_proba) == top_k_accuracy_score(y, log_proba)


def test_auto_follows_the_groups(data):
    assert fit(data).selection_ == "worst_class"
    assert "worst_group" not in fit(data).history_
    assert fit(data, data.groups_val).selection_ == "worst_group"


@pytest.mark.parametrize("rule", ["worst_class", "accuracy", "tail_loss"])
def test_a_rule_keeps_its_best_epoch(data, rule):
    clf = fit(data, selection=rule)
    scores = clf.history_["score"][1:]
    assert clf.best_epoch_ == len(scores) - np.argmax(scores[::-1])  # the last of equals
    if rule in clf.history_:
        assert np.array_equal(clf.history_[rule], clf.history_["score"])


def test_last_keeps_the_last(data):
    assert fit(data, selection="last").best_epoch_ == 5


def test_a_callable_is_a_rule(data):
    seen = []

    def first_epochs(y, log_proba, groups):
        seen.append((y.shape, log_proba.shape, groups))
        return -len(seen)

    clf = fit(data, selection=first_epochs)
    assert clf.best_epoch_ == 1
    assert clf.selection_ == "first_epochs"
    assert seen[0] == ((40,), (40, 2), None)


def test_worst_group_needs_groups(data):
    with pytest.raises(ValueError, match="fit got no groups_val"):
        fit(data, selection="worst_group")


def test_group_ids_of_any_kind_choose_the_same(data):
    ids = data.groups_val
    reference = fit(data, ids).coef_
    for same in (ids * 10 - 7, np.array(list("dbca"))[ids], ids[:, None] == np.arange(4)):
        clf = fit(data, same, selection_fraction=None)
        assert np.array_equal(clf.coef_, fit(data, ids, selection_fraction=None).coef_)
    assert np.array_equal(fit(data, ids * 10 - 7).coef_, reference)


def test_empty_and_one_row_groups(data):
    member = data.groups_val[:, None] == np.arange(5)  # group 4 has no row
    clf = fit(data, member, selection_fraction=None)
    assert np.array_equal(clf.coef_, fit(data, data.groups_val, selection_fraction=None).coef_)
    lone = data.groups_val.copy()
    lone[7] = 99
    worst = fit(data, lone, selection_fraction=None).history_["worst_group"]
    assert np.isfinite(worst).all()
    # A lone row is a group like any other: right or wrong, it bounds the worst.
    without = fit(data, data.groups_val, selection_fraction=None).history_["worst_group"]
    assert ((worst == 0) | (worst >= without)).all()
