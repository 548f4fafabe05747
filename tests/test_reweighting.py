"""Repair where validation samples show no more than training samples, and by known groups."""

import warnings

import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, _reweighting
from sklearn_hsfm._linear_head import fitted_scaler
from sklearn_hsfm._validation_set import Split
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.metrics import worst_group_accuracy, worst_group_accuracy_score

SHORT = {"n_repeats": 1, "epochs": 4, "KH": 2, "T": 3, "random_state": 0}


def worst(clf, data):
    return worst_group_accuracy_score(data.y_test, clf.predict(data.X_test), data.groups_test)


def class_balanced(data):
    scaler = StandardScaler().fit(data.X_train)
    erm = LogisticRegression(C=0.01, class_weight="balanced").fit(
        scaler.transform(data.X_train), data.y_train
    )
    pred = erm.predict(scaler.transform(data.X_test))
    return worst_group_accuracy_score(data.y_test, pred, data.groups_test)


def like_training(data, n):
    """Return validation samples that are drawn as the training samples are, without groups."""
    parts = np.arange(len(data.y_train)) < n
    rest = data.X_train[~parts], data.y_train[~parts]
    return *rest, data.X_train[parts], data.y_train[parts]


@pytest.fixture(scope="module")
def spurious():
    return make_spurious_features(n_train=1500, correlation=0.95, random_state=0)


@pytest.fixture(scope="module")
def harmless():
    return make_spurious_features(n_train=1500, correlation=0.5, random_state=0)


@pytest.mark.parametrize("n_val", [0, 400])
def test_training_samples_alone_repair_a_shortcut(spurious, n_val):
    X, y, X_val, y_val = like_training(spurious, n_val)
    rows = (X, y, X_val, y_val) if n_val else (X, y)
    clf = HSFMClassifierCV(**SHORT).fit(*rows)
    assert worst(clf, spurious) > class_balanced(spurious) + 0.1
    assert clf.verdict_ == "repaired"
    assert clf.finder_.found_
    assert len(clf.slices_) == 1500  # no sample is wasted
    assert clf.labels_used_ == ("y, validation labels" if n_val else "y")
    assert clf.scoring_ == "worst_cell"
    text = clf.summary()
    assert text.startswith("repaired. A second population")
    assert "class 1, hurt" in text
    scores = clf.cell_scores_
    assert scores["cell"].tolist() == [
        "class 0, helped", "class 0, hurt", "class 1, helped", "class 1, hurt",
    ]  # fmt: skip
    assert (scores["after"] > scores["before"])[[1, 3]].all()
    assert clf.best_score_ == scores["after"].min()
    low, high = clf.best_score_interval_
    assert low < clf.best_score_ < high
    assert clf.best_cell_ == scores["cell"][scores["after"].argmin()]


def test_where_nothing_is_found_the_head_is_class_balanced_and_the_user_is_told(harmless):
    with pytest.warns(UserWarning, match=r"no shortcut found\. No second population"):
        clf = HSFMClassifierCV(random_state=0).fit(harmless.X_train, harmless.y_train)
    assert clf.verdict_ == "no shortcut found"
    assert worst(clf, harmless) == pytest.approx(class_balanced(harmless), abs=0.01)
    assert clf.cell_scores_["cell"].tolist() == ["class 0", "class 1"]
    assert np.array_equal(clf.cell_scores_["before"], clf.cell_scores_["after"])
    assert clf.scoring_ == "worst_class"
    assert "no proof that there is none" in clf.summary()


def test_too_few_samples_are_told():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(30, 4)), np.arange(30) % 2
    with pytest.warns(UserWarning, match=r"too few samples to tell\. The classes have 15 to 15"):
        clf = HSFMClassifierCV(random_state=0).fit(X, y)
    assert clf.verdict_ == "too few samples to tell"
    assert clf.summary().count("class ") == 2


def test_validation_samples_in_which_the_shortcut_fails_are_mined(spurious):
    rows = spurious.X_train, spurious.y_train, spurious.X_val, spurious.y_val
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = HSFMClassifierCV(random_state=0).fit(*rows)
    assert clf.finder_ is None
    assert clf.scoring_ == "worst_slice"
    assert clf.cell_scores_["cell"][0] == "class 0, hurt"
    assert clf.cell_scores_["before"][0] < 0.6 < clf.cell_scores_["after"][0]


