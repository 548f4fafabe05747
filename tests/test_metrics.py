"""Group metrics against counts by hand, and against independent implementations."""

import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score

from sklearn_hsfm.metrics import (
    group_scores,
    groups_from_attributes,
    macro_std_score,
    make_group_scorer,
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
    assert "5            5     0.600  [0.231, 0.882]  <- worst" in text
    assert "average, training-weighted  0.800" in text
    text = str(group_scores(Y, PRED, GROUPS))
    assert "average, training-weighted  unknown: needs train_groups" in text


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
        ((Y, PRED, np.where(GROUPS == 7, np.nan, 1.0)), "missing .* in 4 of 10 samples"),
        ((Y, PRED, [None, *GROUPS[1:]]), "missing .* in 1 of 10 samples"),
        ((Y, PRED, np.ones((10, 2), int)), "must be boolean"),
        ((Y, PRED, np.zeros((10, 2), bool)), "No group has a sample"),
        (([], [], []), "0 samples to score"),
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
    with pytest.raises(ValueError, match=r"'ddof' parameter .* must be"):
        macro_std_score(Y, PRED, GROUPS, ddof=2)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (["0", "1", "0", "1"], [0, 1, 0, 1], "y_true, y_pred: Mix of label input types"),
        ([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8], "y_true, y_pred: .* binary and continuous"),
        ([0.0, np.nan, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], "y_true is missing .* in sample 1"),
        ([0, 1, 0, 1], [0, 1, None, 1], "y_pred is missing .* in sample 2"),
        (pd.Series(["a", "b", pd.NA, "a"], dtype="string"), list("abba"), "y_true is missing"),
        (np.array(["a", 1, "a", 1], object), list("abba"), "y_true mixes .* int, str"),
        (3, [0, 1, 0, 1], r"y_true has shape \(\)"),
        ([[0, 1], [1, 0], [1, 1], [0, 0]], [0, 1, 0, 1], r"y_true has shape \(4, 2\)"),
        ([[0, 1], [1]], [0, 1], "y_true is no array"),
    ],
)
def test_labels_that_accuracy_score_refuses(y_true, y_pred, message):
    groups = ["a", "b", "a", "b"]
    for call in (
        lambda: group_scores(y_true, y_pred, groups),
        lambda: worst_group_accuracy_score(y_true, y_pred, groups),
        lambda: worst_class_accuracy_score(y_true, y_pred),
        lambda: macro_std_score(y_true, y_pred, groups),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_labels_of_bytes_are_refused_as_scikit_learn_does():
    # Up to 1.6 it warns, and warnings of what will change are errors here.
    with pytest.raises((TypeError, FutureWarning), match=r"Support for labels .* bytes"):
        worst_class_accuracy_score(np.array([b"a", b"b"]), np.array([b"a", b"b"]))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (pd.Series(["a", "b", pd.NA, "a"], dtype="string"), "groups is missing .* in sample 2"),
        (pd.Series([1, pd.NA, 2, 1], dtype="Int64"), "groups is missing .* in sample 1"),
        (pd.Series(["2020-01-01", None, "2020-01-02", None], dtype="datetime64[ns]"), "sample 1"),
        (np.array([1, "b", 1, "b"], dtype=object), "groups mixes .* int, str"),
        (3, "groups has shape"),
        (np.zeros((4, 2, 2), bool), "groups has shape"),
        ([[1], [2, 3], [4], [5]], "groups is no array"),
        (pd.DataFrame({"a": [True, pd.NA, False, True]}, dtype="boolean"), "groups is missing"),
    ],
)
def test_groups_that_are_none(groups, message):
    y = [0, 1, 0, 1]
    for call in (group_scores, worst_group_accuracy_score, macro_std_score):
        with pytest.raises(ValueError, match=message):
            call(y, y, groups)


def test_a_column_may_stand_as_a_table_of_one():
    y, groups = [[0], [1], [0], [1]], ["a", "a", "b", "b"]
    assert worst_group_accuracy_score(y, [0, 1, 0, 0], groups) == 0.5


def test_attributes_that_are_none():
    missing = pd.Series(["a", "b", pd.NA, "a"], dtype="string")
    for place, message in ((3, "place has shape"), (missing, "place is missing .* in sample 2")):
        with pytest.raises(ValueError, match=message):
            groups_from_attributes([0, 1, 0, 1], place=place)


@pytest.mark.parametrize("dtype", ["string", "category", "object"])
def test_ids_of_pandas_kinds(dtype):
    groups = pd.Series(["a", "b", "a", "b"], dtype=dtype)
    scores = group_scores([0, 0, 1, 1], [0, 1, 1, 1], groups)
    assert scores.group.tolist() == ["a", "b"]
    assert scores.accuracy.tolist() == [1.0, 0.5]


def test_nullable_membership():
    member = pd.DataFrame({"a": Y == 0, "b": Y == 1})
    expected = group_scores(Y, PRED, member)
    found = group_scores(Y, PRED, member.astype("boolean"))
    assert found.accuracy.tolist() == expected.accuracy.tolist()


def test_memory_grows_with_rows_and_groups_not_with_their_product():
    n = 20_000  # of which a matrix of rows x groups would take 400 MB
    y = np.arange(n) % 2
    quick = make_group_scorer(lambda y_true, y_pred: np.mean(y_true == y_pred))
    calls = (
        lambda: worst_group_accuracy_score(y, y, np.arange(n)),
        lambda: group_scores(y, y, np.arange(n), interval="bootstrap", n_bootstrap=1000),
        lambda: macro_std_score(y, y, np.arange(n)),
        lambda: quick(_Says(y), np.zeros((n, 1)), y, groups=np.arange(n)),
    )
    for call in calls:
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**27


class _Says:
    """A classifier that says what it was told to."""

    def __init__(self, y):
        self.y = y

    def predict(self, X):
        return self.y


def test_training_groups_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="train_groups has none of the groups"):
        group_scores(Y, PRED, GROUPS, train_groups=["5", "-1", "7"])
    for train_groups, message in (
        ([5, None], "train_groups is missing"),
        ([[5], [-1, 7]], "train_groups is no array"),
        (5, r"train_groups has shape \(\)"),
        ([], "train_groups must hold at least one sample"),
    ):
        with pytest.raises(ValueError, match=message):
            group_scores(Y, PRED, GROUPS, train_groups=train_groups)


def test_macro_std_leaves_out_classes_without_groups():
    member = np.column_stack([Y == 0, (Y == 0) & (PRED == 0)])
    assert macro_std_score(Y, PRED, member) == macro_std_score(
        Y[Y == 0], PRED[Y == 0], member[Y == 0]
    )


@pytest.mark.parametrize("value", [None, "0.5", np.nan, [0.5]])
def test_a_scorer_whose_metric_gives_no_number(value):
    scorer = make_group_scorer(accuracy_score, lambda values: value)
    with pytest.raises(ValueError, match=r"make_group_scorer\(accuracy_score, .* returned"):
        scorer(_Says(Y), np.zeros((10, 1)), Y, groups=GROUPS)


def test_a_scorer_of_a_partial_function_has_a_name():
    assert "partial" in repr(make_group_scorer(partial(accuracy_score, normalize=True)))
    with pytest.raises(ValueError, match="'metric' parameter"):
        make_group_scorer("accuracy")
