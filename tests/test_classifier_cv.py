"""HSFMClassifierCV: honest folds, settings, averaging, inputs."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest
import skops.io

from sklearn_hsfm import (
    HSFMClassifier,
    HSFMClassifierCV,
    ValidationSet,
    selection,
)
from sklearn_hsfm._choosing.candidates import normalized, out_of_fold
from sklearn_hsfm._choosing.folds import cross_fit_folds
from sklearn_hsfm._choosing.race import Race, trusted_rows
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.metrics import worst_group_accuracy, worst_group_accuracy_score

QUICK = {"epochs": 4, "KH": 2, "T": 3, "n_repeats": 1, "support_per_class": 5, "random_state": 0}


def fit(data, groups=False, **params):
    known = {"groups_val": data.groups_val} if groups else {}
    clf = HSFMClassifierCV(**{**QUICK, **params})
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, **known)


@pytest.mark.parametrize("groups", [True, False])
def test_it_repairs_digit_dominoes(groups):
    data = load_digit_dominoes(random_state=1)
    clf = fit(data, groups, epochs=20, KH=5, T=10, support_per_class="auto")
    worst = worst_group_accuracy_score(data.y_test, clf.predict(data.X_test), data.groups_test)
    assert worst > 0.8
    assert clf.scoring_ == ("worst_group" if groups else "worst_slice")
    assert abs(clf.best_score_ - worst) < 0.12  # judged on rows that were not mined


def test_results_have_the_form_of_grid_search(data):
    clf = fit(data, groups=True, cv=3, n_repeats=2)
    results = clf.cv_results_
    assert len(results["params"]) == 8  # two are regressions on group-balanced samples
    assert {len(v) for v in results.values()} == {8}
    assert [p["inner_lr"] is None for p in results["params"]] == [False] * 6 + [True] * 2
    assert results["n_epochs"].tolist() == [4] * 6 + [0] * 2
    for i, params in enumerate(results["params"]):
        assert all(results[f"param_{k}"][i] == v for k, v in params.items())
    splits = np.array([results[f"split{i}_test_score"] for i in range(6)])
    np.testing.assert_allclose(results["mean_test_score"], splits.mean(axis=0))
    np.testing.assert_allclose(results["std_test_score"], splits.std(axis=0))
    order = results["mean_test_score"][np.argsort(results["rank_test_score"], kind="stable")]
    assert (np.diff(order) <= 0).all()
    assert clf.n_splits_ == 6
    assert clf.best_params_.keys() == {"C", "inner_lr", "outer_lr", "epoch"}
    assert len(clf.heads_) == 6 * results["n_selected"].sum()


def test_split_scores_average_to_the_score_on_all_rows(data):
    clf = fit(data, scoring=selection.accuracy)  # of 18 candidates one is averaged: the best
    assert len(clf.heads_) == 2
    assert clf.cv_results_["mean_test_score"].max() == pytest.approx(clf.best_score_)
    for scoring in ("worst_class", "balanced"):  # two classes of 30 rows in either fold
        means = fit(data, scoring=scoring).cv_results_["mean_test_score"]
        assert ((means > 0.4) & (means <= 1)).all()


def test_the_head_is_the_mean_of_the_selected_heads(data):
    clf = fit(data)
    np.testing.assert_allclose(clf.heads_[..., :-1].mean(axis=0), clf.coef_)
    np.testing.assert_allclose(clf.heads_[..., -1].mean(axis=0), clf.intercept_)
    spread = clf.decision_spread(data.X_test)
    logits = data.X_test @ clf.heads_[:, 0, :-1].T + clf.heads_[:, 0, -1]
    np.testing.assert_allclose(spread, logits.std(axis=1))
    np.testing.assert_allclose(logits.mean(axis=1), clf.decision_function(data.X_test))


@pytest.mark.parametrize("factor", [0.05, 20.0])
def test_the_scale_of_the_features_does_not_matter(data, factor):
    one = fit(data, dtype="float64")
    other = HSFMClassifierCV(**QUICK, dtype="float64").fit(
        factor * data.X_train, data.y_train, factor * data.X_val, data.y_val
    )
    np.testing.assert_allclose(
        one.decision_function(data.X_test),
        other.decision_function(factor * data.X_test),
        atol=1e-6,
    )


def test_two_jobs_give_the_bits_of_one(data):
    first, second = fit(data), fit(data, n_jobs=2)
    assert np.array_equal(first.coef_, second.coef_)
    assert np.array_equal(first.heads_, second.heads_)


def test_mining_and_judging_never_share_a_row():
    y, groups = np.repeat([0, 1], [50, 31]), np.arange(81)[:, None] % 3 == np.arange(3)
    held = cross_fit_folds(y, groups, 3, 2, np.random.RandomState(0))
    assert held.shape == (6, 81)
    for repeat in (held[:3], held[3:]):
        assert (repeat.sum(axis=0) == 1).all()
        for c in (0, 1):
            for g in range(3):
                sizes = repeat[:, (y == c) & groups[:, g]].sum(axis=1)
                assert sizes.max() - sizes.min() <= 1
    assert not np.array_equal(held[:3], held[3:])


def test_a_small_validation_set_degrades_in_steps_that_it_tells():
    rng = np.random.RandomState(0)
    y = np.arange(70) % 2
    X = rng.normal(size=(70, 4)) + 4 * y[:, None] - 2  # easier than the validation samples

    def fit_on(n_second, **params):
        y_val = np.repeat([0, 1], [40, n_second])
        X_val = rng.normal(size=(len(y_val), 4)) + y_val[:, None] - 0.5
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clf = HSFMClassifierCV(**QUICK, **params).fit(X, y, X_val, y_val)
        said = [str(w.message) for w in caught if w.category is UserWarning]
        return clf, [m for m in said if not m.startswith("HSFMClassifierCV: ")]

    clf, said = fit_on(20)
    assert (clf.scoring_, said) == ("worst_slice", [])
    clf, said = fit_on(19)
    assert clf.scoring_ == "worst_class"
    assert "19 validation samples" in said[0]
    clf, said = fit_on(9)
    assert clf.scoring_ == "balanced"
    clf, said = fit_on(3, cv=5)
    assert clf.n_splits_ == 3
    assert "fewer than cv=5: cv=3 is used" in said[1]
    clf, said = fit_on(1)
    assert clf.n_splits_ == 1
    assert "all samples both mine and judge" in said[1]


def test_initial_head_joins_the_grid(data):
    rng = np.random.RandomState(0)
    clf = fit(data, init_head=(rng.normal(size=(2, 32)), np.zeros(2)))
    assert {p["C"] for p in clf.cv_results_["params"]} == {None, 1e-3, 1e-2, 1e-1}


def test_a_grid_of_ones_own(data):
    grid = {"C": [0.1], "inner_lr": [1e-3], "outer_lr": [0.1, 0.3]}
    assert len(fit(data, param_grid=grid).cv_results_["params"]) == 2
    for wrong, message in (
        ({"C": [0.1]}, "must give"),
        ({**grid, "C": [None]}, "stands for init_head; give one"),
        ({**grid, "inner_lr": [-1.0]}, "inner_lr=-1.0; it must be positive"),
        ({**grid, "T": [2.5]}, "T=2.5; it must be an int"),
        ({**grid, "KH": [2]}, r"may give \['Khard', 'T'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(data, param_grid=wrong)


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("worst_class", "worst_class"),
        ("balanced", "balanced"),
        ("tail_loss", "tail_loss"),
        (selection.tail_loss, "tail_loss"),
        ("roc_auc", "'roc_auc'"),
        (worst_group_accuracy, "make_group_scorer(accuracy_score, min)"),
    ],
)
def test_judges(data, scoring, name):
    clf = fit(data, groups=scoring is worst_group_accuracy, scoring=scoring)
    assert clf.scoring_ == name
    assert clf.score(data.X_test, data.y_test) > 0.6  # ERM: 0.56


def test_a_scorer_judges_out_of_fold_predictions(data):
    by_name = fit(data, scoring="accuracy")
    by_rule = fit(data, scoring=selection.accuracy)
    assert by_name.best_score_ == by_rule.best_score_
    assert np.array_equal(by_name.coef_, by_rule.coef_)
    with pytest.raises(ValueError, match="'worst'"):
        fit(data, scoring="worst")


def test_worst_group_needs_groups(data):
    with pytest.raises(ValueError, match="fit got no groups_val"):
        fit(data, scoring="worst_group")


def test_many_classes_lose_nothing():
    data = make_spurious_features(
        n_train=600, n_val=300, n_classes=4, correlation=0.25, random_state=0
    )
    clf = fit(data, support_per_class="auto")
    assert clf.coef_.shape == (4, 32)
    erm = HSFMClassifier(epochs=1, random_state=0).fit(data.X_train, data.y_train)
    first = data.X_test @ erm.init_coef_.T + erm.init_intercept_
    base = np.mean(first.argmax(1) == data.y_test)
    assert clf.score(data.X_test, data.y_test) > base - 0.02


def test_validation_set_object(data):
    held = ValidationSet(data.X_val, data.y_val, data.groups_val)
    clf = HSFMClassifierCV(**QUICK).fit(data.X_train, data.y_train, held)
    assert np.array_equal(clf.coef_, fit(data, groups=True).coef_)


def test_persistence(data):
    clf = fit(data, groups=True)
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(again.coef_, clf.coef_)
    blob = skops.io.dumps(clf)
    unknown = skops.io.get_untrusted_types(data=blob)
    assert unknown == ["sklearn_hsfm._classifier_cv.HSFMClassifierCV"]
    again = skops.io.loads(blob, trusted=unknown)
    assert np.array_equal(again.predict(data.X_test), clf.predict(data.X_test))


def test_a_bar_counts_epochs_and_shows_in_terminals_only(data, capsys):
    fit(data)
    assert capsys.readouterr().err == ""
    fit(data, progress=True)
    assert "48/48" in capsys.readouterr().err  # 6 settings on 2 folds, 4 epochs each


MUCH = "sklearn_hsfm._choosing.race._MUCH_WORK"


def test_where_work_is_much_settings_that_fall_behind_drop_out(monkeypatch):
    monkeypatch.setattr(MUCH, 10**9 // 2)  # all take more, a few in the final less
    digits = load_digit_dominoes(random_state=0)
    clf = HSFMClassifierCV(epochs=20, random_state=0)
    clf.fit(digits.X_train, digits.y_train, digits.X_val, digits.y_val)
    results = clf.cv_results_
    ran = results["n_epochs"]
    assert set(ran) <= {4, 6, 10, 20}
    assert ran.min() < ran.max() == 20
    scores = np.array([results[f"split{i}_test_score"] for i in range(6)])
    assert np.isfinite(scores[:2]).all()
    in_final = np.isfinite(scores[2:]).all(axis=0)
    assert 0 < in_final.sum() < 6
    assert np.isnan(scores[2:, ~in_final]).all()
    assert (results["n_selected"][~in_final] == 0).all()
    assert len(clf.heads_) == 6 * results["n_selected"].sum()
    pred = clf.predict(digits.X_test)
    assert worst_group_accuracy_score(digits.y_test, pred, digits.groups_test) > 0.8


def test_a_heat_that_edits_do_not_lead_is_the_end(data, monkeypatch):
    monkeypatch.setattr(MUCH, 0)
    rates = {"C": [0.01], "inner_lr": [1e-12], "outer_lr": [1e-12]}  # edits do nothing
    clf = fit(data, param_grid=rates, n_repeats=3, epochs=20)
    assert clf.cv_results_["n_epochs"] == [4]
    assert clf.best_params_["epoch"] == 0


def test_the_race_is_the_same_in_two_jobs(monkeypatch):
    monkeypatch.setattr(MUCH, 10**8)
    digits = load_digit_dominoes(random_state=0)
    rows = digits.X_train, digits.y_train, digits.X_val, digits.y_val
    first, second = (
        HSFMClassifierCV(epochs=8, random_state=0, n_jobs=n).fit(*rows) for n in (None, 2)
    )
    assert np.array_equal(first.heads_, second.heads_)


def test_settings_of_different_steps_and_hard_rows_are_solved_together(data):
    rates = {"C": [0.01], "inner_lr": [0.003], "outer_lr": [0.3]}
    common = {"scoring": "tail_loss", "dtype": "float64"}  # scores each setting by itself
    clf = fit(data, param_grid={**rates, "T": [2, 5], "Khard": [3, 9]}, **common)
    scores = clf.cv_results_["mean_test_score"]
    assert len(set(scores)) > 1
    for params, score in zip(clf.cv_results_["params"], scores, strict=True):
        alone = fit(data, param_grid=rates, T=params["T"], Khard=params["Khard"], **common)
        np.testing.assert_allclose(alone.cv_results_["mean_test_score"], score, atol=1e-9)


def test_how_fits_are_batched_changes_nothing(data, monkeypatch):
    at_once = fit(data, dtype="float64")
    monkeypatch.setattr("sklearn_hsfm._core.problem._CPU_BYTES", 1)
    one_by_one = fit(data, dtype="float64")
    np.testing.assert_allclose(at_once.coef_, one_by_one.coef_, rtol=0, atol=1e-9)


@pytest.mark.parametrize("known", ["validation", "groups", "nothing"])
def test_the_head_without_a_repair_is_kept_and_reads_as_the_accuracies_before(data, known):
    given = {
        "validation": {"X_val": data.X_val, "y_val": data.y_val, "groups_val": data.groups_val},
        "groups": {"groups": data.groups_train},
        "nothing": {},
    }[known]
    clf = HSFMClassifierCV(epochs=4, n_repeats=1, random_state=0)
    clf.fit(data.X_train, data.y_train, **given)
    assert clf.init_coef_.shape == clf.coef_.shape
    assert clf.init_coef_.dtype == clf.coef_.dtype
    X, y = (data.X_val, data.y_val) if known == "validation" else (data.X_train, data.y_train)
    said = (X @ clf.init_coef_[0] + clf.init_intercept_[0] > 0).astype(int)
    before = np.average(clf.cell_scores_["before"], weights=clf.cell_scores_["n_samples"])
    assert (said == y).mean() == pytest.approx(before, abs=0.06)


def test_rows_of_doubtful_labels_are_told_and_judge_nothing():
    digits = load_digit_dominoes(random_state=0)
    wrong = np.random.RandomState(0).uniform(size=len(digits.y_val)) < 0.1
    y_val = np.where(wrong, 1 - digits.y_val, digits.y_val)
    clf = HSFMClassifierCV(n_repeats=1, epochs=10, random_state=0)
    clf.fit(digits.X_train, digits.y_train, digits.X_val, y_val)
    assert clf.doubtful_.sum() >= 5
    assert wrong[clf.doubtful_].mean() > 3 * wrong.mean()
    assert not clf.slices_[clf.doubtful_].any()
    assert clf.slices_[~clf.doubtful_].any(axis=1).all()


def test_no_row_judges_a_head_that_mined_it_and_later_repeats_mine_no_doubtful_row(monkeypatch):
    digits = load_digit_dominoes(random_state=0)
    wrong = np.random.RandomState(0).uniform(size=len(digits.y_val)) < 0.1
    y_val = np.where(wrong, 1 - digits.y_val, digits.y_val)
    seen, judged = [], []
    legs, entered = Race._leg, Race._entered

    def leg(race, racing, splits, *args):
        seen.append((race.mined[splits], race.held_out[splits]))
        return legs(race, racing, splits, *args)

    def enter(race, racing, epochs, heads, splits):
        judged.append(race.held_out[splits])
        return entered(race, racing, epochs, heads, splits)

    monkeypatch.setattr(Race, "_leg", leg)
    monkeypatch.setattr(Race, "_entered", enter)
    clf = HSFMClassifierCV(n_repeats=2, epochs=10, random_state=0)
    clf.fit(digits.X_train, digits.y_train, digits.X_val, y_val)
    (first, held), (second, held_again) = seen
    assert np.array_equal(first, ~held)
    assert not (second & held_again).any()
    assert np.array_equal(np.concatenate(judged), np.concatenate([held, held_again]))
    left_out = ~second & ~held_again
    assert left_out.any(axis=0).sum() >= 5
    assert wrong[left_out.any(axis=0)].mean() > 3 * wrong.mean()


def test_a_class_keeps_its_rows_where_all_are_doubtful():
    mined = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 1]], dtype=bool)
    y_val, doubtful = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0, 0], dtype=bool)
    trusted = trusted_rows(mined, doubtful, y_val)
    assert np.array_equal(trusted, [[1, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 1]])


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_interrupt_ends_at_once_and_leaves_no_process(n_jobs):
    code = f"""
        import signal
        from sklearn_hsfm import HSFMClassifierCV
        from sklearn_hsfm.datasets import make_spurious_features
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
        data = make_spurious_features(n_train=400, n_val=300, random_state=0)
        clf = HSFMClassifierCV(epochs=200_000, n_jobs={n_jobs}, progress=True)
        clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as fitting:
        shown = b""
        while b"epochs" not in shown:  # the bar is there, so the fit has begun
            shown += os.read(fitting.stderr.fileno(), 1024)
        end = time.monotonic() + 60
        while n_jobs and len(alive(fitting.pid)) < 1 + n_jobs and time.monotonic() < end:
            time.sleep(0.1)  # until there are workers
        fitting.send_signal(signal.SIGINT)
        end = time.monotonic() + 60
        while alive(fitting.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert not alive(fitting.pid)
        assert b"KeyboardInterrupt" in fitting.stderr.read()


def alive(session):
    """Return the processes of a session that have not ended."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, _, _, of = file.read().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == session and state != "Z":
            found.append(int(pid))
    return found


def test_the_final_judges_by_all_splits_alike(data, monkeypatch):
    finals, run = [], Race.run

    def kept(race, *args):
        heat, final = run(race, *args)
        finals.append((race, final))
        return heat, final

    monkeypatch.setattr(Race, "run", kept)
    fit(data, n_repeats=3, scoring="worst_slice")
    ((race, final),) = finals
    heads, Z = final.candidates.heads, race.scaler.transform(race.X_val)
    assert heads.shape[1] == 6
    logits = out_of_fold(normalized(heads), Z, race.held_out)
    np.testing.assert_allclose(final.candidates.logits, logits, rtol=0, atol=1e-4)


def test_constant_features_and_a_class_of_one_row_end_in_finite_numbers():
    y = np.arange(40) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        for labels in (y, (y == 0).astype(int), np.r_[np.zeros(50, int), np.ones(10, int)]):
            clf = HSFMClassifierCV(**QUICK).fit(np.ones((len(labels), 3)), labels)
            assert np.isfinite(clf.predict_proba(np.ones((2, 3)))).all()
        rng = np.random.RandomState(0)
        X, X_val = rng.normal(size=(40, 3)) + y[:, None], rng.normal(size=(21, 3))
        y_val = np.r_[np.arange(20) % 2, 2]
        clf = HSFMClassifierCV(**QUICK, scoring="worst_slice").fit(X, y, X_val, y_val)
        assert np.isfinite(clf.best_score_)
        assert np.isfinite(clf.cv_results_["mean_test_score"]).all()


def test_rows_may_be_in_no_group(data):
    groups = np.zeros((len(data.y_val), 2), dtype=bool)
    groups[:2, 0] = groups[2:4, 1] = True
    clf = HSFMClassifierCV(**QUICK)
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups_val=groups)
    assert np.isfinite(clf.best_score_)
