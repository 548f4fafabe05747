"""The same bits on one process and on a cluster."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm.datasets import make_spurious_features

distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        yield cluster


@pytest.fixture(scope="module")
def data():
    return make_spurious_features(n_train=200, n_val=120, n_features=16, random_state=0)


def test_the_cluster_is_two_other_processes(cluster):
    import os

    pids = distributed.get_client().run(os.getpid)
    assert len({*pids.values(), os.getpid()}) == 3


def test_cross_fitting_on_a_cluster_gives_the_same_bits(cluster, data, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm._core.problem._CPU_BYTES", 1)  # a task a fit
    clf = HSFMClassifierCV(n_repeats=1, epochs=4, KH=2, T=3, random_state=0, n_jobs=2)
    here = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val).coef_.copy()
    with joblib.parallel_config(backend="dask"):
        there = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val).coef_
    assert np.array_equal(there, here)


def test_a_search_on_a_cluster_gives_the_same_bits(cluster, data):
    clf = HSFMClassifier(epochs=3, KH=2, T=3, random_state=0)
    search = GridSearchCV(clf, {"Khard": [4, 8], "T": [2, 3]}, cv=2, n_jobs=2)
    rows = {"X_val": data.X_val, "y_val": data.y_val}
    here = search.fit(data.X_train, data.y_train, **rows).best_estimator_.coef_.copy()
    scores = search.cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="dask"):
        search.fit(data.X_train, data.y_train, **rows)
    assert np.array_equal(search.best_estimator_.coef_, here)
    assert np.array_equal(search.cv_results_["mean_test_score"], scores)
