"""Saving and loading: by whom, with whose trust, without torch, and across versions."""

import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, ShortcutFinder, __version__, _version
from sklearn_hsfm.finetuning import ERMClassifier
from tests.small_network import extractor, to_float
from tests.test_doc_link import ESTIMATORS
from tests.test_repaired import HEADS, QUICK, D, fitted

X_TEST = np.random.RandomState(1).normal(size=(20, D))
SCALED = make_pipeline(StandardScaler(), HSFMClassifierCV(n_repeats=1, epochs=2, random_state=0))
ALL = [*HEADS, SCALED]
NAMES = [type(clf).__name__ for clf in ALL]


def saved(clf):
    """Return a fitted clone; pipelines fit without validation samples."""
    if clf is not SCALED:
        return fitted(clone(clf))
    X = np.random.RandomState(0).normal(size=(60, D))
    return clone(clf).fit(X, np.array(["cat", "dog"])[(X[:, 0] > 0).astype(int)])


@pytest.mark.parametrize("clf", ALL, ids=NAMES)
def test_skops_needs_trust_in_our_names_alone(clf):
    clf = saved(clf)
    blob = skops.io.dumps(clf)
    unknown = skops.io.get_untrusted_types(data=blob)
    assert unknown
    assert all(name.startswith("sklearn_hsfm.") for name in unknown)
    again = skops.io.loads(blob, trusted=unknown)
    np.testing.assert_array_equal(again.predict_proba(X_TEST), clf.predict_proba(X_TEST))


LOADS = """
import sys
class NoTorch:  # None in sys.modules would do, but scipy takes it for the module
    def find_spec(self, name, *args):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
import joblib, numpy as np
for name in sys.argv[2:]:
    clf = joblib.load(f"{sys.argv[1]}/{name}.joblib")
    X = np.load(f"{sys.argv[1]}/X.npy")
    wanted = np.load(f"{sys.argv[1]}/{name}.npy")
    assert np.array_equal(clf.predict(X), clf.classes_[wanted.argmax(1)]), name
    np.testing.assert_allclose(clf.predict_proba(X), wanted, atol=1e-12)
print("predicted", len(sys.argv) - 2)
"""


def test_predicting_needs_no_torch(tmp_path):
    np.save(tmp_path / "X.npy", X_TEST)
    names = []
    for i, clf in enumerate(ALL):
        clf = saved(clf)
        names.append(f"{i}{type(clf).__name__}")
        joblib.dump(clf, tmp_path / f"{names[-1]}.joblib")
        np.save(tmp_path / f"{names[-1]}.npy", clf.predict_proba(X_TEST))
    command = [sys.executable, "-c", LOADS, str(tmp_path), *names]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.stdout == f"predicted {len(ALL)}\n", shown.stderr


def test_importing_loads_no_torch():
    code = (
        "import sys, sklearn_hsfm, sklearn_hsfm.heads, sklearn_hsfm.metrics; "
        "before = 'torch' in sys.modules; sklearn_hsfm.FeatureExtractor; sklearn_hsfm.repaired; "
        "print(before, 'torch' in sys.modules, sklearn_hsfm.ShortcutFinder.__name__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True", "ShortcutFinder"]


def test_names_that_are_loaded_later_are_listed():
    import sklearn_hsfm

    assert {"FeatureExtractor", "ShortcutFinder", "repaired"} <= set(dir(sklearn_hsfm))
    with pytest.raises(AttributeError, match="no attribute 'FeatureExtracter'"):
        _ = sklearn_hsfm.FeatureExtracter


# --- versions


def small_ones(small, pixels):
    y = np.arange(len(pixels)) % 2
    erm = ERMClassifier(small, preprocess=to_float, epochs=1, batch_size=4, random_state=0)
    return [
        fitted(HSFMClassifier(**QUICK)),
        HSFMClassifierCV(),
        ShortcutFinder(),
        extractor(small).fit(pixels),
        erm.fit(pixels, y, pixels, y),
        clone(HEADS[3]),
    ]


@pytest.mark.parametrize("cls", sorted(ESTIMATORS, key=lambda c: c.__name__))
def test_each_is_saved_with_the_version_of_the_package(cls):
    assert __version__ in cls.__new__(cls).__getstate__().values()


def test_another_version_is_warned_of(small, pixels, monkeypatch):
    for estimator in small_ones(small, pixels):
        blob = pickle.dumps(estimator)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = pickle.loads(blob)
        assert vars(again).keys() <= vars(estimator).keys()  # the version is no attribute
        with monkeypatch.context() as patch:
            patch.setattr(_version, "__version__", "9.9")
            name = type(estimator).__name__
            message = rf"{name} was saved by sklearn_hsfm \d.* loaded by 9.9"
            with pytest.warns(InconsistentVersionWarning, match=message):
                pickle.loads(blob)


def test_another_version_is_warned_of_by_skops(monkeypatch):
    blob = skops.io.dumps(fitted(HSFMClassifier(**QUICK)))
    monkeypatch.setattr(_version, "__version__", "9.9")
    with pytest.warns(InconsistentVersionWarning, match=r"loaded by 9\.9"):
        skops.io.loads(blob, trusted=skops.io.get_untrusted_types(data=blob))


def test_a_state_without_a_version_is_warned_of():
    clf = HSFMClassifier(epochs=3)
    with pytest.warns(InconsistentVersionWarning, match="of an unknown version"):
        clf.__setstate__({"epochs": 4})
    assert clf.epochs == 4


# --- networks


def test_pipelines_with_networks(small, pixels, tmp_path):
    y = np.arange(len(pixels)) % 2
    pipe = make_pipeline(extractor(small), HSFMClassifier(**{**QUICK, "support_per_class": 2}))
    pipe.fit(pixels, y)
    joblib.dump(pipe, tmp_path / "pipe.joblib")
    again = joblib.load(tmp_path / "pipe.joblib")
    np.testing.assert_allclose(again.predict_proba(pixels), pipe.predict_proba(pixels), atol=1e-6)
    erm = ERMClassifier(small, preprocess=to_float, epochs=1, batch_size=4, random_state=0)
    for holds in (pipe, extractor(small), erm):
        with pytest.raises(TypeError, match=r"holds a network, and skops saves none.*pipe\[1:\]"):
            skops.io.dumps(holds)
    blob = skops.io.dumps(pipe[1:])  # the remedy
    head = skops.io.loads(blob, trusted=skops.io.get_untrusted_types(data=blob))
    features = pipe[0].transform(pixels)
    np.testing.assert_array_equal(head.predict(features), pipe.predict(pixels))


def test_the_layer_goes_through_safetensors(tmp_path):
    files = pytest.importorskip("safetensors.torch", reason="the format of this file")
    clf = fitted(HSFMClassifier(**QUICK))
    files.save_file(clf.to_torch().state_dict(), tmp_path / "head.safetensors")
    layer = nn.Linear(D, 2)
    layer.load_state_dict(files.load_file(tmp_path / "head.safetensors"))
    with torch.no_grad():
        found = layer(torch.tensor(X_TEST, dtype=torch.float32)).softmax(1)
    np.testing.assert_allclose(found, clf.predict_proba(X_TEST), atol=1e-5)
