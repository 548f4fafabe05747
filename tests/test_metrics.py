"""Group metrics against counts by hand, and against independent implementations."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from sklearn_hsfm.metrics import (
    group_scores,
    groups_from_attributes,
    macro_std_score,
    worst_class_accuracy_score,
    worst_group_accuracy_score,
)

Y = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
PRED = np.array([0, 0, 1, 0, 1, 0, 1, 1, 1, 1])
GROUPS = np.array([5, 5, 5, -1, 5, 5, 7, 7, 7, 7])


def test_group_scores_by_hand():
    scores = group_scores(Y, PRED, GROUPS, train_groups=[-1, -1, 5, 7])
    assert scores.group.tolist() == [-1, 5, 7]
    assert scores.count.tolist() == [1, 5, 4]
    assert scores.accuracy.tolist() == [1.0, 0.6, 1.0]
    assert (scores.worst_group, scores.worst) == (5, 0.6)
    assert scores.average == 0.8
    assert scores.group_mean == pytest.approx(2.6 / 3)
    assert scores.train_weighted_average == pytest.approx(0.5 * 1 + 0.25 * 0.6 + 0.25 * 1)


def test_wilson_equals_scipys():
    scores = group_scores(Y, PRED, GROUPS, confidence=0.9)
    for k, n, low, high in zip([1, 3, 4], [1, 5, 4], scores.low, scores.high, strict=True):
        reference = binomtest(k, n).proportion_ci(0.9, method="wilson")
        assert (low, high) == pytest.approx((reference.low, reference.high))


def test_bootstrap_covers_the_resampling_of_rows():
    rng = np.random.RandomState(0)
    groups = rng.randint(3, size=400)
    hit = rng.uniform(size=400) < np.array([0.6, 0.8, 0.9])[groups]
    scores = group_scores(
        np.ones(400, int), hit.astype(int), groups, interval="bootstrap", random_state=0
    )
    draws = np.array(
        [
            [rng.choice(hit[groups == g], (groups == g).sum()).mean() for g in range(3)]
            for _ in range(2000)
        ]
    )
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(scores.low, low, atol=0.02)
    np.testing.assert_allclose(scores.high, high, atol=0.02)
    worst = np.percentile(draws.min(1), [2.5, 97.5])
    np.testing.assert_allclose((scores.worst_low, scores.worst_high), worst, atol=0.02)
    again = group_scores(
        np.ones(400, int), hit.astype(int), groups, interval="bootstrap", random_state=0
    )
    assert again.low.tolist() == scores.low.tolist()


def test_ties_go_to_the_first_group():
    assert group_scores([0, 0, 0, 0], [0, 1, 1, 0], list("bbaa")).worst_group == "a"


def test_overlapping_and_empty_groups():
    member = pd.DataFrame({"all": [True] * 10, "first": Y == 0, "none": [False] * 10})
    scores = group_scores(Y, PRED, member)
    assert scores.group.tolist() == ["all", "first", "none"]
    np.testing.assert_array_equal(scores.accuracy, [0.8, 0.75, np.nan])
    assert np.isnan(scores.low[2])
    assert np.isnan(scores.high[2])
    assert scores.worst_group == "first"
    assert scores.group_mean == pytest.approx((0.8 + 0.75) / 2)
    assert worst_group_accuracy_score(Y, PRED, member) == 0.75
    boot = group_scores(Y, PRED, member, interval="bootstrap", random_state=0)
    assert np.isfinite(boot.worst_low)
    assert np.isnan(boot.low[2])


def test_a_training_group_without_test_rows_leaves_no_weighted_average():
    assert np.isnan(group_scores(Y, PRED, GROUPS, train_groups=[5, 8]).train_weighted_average)
    assert np.isnan(group_scores(Y, PRED, GROUPS).train_weighted_average)


def test_it_prints_as_a_table():
    text = str(group_scores(Y, PRED, GROUPS, train_groups=GROUPS))
    assert "5          5     0.600  [0.231, 0.882]  <- worst" in text
    assert "average, training-weighted  0.800" in text


def test_worst_class_is_the_lowest_recall():
    assert worst_class_accuracy_score(Y, PRED) == pytest.approx(0.75)


def test_macro_std_by_hand():
    # class 0: group 5 at 2/3 over 3 rows, group -1 at 1 over 1; class 1: 5 at 1/2, 7 at 1.
    first = np.sqrt(0.75 * (2 / 3 - 0.75) ** 2 + 0.25 * (1 - 0.75) ** 2)
    mean = 5 / 6
    second = np.sqrt((2 * (0.5 - mean) ** 2 + 4 * (1 - mean) ** 2) / 6)
    assert macro_std_score(Y, PRED, GROUPS) == pytest.approx((first + second) / 2)
    assert macro_std_score(Y, PRED, GROUPS, ddof=1) == pytest.approx(
        (first + second) / 2 * np.sqrt(2)
    )
    assert macro_std_score(Y, PRED, GROUPS, weights="uniform") == pytest.approx((1 / 6 + 0.25) / 2)
    assert macro_std_score(Y, PRED, Y) == 0


def test_groups_from_attributes():
    frame = pd.DataFrame({"place": ["land", "water"], "sex": [0, 1]})
    ids = groups_from_attributes([1, 0], **frame)
    assert ids.tolist() == ["y=1 place=land sex=0", "y=0 place=water sex=1"]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        groups_from_attributes([1, 0, 1], place=["land", "water"])
    with pytest.raises(ValueError, match="place is missing"):
        groups_from_attributes([1, 0], place=["land", None])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((Y, PRED, GROUPS[:-1]), "groups has 9 rows, but there are 10 labels"),
        ((Y, PRED[:-1], GROUPS), "inconsistent numbers of samples"),
        ((Y, PRED, np.where(GROUPS == 7, np.nan, 1.0)), "missing .* in 4 of 10 rows"),
        ((Y, PRED, [None, *GROUPS[1:]]), "missing .* in 1 of 10 rows"),
        ((Y, PRED, np.ones((10, 2), int)), "must be boolean"),
        ((Y, PRED, np.zeros((10, 2), bool)), "No group has a row"),
        (([], [], []), "0 rows to score"),
    ],
)
def test_bad_groups(args, message):
    for metric in (group_scores, worst_group_accuracy_score, macro_std_score):
        with pytest.raises(ValueError, match=message):
            metric(*args)


@pytest.mark.parametrize("option", [{"interval": "t"}, {"confidence": 1.0}])
def test_bad_options(option):
    with pytest.raises(ValueError, match="must"):
        group_scores(Y, PRED, GROUPS, **option)
    with pytest.raises(ValueError, match="must be"):
        macro_std_score(Y, PRED, GROUPS, weights="x")
    with pytest.raises(ValueError, match="must be 0 or 1"):
        macro_std_score(Y, PRED, GROUPS, ddof=2)
