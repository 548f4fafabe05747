"""Choosing candidate heads and averaging them."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from sklearn_hsfm._choosing import candidates, offsets
from sklearn_hsfm._linear_head import log_probabilities

NONE = np.zeros(20, dtype=bool)  # no candidate is unedited


def test_log_probabilities_of_log_odds_are_those_of_the_logistic_function():
    z = np.array([[-3.0], [0.0], [2.5]])
    expected = np.log(np.column_stack([1 - expit(z), expit(z)]))
    np.testing.assert_allclose(log_probabilities(z), expected)


def test_logits_beyond_single_precision_are_calibrated():
    y = np.arange(20) % 2
    logits = 1e54 * np.where(y == 1, 1.0, -1.0)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scale = offsets.calibrated_scale(logits, y)
    assert 0 < scale * 1e54 < 1e3


def test_normalized_heads_have_norm_one_and_the_same_decisions():
    rng = np.random.RandomState(0)
    heads, X = rng.normal(size=(4, 3, 5)), rng.normal(size=(50, 4))
    unit = candidates.normalized(heads)
    np.testing.assert_allclose(np.linalg.norm(unit[..., :-1], axis=(1, 2)), 1)
    np.testing.assert_allclose(unit.sum(axis=1), 0, atol=1e-12)
    for h, u in zip(heads, unit, strict=True):
        first, second = (X @ a[:, :-1].T + a[:, -1] for a in (h, u))
        assert np.array_equal(first.argmax(1), second.argmax(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_heads_whose_squares_overflow_are_normalized(dtype):
    rng = np.random.RandomState(0)
    heads = rng.normal(size=(3, 1, 5)).astype(dtype)
    heads[2] = 0
    huge = heads * np.array([0.5 * np.sqrt(np.finfo(dtype).max) * 4, 1, 1], dtype)[:, None, None]
    found = candidates.normalized(huge)
    np.testing.assert_allclose(found, candidates.normalized(heads), rtol=1e-5)
    assert found.dtype == dtype


def test_out_of_fold_logits_come_from_heads_that_held_the_row_out():
    rng = np.random.RandomState(0)
    heads, X = rng.normal(size=(2, 4, 1, 4)), rng.normal(size=(6, 3))
    held = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 2, dtype=bool)
    logits = candidates.out_of_fold(heads, X, held)
    for i in range(6):
        own = heads[:, [0, 2]] if i < 3 else heads[:, [1, 3]]
        expected = (own[:, :, 0, :-1] @ X[i] + own[:, :, 0, -1]).mean(axis=1)
        np.testing.assert_allclose(logits[:, i, 0], expected)


def test_choose_averages_what_the_rows_cannot_tell_apart():
    rng = np.random.RandomState(0)
    y = np.arange(200) % 2
    signal = np.where(y == 1, 1.0, -1.0)
    good = signal[None] + rng.normal(size=(4, 200))
    bad = rng.normal(size=(4, 200))
    logits = np.concatenate([bad, good])[..., None]
    choice = candidates.choose(logits, logits[0], y, 2, NONE[:8], rule="worst_class")
    assert set(choice.chosen) == {4, 5, 6, 7}
    assert choice.score[choice.chosen[0]] == choice.score.max()
    assert choice.average_score > choice.score.max()


def test_unedited_heads_win_unless_the_edits_show_their_worth():
    rng = np.random.RandomState(0)
    y = np.arange(200) % 2
    signal = np.where(y == 1, 1.0, -1.0)
    alike = signal + rng.normal(size=200) + 0.1 * rng.normal(size=(6, 200))
    unedited = np.arange(6) < 2
    for rule in ("worst_class", "balanced", "worst_slice"):
        choice = candidates.choose(alike[..., None], alike[0, :, None], y, 2, unedited, rule=rule)
        assert set(choice.chosen) == {0, 1}
    better = alike + np.where(unedited, 0, 1)[:, None] * signal
    for rule in ("worst_class", "balanced", "worst_slice"):
        choice = candidates.choose(better[..., None], better[0, :, None], y, 2, unedited, rule=rule)
        assert set(choice.chosen) == {2, 3, 4, 5}


def test_choose_places_the_threshold():
    rng = np.random.RandomState(0)
    y = np.arange(400) % 2
    logits = (np.where(y == 1, 6.0, 4.0) + 0.3 * rng.normal(size=400))[None, :, None]
    choice = candidates.choose(logits, logits[0], y, 2, NONE[:1], rule="worst_class")
    assert 4.5 < choice.offset < 5.5
    assert choice.average_score > 0.98


def test_a_callable_rule_takes_the_best_tenth():
    rng = np.random.RandomState(0)
    y = np.arange(60) % 2
    logits = rng.normal(size=(20, 60, 1))

    def rule(y, log_proba, groups):
        assert groups is None
        return float(np.mean(log_proba.argmax(1) == y))

    choice = candidates.choose(logits, logits[0], y, 2, NONE, rule=rule)
    assert len(choice.chosen) == 2
    accuracy = ((logits[..., 0] > 0) == y).mean(axis=1)
    np.testing.assert_allclose(choice.score, accuracy)
    assert choice.offset == 0


@pytest.mark.parametrize("R", [1, 3])
def test_the_calibrated_scale_has_the_least_log_loss(R):
    rng = np.random.RandomState(0)
    y = np.arange(300) % max(2, R)
    logits = 0.01 * (rng.normal(size=(300, R)) + (y[:, None] == np.arange(R)[-R:] + (R == 1)))
    scale = offsets.calibrated_scale(logits, y)

    def loss(s):
        return log_loss(y, np.exp(log_probabilities(s * logits)))

    assert loss(scale) <= min(loss(0.9 * scale), loss(1.1 * scale))


def test_wrong_labels_place_no_threshold(monkeypatch):
    rng = np.random.RandomState(0)
    true = (np.arange(1000) % 5 == 0).astype(int)  # a fifth of the rows are of class 1
    z = np.where(true == 1, 2.0, -2.0) + rng.normal(size=1000)
    y = np.where(rng.uniform(size=1000) < 0.1, 1 - true, true)  # a third of its labels are wrong
    logits = z[None, :, None]

    def worst_class():
        choice = candidates.choose(logits, logits[0], y, 2, NONE[:1], rule="worst_class")
        assert not choice.cells[choice.doubtful].any()
        hits = (z > choice.offset) == true
        return min(hits[true == c].mean() for c in (0, 1))

    worst = worst_class()
    monkeypatch.setattr(candidates, "doubtful_labels", lambda *args: np.zeros(1000, dtype=bool))
    assert worst > worst_class() + 0.05


def logits_of_three_classes(n, seed=0):
    """Return labels, of which the last class has a twentieth, and logits that neglect it."""
    rng = np.random.RandomState(seed)
    y = rng.choice(3, size=n, p=[0.5, 0.45, 0.05])
    return y, 2.0 * (y[:, None] == np.arange(3)) + rng.normal(size=(n, 3)) - [0.0, 0.0, 3.0]


def test_intercepts_of_many_classes_are_placed_where_the_rows_suffice():
    y, logits = logits_of_three_classes(2000)
    cells = y[:, None] == np.arange(3)
    for reduce in (np.min, np.mean):
        offset = offsets.best_offset(logits, y, cells, reduce)
        np.testing.assert_allclose(offset - offset.mean(), [1, 1, -2], atol=0.5)
    y_new, fresh = logits_of_three_classes(5000, seed=1)
    worst = [
        min((z.argmax(1) == y_new)[y_new == c].mean() for c in range(3))
        for z in (fresh, fresh - offset)
    ]
    assert worst[1] > worst[0] + 0.3
    few = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[: candidates.MIN_CELL - 1]]
    assert not offsets.best_offset(logits[few], y[few], cells[few], np.min).any()


def test_intercepts_are_placed_without_overflow_where_logits_tell_nothing():
    y = np.arange(21) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(12):
            count = np.random.RandomState(seed).randint(3, size=(21, 1))  # tells nothing of y
            logits = [200.0, -100.0, -100.0] + count * [1.0, -2.0, 1.0]
            assert np.isfinite(offsets._balancing_offset(logits, y)).all()


def test_intercepts_that_do_not_help_on_the_other_half_stay_as_they_are():
    rng = np.random.RandomState(0)
    y = np.arange(60) % 3
    logits = 4.0 * (y[:, None] == np.arange(3)) + 0.1 * rng.normal(size=(60, 3))
    assert not offsets.best_offset(logits, y, y[:, None] == np.arange(3), np.min).any()


def test_intercepts_are_judged_on_rows_that_did_not_place_them(monkeypatch):
    y = np.repeat([0, 1, 2], [10, 11, 14])
    logits = np.arange(35.0)[:, None] * [1.0, 0.0, 0.0]  # which say what row they are of
    placed, judged = [], []

    def offset(logits, y):
        placed.append((logits[:, 0].astype(int), y))
        return np.full(3, 100.0 * len(placed))

    def score(logits, *args):
        judged.append(logits.copy())
        return len(judged)  # the first, of what was moved, is the worse: it stays as it is

    monkeypatch.setattr(offsets, "_balancing_offset", offset)
    monkeypatch.setattr(offsets, "score_of_one", score)
    assert not offsets.best_offset(logits, y, y[:, None] == np.arange(3), np.min).any()
    (first, of_first), (second, of_second) = placed
    assert sorted([*first, *second]) == list(range(35))
    np.testing.assert_array_less(abs(np.bincount(of_first) - np.bincount(of_second)), 2)
    moved = logits - judged[0]
    assert (moved[first] == 200).all()
    assert (moved[second] == 100).all()


def test_cells_without_samples_and_heads_without_weights_are_no_numbers_to_divide_by():
    y = np.array([0, 0, 0, 1, 1, 1])
    logits = np.linspace(-1, 1, 12).reshape(2, 6, 1)
    cells = np.column_stack([y == 0, y == 1, np.zeros(6, dtype=bool)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at = candidates.scores_at(logits, y, cells, np.zeros(2), "worst_group")
        assert np.isfinite(at).all()
        assert np.isnan(
            candidates.scores_at(logits, y, cells[:, 2:], np.zeros(2), "worst_group")
        ).all()
        zero = candidates.normalized(np.array([[[0.0, 0.0, 3.0]]]))
        assert zero.tolist() == [[[0, 0, 3]]]
        assert offsets.calibrated_scale(np.ones((6, 1)), y) == 1