@pytest.mark.parametrize("correlation", [0.95, 0.8, 0.5])
def test_validation_samples_are_compared_with_training_samples(correlation):
    alike, different = [], []
    for seed in range(20):
        data = make_spurious_features(
            n_train=600, n_val=300, correlation=correlation, random_state=seed
        )
        scaler, rng = fitted_scaler(data.X_train), np.random.RandomState(seed)
        X, y, X_val, y_val = like_training(data, 200)
        none = np.arange(0)
        alike.append(
            _reweighting.validation_differs(
                Split(X, y, none, X_val, y_val, None, none), scaler, rng
            )
        )
        given = Split(data.X_train, data.y_train, none, data.X_val, data.y_val, None, none)
        different.append(_reweighting.validation_differs(given, scaler, rng))
    assert sum(alike) <= 2
    assert sum(different) == (20 if correlation > 0.5 else pytest.approx(0, abs=2))


def test_known_training_groups_are_balanced(spurious):
    rows = spurious.X_train, spurious.y_train
    clf = HSFMClassifierCV(random_state=0).fit(*rows, groups=spurious.groups_train)
    found = HSFMClassifierCV(random_state=0).fit(*rows)
    assert worst(clf, spurious) > max(0.8, worst(found, spurious) - 0.02)
    assert clf.labels_used_ == "y, training groups"
    assert clf.scoring_ == "worst_group"
    assert clf.finder_ is None
    assert abs(clf.best_score_ - worst(clf, spurious)) < 0.08


def test_known_validation_groups_are_balanced_as_well(spurious):
    rows = spurious.X_train, spurious.y_train, spurious.X_val, spurious.y_val
    clf = HSFMClassifierCV(**SHORT).fit(*rows, groups_val=spurious.groups_val)
    by_regression = [p["inner_lr"] is None for p in clf.cv_results_["params"]]
    assert sum(by_regression) == 2
    assert clf.cv_results_["n_selected"][by_regression].sum() > 0
    assert worst(clf, spurious) > 0.8
    assert clf.labels_used_ == "y, validation labels, validation groups"


def test_a_judge_needs_samples_to_judge(spurious):
    with pytest.raises(ValueError, match="scoring='worst_class' judges validation samples"):
        HSFMClassifierCV(scoring="worst_class").fit(spurious.X_train, spurious.y_train)


def test_groups_of_a_scorer_stay_with_the_scorer(spurious, routing):
    search = GridSearchCV(
        HSFMClassifierCV(random_state=0), {"cv": [2]}, scoring=worst_group_accuracy, cv=2
    )
    groups = {"groups": spurious.groups_train}
    search.fit(spurious.X_train, spurious.y_train, **groups)
    assert search.best_estimator_.labels_used_ == "y"
    asked = clone(search).set_params(
        estimator=HSFMClassifierCV(random_state=0).set_fit_request(groups=True)
    )
    asked.fit(spurious.X_train, spurious.y_train, **groups)
    assert asked.best_estimator_.labels_used_ == "y, training groups"


def test_weights_go_from_classes_to_cells():
    y = np.array([0] * 6 + [1] * 4)
    cells = np.zeros((10, 3), dtype=bool)
    cells[:3, 0] = cells[3, 1] = cells[6:, 2] = True  # two samples of class 0 are in neither
    classes, half, whole = (_reweighting.repair_weights(y, cells, s) for s in (0, 0.5, 1))
    np.testing.assert_allclose(classes, [1 / 6] * 6 + [1 / 4] * 4)
    np.testing.assert_allclose(whole, [1 / 6] * 3 + [1 / 2, 0, 0] + [1 / 4] * 4)
    np.testing.assert_allclose(half, (classes + whole) / 2)


def test_a_cell_that_spans_classes_is_one_in_each_of_them():
    y = np.array([0, 0, 0, 1, 1, 2])
    cells = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [0, 1], [0, 1]], dtype=bool)
    classes, whole = (_reweighting.repair_weights(y, cells, s) for s in (0, 1))
    np.testing.assert_allclose(classes, [1 / 3] * 3 + [1 / 2] * 2 + [1])
    np.testing.assert_allclose(whole, [1 / 4, 1 / 4, 1 / 2, 1 / 2, 1 / 2, 1])


