"""Pipeline, searches and metadata: X_val, y_val, groups_val and groups find their way."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier, ValidationSet
from sklearn_hsfm.metrics import (
    make_group_scorer,
    worst_class_accuracy,
    worst_group_accuracy,
    worst_group_accuracy_score,
)

QUICK = HSFMClassifier(epochs=2, KH=2, T=3, Khard=10, random_state=0)


def folds(data):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    return list(cv.split(data.X_train, data.groups_train))


def validation(data, n=None):
    return {
        "X_val": data.X_val[:n],
        "y_val": data.y_val[:n],
        "groups_val": data.groups_val[:n],
    }


@pytest.mark.usefixtures("routing")
def test_pipeline_transforms_x_val(data):
    pipe = Pipeline([("scale", StandardScaler()), ("head", QUICK)], transform_input=["X_val"])
    pipe.fit(data.X_train, data.y_train, **validation(data))
    scaler = StandardScaler().fit(data.X_train)
    by_hand = HSFMClassifier(**QUICK.get_params()).fit(
        scaler.transform(data.X_train), data.y_train, scaler.transform(data.X_val), data.y_val,
        groups_val=data.groups_val,
    )  # fmt: skip
    assert pipe[-1].selection_ == "worst_group"
    np.testing.assert_array_equal(pipe[-1].coef_, by_hand.coef_)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_khard_and_t(data, n_jobs):
    pipe = Pipeline([("scale", StandardScaler()), ("head", QUICK)], transform_input=["X_val"])
    grid = {"head__Khard": [5, 20], "head__T": [1, 4]}
    search = GridSearchCV(
        pipe,
        grid,
        scoring={"group": worst_group_accuracy, "class": worst_class_accuracy},
        refit="group",
        cv=folds(data),
        n_jobs=n_jobs,
        error_score="raise",
    )
    search.fit(data.X_train, data.y_train, groups=data.groups_train, **validation(data))
    results = search.cv_results_
    assert len(results["mean_test_group"]) == 4
    assert search.best_params_.keys() == grid.keys()
    assert (results["mean_test_group"] <= results["mean_test_class"]).all()
    expected = worst_group_accuracy_score(
        data.y_test, search.predict(data.X_test), data.groups_test
    )
    assert search.score(data.X_test, data.y_test, groups=data.groups_test) == expected


@pytest.mark.usefixtures("routing")
def test_two_jobs_give_the_bits_of_one(data):
    heads = []
    for n_jobs in (1, 2):
        result = cross_validate(
            QUICK, data.X_train, data.y_train, cv=folds(data), n_jobs=n_jobs,
            params=validation(data), return_estimator=True, error_score="raise",
        )  # fmt: skip
        heads.append([e.coef_ for e in result["estimator"]])
    np.testing.assert_array_equal(*heads)


def test_grid_search_without_routing(data):
    search = GridSearchCV(QUICK, {"Khard": [5, 20]}, cv=folds(data), scoring=worst_class_accuracy)
    search.fit(data.X_train, data.y_train, **validation(data))
    assert search.best_estimator_.selection_ == "worst_group"


@pytest.mark.parametrize("with_routing", [True, False])
def test_validation_rows_as_many_as_training_rows_are_never_sliced_silently(data, with_routing):
    import sklearn

    same = {"X_val": data.X_train[::-1], "y_val": data.y_train[::-1]}
    search = GridSearchCV(QUICK, {"Khard": [5]}, cv=3, error_score="raise")
    with (
        sklearn.config_context(enable_metadata_routing=with_routing),
        pytest.raises(ValueError, match=r"exactly as many as X.*ValidationSet"),
    ):
        search.fit(data.X_train, data.y_train, **same)
    # The way out: the container reaches every fold whole.
    held = ValidationSet(**{k[0]: v for k, v in same.items()})
    seen = []

    class Spy(HSFMClassifier):
        def _solve(self, split, *args):
            seen.append(len(split.y_val))
            return super()._solve(split, *args)

    with sklearn.config_context(enable_metadata_routing=with_routing):
        GridSearchCV(
            Spy(**QUICK.get_params()), {"Khard": [5]}, cv=3, error_score="raise"
        ).fit(data.X_train, data.y_train, X_val=held)  # fmt: skip
    assert seen == [300] * 4


def test_scorer_without_groups_says_what_to_do(data):
    clf = HSFMClassifier(**QUICK.get_params()).fit(data.X_train, data.y_train)
    with pytest.raises(ValueError, match=r"got no groups.*enable_metadata_routing=True"):
        worst_group_accuracy(clf, data.X_test, data.y_test)


def test_scorers_by_hand(data):
    clf = HSFMClassifier(**QUICK.get_params()).fit(data.X_train, data.y_train)
    pred = clf.predict(data.X_test)
    by_hand = [
        accuracy_score(data.y_test[data.groups_test == g], pred[data.groups_test == g])
        for g in range(4)
    ]
    args = clf, data.X_test, data.y_test
    assert worst_group_accuracy(*args, groups=data.groups_test) == min(by_hand)
    mean = make_group_scorer(accuracy_score, np.mean)
    assert mean(*args, groups=data.groups_test) == pytest.approx(np.mean(by_hand))
    assert repr(mean) == "make_group_scorer(accuracy_score, mean)"


def test_meta_estimators(data):
    calibrated = CalibratedClassifierCV(QUICK, cv=2).fit(data.X_train, data.y_train)
    assert calibrated.predict_proba(data.X_test).shape == (200, 2)
    bag = BaggingClassifier(QUICK, n_estimators=2, random_state=0)
    assert bag.fit(data.X_train, data.y_train).score(data.X_test, data.y_test) > 0.5
