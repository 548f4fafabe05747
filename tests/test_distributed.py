"""The same bits on one process and on a cluster."""

import os
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import GridSearchCV

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm.datasets import make_spurious_features
from sklearn_hsfm.extraction import FeatureExtractor, extract_shards

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


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(5):
        pixels = np.random.RandomState(i).randint(256, size=(40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def extractor(images):
    return FeatureExtractor("resnet18", weights=None, batch_size=2).fit(images)


def test_shards_on_a_cluster_give_the_same_bits(cluster, images, extractor, monkeypatch):
    monkeypatch.chdir(images)  # workers are elsewhere: relative paths are those of the caller
    names = [f"{i}.png" for i in range(5)]
    with monkeypatch.context() as patch, joblib.parallel_config(backend="dask"):
        patch.setattr(FeatureExtractor, "_features_of", None)  # nothing is computed here
        features = extract_shards(extractor, names, "out", shard_size=2)
    assert Path(features.filename).parent == images / "out"
    assert np.array_equal(features, extractor.transform(names))


def test_a_cluster_opens_the_file_of_streamed_rows(cluster, data, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_hsfm._core.problem._CPU_BYTES", 1)  # a task a fit
    monkeypatch.setattr("sklearn_hsfm._core.rows._RESIDENT_BYTES", 1)
    clf = HSFMClassifierCV(n_repeats=1, epochs=4, KH=2, T=3, random_state=0)
    here = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val).coef_.copy()
    np.save(tmp_path / "X_val.npy", data.X_val)
    mapped = np.load(tmp_path / "X_val.npy", mmap_mode="r")
    with joblib.parallel_config(backend="dask"):
        there = clf.fit(data.X_train, data.y_train, mapped, data.y_val).coef_
    assert np.array_equal(there, here)


@pytest.mark.slow
def test_ray_gives_the_same_bits(data, images, extractor, tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.util.joblib import register_ray

    register_ray()
    clf = HSFMClassifierCV(n_repeats=1, epochs=4, KH=2, T=3, random_state=0)
    here = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val).coef_.copy()
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        with joblib.parallel_config(backend="ray", n_jobs=2):
            there = clf.fit(data.X_train, data.y_train, data.X_val, data.y_val).coef_
            features = extract_shards(extractor, images, tmp_path, shard_size=2)
    finally:
        ray.shutdown()
    assert np.array_equal(there, here)
    assert np.array_equal(features, extractor.transform(images))