def test_regressions_see_the_mined_samples_alone_as_many_of_each_group(spurious, monkeypatch):
    seen = []

    def fitted_head(Z, y, weight, C):
        seen.append((Z, y, C))
        return np.zeros((1, Z.shape[1] + 1))

    monkeypatch.setattr(_reweighting, "fitted_head", fitted_head)
    member = spurious.groups_val[:, None] == np.arange(4)
    mined = np.arange(300) % 2 == np.arange(2)[:, None]
    scaler = fitted_scaler(spurious.X_train)
    heads = _reweighting.balanced_regressions(
        spurious.X_val, spurious.y_val, member, mined, scaler, np.random.RandomState(0)
    )
    assert heads.shape == (2, 2, 1, 33)
    assert len(seen) == 2 * 2 * _reweighting.SUBSETS
    Z_val = scaler.transform(spurious.X_val)
    for number, (Z, _, _) in enumerate(seen):
        rows = np.array([np.flatnonzero((Z_val == z).all(axis=1))[0] for z in Z])
        assert mined[number // (2 * _reweighting.SUBSETS), rows].all()
        assert len(set(np.bincount(spurious.groups_val[rows]))) == 1


def test_many_samples_are_a_part_of_each_class(spurious, monkeypatch):
    monkeypatch.setattr(_reweighting, "AT_MOST_BYTES", spurious.X_train.nbytes // 3)
    X, y = spurious.X_train, spurious.y_train
    some, of = _reweighting.pooled(X, y, None, np.random.RandomState(0))
    assert np.bincount(of).tolist() == [250, 250]
    assert all((X[y == c] == x).all(axis=1).any() for x, c in zip(some[:20], of[:20], strict=True))
    monkeypatch.setattr(
        _reweighting, "AT_MOST_BYTES", X.nbytes
    )  # as many as there are: as they lie
    assert np.array_equal(_reweighting.pooled(X, y, None, np.random.RandomState(0))[0], X)
    monkeypatch.setattr(_reweighting, "AT_MOST_BYTES", int(X.nbytes / 1.25))
    assert len(_reweighting.pooled(X, y, None, np.random.RandomState(0))[1]) == 0.8 * len(y)


def test_a_classifier_without_validation_samples_says_what_that_means(spurious):
    with pytest.warns(UserWarning, match="HSFMClassifier got no X_val"):
        HSFMClassifier(epochs=1).fit(spurious.X_train, spurious.y_train)


def test_repairs_travel(spurious):
    clf = HSFMClassifierCV(random_state=0).fit(spurious.X_train, spurious.y_train)
    blob = skops.io.dumps(clf)
    unknown = skops.io.get_untrusted_types(data=blob)
    assert unknown == [
        "sklearn_hsfm._classifier_cv.HSFMClassifierCV",
        "sklearn_hsfm.discovery._finder.ShortcutFinder",
    ]
    back = skops.io.loads(blob, trusted=unknown)
    assert np.array_equal(back.predict(spurious.X_test), clf.predict(spurious.X_test))
    assert back.summary() == clf.summary()


def test_digit_dominoes_from_training_samples_alone():
    data = load_digit_dominoes(random_state=0)
    clf = HSFMClassifierCV(random_state=0).fit(data.X_train, data.y_train)
    assert worst(clf, data) > class_balanced(data) + 0.05


def test_all_groups_are_used_and_cells_are_named_after_them():
    data = load_digit_dominoes(random_state=0)
    rows = data.X_train, data.y_train, data.X_val, data.y_val
    both = {"groups": data.groups_train, "groups_val": data.groups_val}
    clf = HSFMClassifierCV(**SHORT).fit(*rows, **both)
    assert clf.labels_used_ == "y, validation labels, validation groups, training groups"
    assert sum(p["inner_lr"] is None for p in clf.cv_results_["params"]) == 4
    assert clf.best_cell_ in {f"group {name}" for name in np.unique(data.groups_val)}
    alone = HSFMClassifierCV(**SHORT).fit(*rows, groups=data.groups_train)
    assert alone.cell_scores_["cell"].tolist() == [
        f"group {name}" for name in np.unique(data.groups_train)
    ]
    assert "group y=0 lower=1" in alone.summary()
    for fitted in (clf, alone):
        assert worst(fitted, data) > class_balanced(data) + 0.1


def test_a_class_of_one_sample_leaves_nothing_out():
    X, y = np.random.RandomState(0).normal(size=(5, 3)), np.array([0, 0, 0, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        clf = HSFMClassifierCV(random_state=0).fit(X, y)
    assert clf.verdict_ == "too few samples to tell"
    assert np.isfinite(clf.predict_proba(X)).all()
    with pytest.raises(ValueError, match=r"A class of y has 1 sample\(s\), fewer than cv=2"):
        HSFMClassifierCV(random_state=0).fit(X, y, groups=[0, 1, 0, 1, 0])
