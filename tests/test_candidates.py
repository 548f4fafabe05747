"""Scoring candidate heads on cells, finding slices, averaging."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from sklearn_hsfm import _candidates as candidates
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features


def test_normalized_heads_have_norm_one_and_the_same_decisions():
    rng = np.random.RandomState(0)
    heads, X = rng.normal(size=(4, 3, 5)), rng.normal(size=(50, 4))
    unit = candidates.normalized(heads)
    np.testing.assert_allclose(np.linalg.norm(unit[..., :-1], axis=(1, 2)), 1)
    np.testing.assert_allclose(unit.sum(axis=1), 0, atol=1e-12)
    for h, u in zip(heads, unit, strict=True):
        first, second = (X @ a[:, :-1].T + a[:, -1] for a in (h, u))
        assert np.array_equal(first.argmax(1), second.argmax(1))


def test_out_of_fold_logits_come_from_heads_that_held_the_row_out():
    rng = np.random.RandomState(0)
    heads, X = rng.normal(size=(2, 4, 1, 4)), rng.normal(size=(6, 3))
    held = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 2, dtype=bool)
    logits = candidates.out_of_fold(heads, X, held)
    for i in range(6):
        own = heads[:, [0, 2]] if i < 3 else heads[:, [1, 3]]
        expected = (own[:, :, 0, :-1] @ X[i] + own[:, :, 0, -1]).mean(axis=1)
        np.testing.assert_allclose(logits[:, i, 0], expected)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cell_accuracies_by_counting(n_classes):
    rng = np.random.RandomState(0)
    y = rng.randint(n_classes, size=40)
    logits = rng.normal(size=(5, 40, 1 if n_classes == 2 else n_classes))
    cells = rng.uniform(size=(40, 4)) < 0.5
    accuracies, thresholds = candidates.cell_accuracies(logits, y, cells)
    for i in range(5):
        for j in range(0, thresholds.shape[1], 20):
            if n_classes == 2:
                hit = (logits[i, :, 0] > thresholds[i, j]) == (y == 1)
            else:
                hit = logits[i].argmax(1) == y
            for k in range(4):
                assert accuracies[i, j, k] == pytest.approx(hit[cells[:, k]].mean())


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
    cells = candidates.shortcut_slices(*logits, digits.y_val, 2)
    assert (cells.sum(axis=1) == 1).all()
    lower = np.char.endswith(digits.groups_val, "lower=1")
    assert attribute_found(cells, lower, digits.y_val) > 0.9


def test_slices_of_many_classes():
    data = make_spurious_features(n_train=3000, n_val=600, n_classes=3, random_state=0)
    erm = LogisticRegression().fit(data.X_train, data.y_train)
    robust = LogisticRegression().fit(data.X_test, data.y_test)
    logits = [m.decision_function(data.X_val) for m in (erm, robust)]
    cells = candidates.shortcut_slices(*logits, data.y_val, 3)
    helped = data.groups_val % 3 == data.y_val
    for c in range(3):  # the half that the shortcut hurts has few of the rows that it helps
        rows = data.y_val == c
        assert helped[rows & cells[:, 2 * c + 1]].mean() > 2 * helped[rows & cells[:, 2 * c]].mean()


def test_choose_averages_what_the_rows_cannot_tell_apart():
    rng = np.random.RandomState(0)
    y = np.arange(200) % 2
    signal = np.where(y == 1, 1.0, -1.0)
    good = signal[None] + rng.normal(size=(4, 200))
    bad = rng.normal(size=(4, 200))
    logits = np.concatenate([bad, good])[..., None]
    choice = candidates.choose(logits, logits[0], y, 2, rule="worst_class")
    assert set(choice.chosen) <= {4, 5, 6, 7}
    assert choice.score[choice.chosen[0]] == choice.score.max()
    assert choice.average_score > choice.score.max()


def test_choose_places_the_threshold():
    rng = np.random.RandomState(0)
    y = np.arange(400) % 2
    logits = (np.where(y == 1, 6.0, 4.0) + 0.3 * rng.normal(size=400))[None, :, None]
    choice = candidates.choose(logits, logits[0], y, 2, rule="worst_class")
    assert 4.5 < choice.offset < 5.5
    assert choice.average_score > 0.98


def test_a_callable_rule_takes_the_best_tenth():
    rng = np.random.RandomState(0)
    y = np.arange(60) % 2
    logits = rng.normal(size=(20, 60, 1))

    def rule(y, log_proba, groups):
        assert groups is None
        return float(np.mean(log_proba.argmax(1) == y))

    choice = candidates.choose(logits, logits[0], y, 2, rule=rule)
    assert len(choice.chosen) == 2
    accuracy = ((logits[..., 0] > 0) == y).mean(axis=1)
    np.testing.assert_allclose(choice.score, accuracy)
    assert choice.offset == 0


@pytest.mark.parametrize("R", [1, 3])
def test_the_calibrated_scale_has_the_least_log_loss(R):
    rng = np.random.RandomState(0)
    y = np.arange(300) % max(2, R)
    logits = 0.01 * (rng.normal(size=(300, R)) + (y[:, None] == np.arange(R)[-R:] + (R == 1)))
    scale = candidates.calibrated_scale(logits, y)

    def loss(s):
        return log_loss(y, np.exp(candidates.log_probabilities(s * logits)))

    assert loss(scale) <= min(loss(0.9 * scale), loss(1.1 * scale))
