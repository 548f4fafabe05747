"""Cells, slices found without groups, and the accuracy to expect in a cell."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm._choosing.cells import class_cells, expected_accuracies, margins
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.discovery._labels import doubtful_labels, label_scores
from sklearn_hsfm.discovery._slices import shortcut_slices


def shares_of_hits(logits, y, cells, thresholds):
    """Return counted accuracies, (n_candidates, n_thresholds, n_cells)."""
    if logits.shape[-1] == 1:
        predicted = logits[:, None, :, 0] > thresholds[..., None]
    else:
        predicted = logits.argmax(axis=-1)[:, None]
    return (predicted == y) @ cells.astype(float) / cells.sum(axis=0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_expected_accuracies_are_the_shares_of_hits_of_normal_margins(n_classes):
    rng = np.random.RandomState(0)
    y = rng.randint(n_classes, size=30000)
    group = rng.randint(2, size=len(y))
    if n_classes == 2:
        logits = (2 * y - 1 + 0.7 * group + rng.normal(size=(3, len(y))))[..., None]
        tolerance = 0.015
    else:  # the largest of two other logits is only nearly normal
        own = y[:, None] == np.arange(3)
        logits = 2 * own + group[:, None] * [0, 0.5, 0] + rng.normal(size=(3, len(y), 3))
        tolerance = 0.04
    cells = np.column_stack([y == 0, y == 1, group == 0, group == 1])  # two span the classes
    thresholds = np.array([[-0.5, 0.4]] * 3 if n_classes == 2 else [[0.0]] * 3)
    expected = expected_accuracies(logits, y, cells, thresholds)
    assert expected.shape == (3, thresholds.shape[1], 4)
    counted = shares_of_hits(logits, y, cells, thresholds)
    np.testing.assert_allclose(expected, counted, atol=tolerance)


def test_a_cell_of_few_rows_is_known_better_than_by_counting():
    rng = np.random.RandomState(0)
    y = np.r_[np.zeros(200, int), np.ones(7, int)]
    errors = []
    for _ in range(200):
        logits = (np.where(y == 1, 0.3, -1.0) + rng.normal(size=len(y)))[None, :, None]
        cells, at = class_cells(y, 2), np.zeros((1, 1))
        true = 0.618  # Phi(0.3)
        smooth = expected_accuracies(logits, y, cells, at)[0, 0, 1]
        counted = shares_of_hits(logits, y, cells, at)[0, 0, 1]
        errors.append([(smooth - true) ** 2, (counted - true) ** 2])
    smooth, counted = np.mean(errors, axis=0)
    assert smooth < 0.8 * counted


def test_margins_of_stacked_heads_are_those_of_each():
    rng = np.random.RandomState(0)
    for R in (1, 4):
        logits, y = rng.normal(size=(3, 20, R)), rng.randint(max(2, R), size=20)
        stacked = margins(logits, y)
        for one, expected in zip(logits, stacked, strict=True):
            np.testing.assert_array_equal(margins(one, y), expected)
        right = logits.argmax(axis=-1) == y if R > 1 else (logits[..., 0] > 0) == y
        assert np.array_equal(stacked > 0, right)


def attribute_found(cells, attribute, y):
    """Return how well the halves of each class agree with the attribute, at least 1/2."""
    shares = []
    for c in np.unique(y):
        rows = y == c
        agree = np.mean(cells[rows, 2 * c] == attribute[rows])
        shares.append(max(agree, 1 - agree))
    return min(shares)


def test_slices_find_the_attribute_that_nobody_named():
    digits = load_digit_dominoes(random_state=0)
    erm = LogisticRegression().fit(digits.X_train, digits.y_train)
    robust = LogisticRegression().fit(digits.X_test, digits.y_test)  # balanced rows
    logits = [m.decision_function(digits.X_val)[:, None] for m in (erm, robust)]
    cells = shortcut_slices(*logits, digits.y_val, 2)
    assert (cells.sum(axis=1) == 1).all()
    lower = np.char.endswith(digits.groups_val, "lower=1")
    assert attribute_found(cells, lower, digits.y_val) > 0.9


def test_slices_of_many_classes():
    data = make_spurious_features(n_train=3000, n_val=600, n_classes=3, random_state=0)
    erm = LogisticRegression().fit(data.X_train, data.y_train)
    robust = LogisticRegression().fit(data.X_test, data.y_test)
    logits = [m.decision_function(data.X_val) for m in (erm, robust)]
    cells = shortcut_slices(*logits, data.y_val, 3)
    helped = data.groups_val % 3 == data.y_val
    for c in range(3):  # the half that the shortcut hurts has few of the rows that it helps
        rows = data.y_val == c
        assert helped[rows & cells[:, 2 * c + 1]].mean() > 2 * helped[rows & cells[:, 2 * c]].mean()


@pytest.mark.parametrize("C", [2, 3])
def test_flipped_labels_are_doubted_and_few_others(C):
    rng = np.random.RandomState(0)
    true = np.arange(600) % C
    logits = 4.0 * np.eye(C)[true] + rng.normal(size=(600, C))
    logits = logits[:, 1:] - logits[:, :1] if C == 2 else logits
    flipped = rng.uniform(size=600) < 0.1
    y = np.where(flipped, (true + 1) % C, true)
    doubtful = doubtful_labels(logits, y, class_cells(y, C))
    assert doubtful[flipped].mean() > 0.4  # about half lie beyond the median of their true class
    assert not doubtful[~flipped].any()


def test_a_cell_that_is_read_wrong_as_a_whole_is_not_doubted():
    y = np.repeat([0, 1], 50)
    z = np.where(y == 1, 2.0, -2.0) + np.linspace(-1, 1, 100)
    minority, strays = np.arange(100) < 10, np.arange(100) >= 97
    z[minority], z[strays] = 5.0, -5.0
    cells = np.column_stack([minority, (y == 0) & ~minority, y == 1])
    doubtful = doubtful_labels(z[:, None], y, cells)
    assert np.array_equal(doubtful, strays)


@pytest.mark.parametrize("C", [2, 3])
def test_label_scores_rank_flipped_labels_first_and_agree_with_the_doubt(C):
    rng = np.random.RandomState(0)
    true = np.arange(600) % C
    logits = 2.0 * np.eye(C)[true] + rng.normal(size=(600, C))
    logits = logits[:, 1:] - logits[:, :1] if C == 2 else logits
    flipped = rng.uniform(size=600) < 0.1
    y = np.where(flipped, (true + 1) % C, true)
    cells = class_cells(y, C)
    scores = label_scores(logits, y, cells)
    assert np.array_equal(scores > 0, doubtful_labels(logits, y, cells))
    wins = scores[flipped][:, None] > scores[~flipped]
    assert wins.mean() > 0.9
    # By hand: beyond the median of the class that a row speaks for most, of its rivals.
    for row in range(20):
        beyond = []
        for c in set(range(C)) - {y[row]}:
            for_c = margins(logits, np.full(600, c))
            beyond.append(for_c[row] - np.median(for_c[y == c]))
        assert scores[row] == pytest.approx(max(beyond))


def test_label_scores_of_a_cell_that_is_read_wrong_keep_their_order_below_doubt():
    y = np.repeat([0, 1], 50)
    z = np.where(y == 1, 2.0, -2.0) + np.linspace(-1, 1, 100)
    minority = np.arange(100) < 10
    z[minority] = 5.0 + np.arange(10)
    cells = np.column_stack([minority, (y == 0) & ~minority, y == 1])
    scores = label_scores(z[:, None], y, cells)
    assert scores[minority].max() == 0
    assert (np.diff(scores[:10]) > 0).all()


def test_slices_leave_out_what_is_not_used():
    rng = np.random.RandomState(0)
    y, used = np.arange(40) % 2, np.arange(40) >= 8
    cells = shortcut_slices(*rng.normal(size=(2, 40, 1)), y, 2, used)
    assert np.array_equal(cells.any(axis=1), used)
    assert cells.sum(axis=0).tolist() == [8, 8, 8, 8]
