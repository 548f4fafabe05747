"""HSFMClassifier: the published procedure, inputs, errors, repeatability, persistence."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from oracle import autograd_hsfm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, ValidationSet, paper_settings
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.metrics import worst_group_accuracy_score

QUICK = {
    "epochs": 4,
    "KH": 3,
    "T": 4,
    "support_per_class": 5,
    "Khard": 10,
    "selection_fraction": None,
    "place_threshold": False,
    "random_state": 0,
}

NOT_FOR_THE_ORACLE = ("support_per_class", "selection_fraction", "place_threshold")


def fit(data, groups=False, **params):
    known = {"groups_val": data.groups_val} if groups else {}
    clf = HSFMClassifier(**{**QUICK, **params})
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, **known)


def test_it_closes_the_gap_that_erm_leaves():
    for seed in range(3):
        digits = load_digit_dominoes(random_state=seed)
        clf = HSFMClassifier(random_state=seed)
        clf.fit(digits.X_train, digits.y_train, digits.X_val, digits.y_val)
        erm = LogisticRegression(C=0.01).fit(digits.X_train, digits.y_train)
        worst = [
            worst_group_accuracy_score(digits.y_test, m.predict(digits.X_test), digits.groups_test)
            for m in (erm, clf)
        ]
        assert worst[1] > worst[0] + 0.3


def off_centre(data):
    """Return a head that calls all rows the first class: the fitted weights, far from zero."""
    erm = LogisticRegression().fit(data.X_train, data.y_train)
    return erm.coef_, erm.intercept_ - 20


@pytest.mark.parametrize("groups", [False, True])
def test_the_threshold_is_placed_by_the_rows_that_choose(data, groups):
    options = {"init_head": off_centre(data), "standardize": False, "selection_fraction": 0.5}
    options |= {"epochs": 1, "outer_lr": 1e-3}
    left = fit(data, groups, **options)
    placed = fit(data, groups, **options, place_threshold=True)
    assert np.array_equal(placed.coef_, left.coef_)  # the intercept alone moves
    recalls = [
        [np.mean(m.predict(data.X_test[data.y_test == c]) == c) for c in (0, 1)]
        for m in (left, placed)
    ]
    assert min(recalls[0]) == 0
    assert min(recalls[1]) > 0.5
    scores = [m.history_["score"][1] for m in (left, placed)]
    assert scores[1] > scores[0]


def test_few_rows_and_more_classes_place_no_threshold(data):
    few = np.r_[np.flatnonzero(data.y_val == 0)[:9], np.flatnonzero(data.y_val == 1)]
    three = make_spurious_features(n_train=200, n_val=100, n_classes=3, random_state=0)
    for rows, source in ((few, data), (slice(None), three)):
        arrays = source.X_train, source.y_train, source.X_val[rows], source.y_val[rows]
        fitted = [
            HSFMClassifier(**{**QUICK, "place_threshold": p}).fit(*arrays) for p in (False, True)
        ]
        assert np.array_equal(fitted[0].intercept_, fitted[1].intercept_)


@pytest.mark.parametrize("model", [HSFMClassifier(), HSFMClassifierCV(n_repeats=1)])
def test_validation_rows_in_a_memory_map_are_streamed(model, data, tmp_path, monkeypatch):
    model.set_params(epochs=2, dtype="float64", random_state=0)
    held = np.memmap(tmp_path / "rows", dtype=data.X_val.dtype, mode="w+", shape=data.X_val.shape)
    held[:] = data.X_val
    in_memory = clone(model).fit(data.X_train, data.y_train, data.X_val, data.y_val)
    monkeypatch.setattr("sklearn_hsfm._core.rows._RESIDENT_BYTES", 1)
    monkeypatch.setattr("sklearn_hsfm._choosing.race._ROWS_AT_ONCE", 7)
    monkeypatch.setattr("sklearn_hsfm._choosing.candidates.LOGITS_AT_ONCE", 1)
    monkeypatch.setattr("sklearn_hsfm._core.solve._MINED_AT_ONCE", 1)
    streamed = clone(model).fit(data.X_train, data.y_train, held, data.y_val)
    np.testing.assert_allclose(streamed.coef_, in_memory.coef_, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_paper_settings_give_the_published_procedure(n_classes):
    data = make_spurious_features(
        n_train=300, n_val=200, n_features=24, n_classes=n_classes, random_state=1
    )
    # Features and a head of the size that pooled features have. On saturated rows Adam
    # divides rounding errors by rounding errors, and no two float64 programs agree.
    X, X_val = 0.2 * data.X_train, 0.2 * data.X_val
    rng = np.random.RandomState(0)
    W, b = 0.1 * rng.normal(size=(n_classes, 24)), 0.1 * rng.normal(size=n_classes)
    published = {**paper_settings("waterbirds"), "epochs": 8}
    support = None
    for epoch in range(1, published["epochs"] + 1):
        clf = HSFMClassifier(
            **{**published, "epochs": epoch}, standardize=False, init_head=(W, b),
            selection="last", dtype="float64", device="cpu", random_state=3,
        )  # fmt: skip
        clf.fit(X, data.y_train, X_val, data.y_val, groups_val=data.groups_val)
        if support is None:
            support = clf.support_indices_
            reference = autograd_hsfm(
                *map(torch.tensor, (X[support], data.y_train[support], W, b, X_val, data.y_val)),
                **{k: v for k, v in published.items() if k not in NOT_FOR_THE_ORACLE},
            )
        assert np.array_equal(clf.support_indices_, support)
        W_ref, b_ref, H_ref = (t.numpy() for t in reference[epoch - 1])
        if n_classes == 2:
            W_ref, b_ref = W_ref[1:] - W_ref[:1], b_ref[1:] - b_ref[:1]
        np.testing.assert_allclose(clf.coef_, W_ref, rtol=0, atol=1e-9)
        np.testing.assert_allclose(clf.intercept_, b_ref, rtol=0, atol=1e-9)
        # Edits of size 1 a step take H to a hundred times its start.
        np.testing.assert_allclose(clf.support_, H_ref, rtol=1e-9, atol=1e-9)


def test_standardizing_is_the_same_fit_on_scaled_features(data):
    scaler = StandardScaler().fit(data.X_train)
    inside = fit(data, dtype="float64")
    head = LogisticRegression(C=0.01).fit(scaler.transform(data.X_train), data.y_train)
    outside = HSFMClassifier(**QUICK, standardize=False, init_head=head, dtype="float64")
    outside.fit(
        scaler.transform(data.X_train), data.y_train, scaler.transform(data.X_val), data.y_val
    )
    np.testing.assert_allclose(
        inside.decision_function(data.X_test),
        outside.decision_function(scaler.transform(data.X_test)),
        atol=1e-8,
    )
    np.testing.assert_allclose(scaler.transform(inside.support_), outside.support_, atol=1e-8)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_scale_of_the_features_does_not_matter(data, factor):
    one, other = (
        HSFMClassifier(**QUICK, dtype="float64").fit(
            f * data.X_train, data.y_train, f * data.X_val, data.y_val
        )
        for f in (1.0, factor)
    )
    np.testing.assert_allclose(
        one.decision_function(data.X_test), other.decision_function(factor * data.X_test), atol=1e-6
    )


def test_fitted_attributes(data):
    clf = fit(data, groups=True)
    assert clf.coef_.shape == (1, 32)
    assert clf.init_coef_.shape == (1, 32)
    assert clf.intercept_.shape == (1,)
    assert clf.support_.shape == clf.support_init_.shape == (10, 32)
    assert np.array_equal(clf.support_init_, data.X_train[clf.support_indices_])
    assert np.array_equal(clf.support_y_, data.y_train[clf.support_indices_])
    assert clf.hard_indices_.shape == (4, 20)
    assert np.array_equal(np.bincount(data.y_val[clf.hard_indices_[0]]), [10, 10])
    assert clf.n_iter_ == 4
    assert 1 <= clf.best_epoch_ <= 4
    assert clf.selection_ == "worst_group"
    assert {len(v) for v in clf.history_.values()} == {5}
    assert all(isinstance(v, np.ndarray) for v in clf.history_.values())
    assert clf.history_["score"][1:].max() == clf.history_["score"][clf.best_epoch_]
    assert np.array_equal(clf.history_["score"], clf.history_["worst_group"])
    assert np.isnan(clf.history_["outer_loss"][0])
    assert not np.allclose(clf.support_, clf.support_init_)


def test_the_kept_epoch_is_the_one_that_the_history_scored(data):
    clf = fit(data, groups=True, epochs=8)
    worst = worst_group_accuracy_score(data.y_val, clf.predict(data.X_val), data.groups_val)
    assert worst == clf.history_["worst_group"][clf.best_epoch_]


def test_hard_rows_are_the_hardest_under_the_initial_head(data):
    clf = fit(data, epochs=1, Khard=5)
    logits = data.X_val @ clf.init_coef_[0] + clf.init_intercept_
    losses = np.logaddexp(0, np.where(data.y_val == 1, -logits, logits))
    for c in (0, 1):
        rows = np.flatnonzero(data.y_val == c)
        hardest = rows[np.argsort(losses[rows])[-5:]]
        assert set(hardest) <= set(clf.hard_indices_[0])


def test_string_labels_frames_and_names(data):
    names = [f"f{i}" for i in range(32)]
    X, X_val, X_test = (
        pd.DataFrame(a, columns=names) for a in (data.X_train, data.X_val, data.X_test)
    )
    y, y_val = (np.array(["land", "water"])[a] for a in (data.y_train, data.y_val))
    clf = HSFMClassifier(**QUICK).fit(X, pd.Series(y), X_val, pd.Series(y_val))
    expected = fit(data).predict(data.X_test)
    assert np.array_equal(clf.predict(X_test), np.array(["land", "water"])[expected])
    assert list(clf.feature_names_in_) == names
    with pytest.raises(ValueError, match="feature names should match"):
        HSFMClassifier(**QUICK).fit(X, y, X_val.rename(columns={"f0": "g"}), y_val)


def test_float32_stays_float32_and_agrees(data):
    wide = fit(data)
    X, X_val = data.X_train.astype(np.float32), data.X_val.astype(np.float32)
    narrow = HSFMClassifier(**QUICK).fit(X, data.y_train, X_val, data.y_val)
    assert wide.coef_.dtype == np.float64
    assert narrow.coef_.dtype == narrow.support_.dtype == np.float32
    np.testing.assert_allclose(narrow.coef_, wide.coef_, atol=1e-3)


def test_read_only_memory_maps(data, tmp_path):
    paths = {k: tmp_path / f"{k}.npy" for k in ("X_train", "y_train", "X_val", "y_val")}
    for name, path in paths.items():
        np.save(path, data[name])
    maps = [np.load(p, mmap_mode="r") for p in paths.values()]
    assert not maps[0].flags.writeable
    assert np.array_equal(HSFMClassifier(**QUICK).fit(*maps).coef_, fit(data).coef_)


def test_bitwise_repeat_and_global_generators_untouched(data):
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, second = fit(data), fit(data)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(first.coef_, second.coef_)
    assert np.array_equal(first.support_, second.support_)
    assert not np.array_equal(first.support_indices_, fit(data, random_state=1).support_indices_)


@pytest.mark.parametrize("dump", ["pickle", "joblib", "skops"])
def test_persistence(data, dump, tmp_path):
    clf = fit(data, groups=True)
    if dump == "pickle":
        again = pickle.loads(pickle.dumps(clf))
    elif dump == "joblib":
        joblib.dump(clf, tmp_path / "clf.joblib")
        again = joblib.load(tmp_path / "clf.joblib")
    else:
        blob = skops.io.dumps(clf)
        unknown = skops.io.get_untrusted_types(data=blob)
        assert unknown == ["sklearn_hsfm._classifier.HSFMClassifier"]
        again = skops.io.loads(blob, trusted=unknown)
    assert np.array_equal(again.predict_proba(data.X_test), clf.predict_proba(data.X_test))
    assert np.array_equal(again.history_["score"], clf.history_["score"])


def test_fitted_state_is_arrays_and_plain_values(data):
    for name, value in vars(fit(data, groups=True)).items():
        if name.endswith("_"):
            assert isinstance(value, np.ndarray | int | str | dict), name


def test_clone_keeps_parameters_and_drops_the_fit(data):
    clf = fit(data, init_head=(np.ones((2, 32)), np.zeros(2)))
    copy = clone(clf)
    assert not hasattr(copy, "coef_")
    assert copy.get_params().keys() == clf.get_params().keys()
    with pytest.raises(NotFittedError):
        copy.predict(data.X_test)


# --- the initial head


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_fitted_head_is_taken_as_it_is(data, standardize, frozen):
    head = LogisticRegression().fit(data.X_train, data.y_train)
    given = FrozenEstimator(head) if frozen else head
    clf = fit(data, init_head=given, standardize=standardize)
    np.testing.assert_allclose(clf.init_coef_, head.coef_, atol=1e-10)
    np.testing.assert_allclose(clf.init_intercept_, head.intercept_, atol=1e-10)


def test_an_unfitted_head_is_fitted_and_left_unfitted(data):
    head = LogisticRegression(C=0.1)
    clf = fit(data, init_head=head)
    assert not hasattr(head, "coef_")
    expected = LogisticRegression(C=0.1).fit(data.X_train, data.y_train)
    np.testing.assert_allclose(clf.init_coef_, expected.coef_, atol=1e-10)


def test_the_head_of_a_network_is_one_row_a_class(data):
    rng = np.random.RandomState(0)
    W, b = rng.normal(size=(2, 32)), rng.normal(size=2)
    clf = fit(data, init_head=(W, b))
    np.testing.assert_allclose(clf.init_coef_, W[1:] - W[:1], atol=1e-10)
    np.testing.assert_allclose(clf.init_intercept_, b[1:] - b[:1], atol=1e-10)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((np.ones((2, 31)), np.zeros(2)), r"coef of shape \(2, 31\); X and y want \(2, 32\)"),
        ((np.ones((3, 32)), np.zeros(3)), r"coef of shape \(3, 32\)"),
        ((np.ones((2, 32)), np.zeros(3)), r"intercept of shape \(3,\)"),
        ((np.ones((2, 32)),), "has 1 elements"),
        ((np.full((2, 32), np.nan), np.zeros(2)), "NaN or infinity"),
        (SVC(kernel="rbf"), "no coef_ and classes_ after fit"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(data, head, message):
    with pytest.raises((ValueError, AttributeError), match=message):
        fit(data, init_head=head)


def test_a_head_of_other_classes_is_refused(data):
    head = LogisticRegression().fit(data.X_train, data.y_train + 1)
    with pytest.raises(ValueError, match=r"fitted on the classes \[1, 2\], but y has \[0, 1\]"):
        fit(data, init_head=head)


# --- classes


def test_many_classes_of_unequal_and_tiny_size():
    rng = np.random.RandomState(0)
    sizes, sizes_val = [40, 9, 3, 2, 1], [20, 6, 1, 2, 3]
    y, y_val = np.repeat(range(5), sizes), np.repeat(range(5), sizes_val)
    centres = 4 * rng.normal(size=(5, 12))
    X, X_val = (centres[t] + rng.normal(size=(len(t), 12)) for t in (y, y_val))
    clf = HSFMClassifier(support_per_class=5, random_state=0).fit(X, y, X_val, y_val)
    assert np.array_equal(np.bincount(clf.support_y_), [5] * 5)  # balanced all the same
    rare = clf.support_indices_[clf.support_y_ == 3]
    assert set(rare) == set(np.flatnonzero(y == 3))
    assert clf.coef_.shape == (5, 12)
    np.testing.assert_allclose(clf.predict_proba(X_val).sum(1), 1)
    assert clf.score(X_val, y_val) > 0.9


def test_rows_are_held_out_when_there_is_no_validation_set(data):
    clf = HSFMClassifier(**QUICK, validation_fraction=0.25).fit(data.X_train, data.y_train)
    held = np.unique(clf.hard_indices_)
    assert not set(held) & set(clf.support_indices_)
    assert held.max() < 300


# --- bad input, each with what came, what was wanted, what to do


@pytest.mark.parametrize("name", ["support_per_class", "T", "KH", "Khard", "epochs"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_counts_are_positive_integers(data, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of HSFMClassifier must be"):
        fit(data, **{name: value})


@pytest.mark.parametrize("name", ["inner_lr", "outer_lr", "clip_norm"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_rates_are_positive_and_finite(data, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of HSFMClassifier must be"):
        fit(data, **{name: value})


@pytest.mark.parametrize("name", ["selection_fraction", "validation_fraction"])
@pytest.mark.parametrize("value", [0.0, 1.0, 1.5, -0.5, np.nan])
def test_fractions_leave_rows_on_both_sides(data, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of HSFMClassifier must be"):
        fit(data, **{name: value})


def test_a_device_that_is_not_here_is_refused(data):
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=r"cannot be used here.*device='auto'"):
        fit(data, device=absent)
    with pytest.raises(ValueError, match="device='nonsense' cannot be used here"):
        fit(data, device="nonsense")


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(data):
    cpu, gpu = (fit(data, device=d, dtype="float64") for d in ("cpu", "cuda"))
    np.testing.assert_allclose(gpu.coef_, cpu.coef_, atol=1e-8)
    assert np.array_equal(gpu.hard_indices_, cpu.hard_indices_)


def test_one_class_is_refused(data):
    with pytest.raises(ValueError, match=r"y has one class, \[0\]"):
        HSFMClassifier(**QUICK).fit(data.X_train, np.zeros(300, int), data.X_val, data.y_val)


def test_rates_that_overflow_warn_and_leave_the_initial_head(data):
    with pytest.warns(ConvergenceWarning, match="stopped being finite in epoch 1 of 4"):
        clf = fit(data, inner_lr=1e38, outer_lr=1e38, clip_norm=None)
    assert clf.best_epoch_ == clf.n_iter_ == 0
    np.testing.assert_allclose(clf.coef_, clf.init_coef_, rtol=1e-5)
    assert {len(v) for v in clf.history_.values()} == {1}


def test_verbose_prints_every_so_many_epochs(data, capsys):
    fit(data, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 0", "epoch 2", "epoch 4"]


def test_validation_set_object_is_the_same_fit(data):
    held = ValidationSet(data.X_val, data.y_val, data.groups_val)
    clf = HSFMClassifier(**QUICK).fit(data.X_train, data.y_train, held)
    assert np.array_equal(clf.coef_, fit(data, groups=True).coef_)


@pytest.mark.real_data
def test_as_published_on_real_features_barely_helps_the_worst_group(real_features):
    birds = real_features("waterbirds_efflite2")
    clf = HSFMClassifier(
        **{**paper_settings("waterbirds"), "epochs": 3}, standardize=False, random_state=0
    )
    clf.fit(birds.X_train, birds.y_train, birds.X_val, birds.y_val, groups_val=birds.groups_val)
    worst = [
        worst_group_accuracy_score(birds.y_test, (z > 0).astype(int), birds.groups_test)
        for z in (
            clf.decision_function(birds.X_test),
            birds.X_test @ clf.init_coef_[0] + clf.init_intercept_,
        )
    ]
    assert abs(worst[0] - worst[1]) < 0.1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_first_losses_are_those_of_the_initial_head(n_classes):
    rng = np.random.RandomState(0)
    y = np.arange(120) % n_classes
    X = rng.normal(size=(120, 5)) + y[:, None]
    clf = HSFMClassifier(epochs=1, random_state=0, dtype="float64").fit(X, y)
    start = LogisticRegression()
    start.classes_ = clf.classes_
    start.coef_, start.intercept_ = clf.init_coef_, clf.init_intercept_
    expected = log_loss(clf.support_y_, start.predict_proba(clf.support_init_))
    assert clf.history_["inner_loss"][0] == pytest.approx(expected)
