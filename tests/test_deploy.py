"""Heads and networks as ONNX, run there against here; and the page "Deploy it", as printed."""

import os
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_hsfm import HSFMClassifier, repaired
from sklearn_hsfm.deployment import register_onnx
from tests.test_repaired import HEADS, QUICK, D, Ends, fitted

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
# A process without this package and torch, wherever they are installed.
ALONE = """
import sys
class Alone:
    def find_spec(self, name, *args):
        if name.partition(".")[0] in ("sklearn_hsfm", "torch", "sklearn"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Alone())
exec(open(sys.argv[1]).read())
"""
X_TEST = np.random.RandomState(1).normal(size=(20, D))


def run_alone(script, folder):
    """Run a script in a process of its own, in a folder; return what it prints."""
    command = [sys.executable, "-c", ALONE, script]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def converted(clf, dtype=np.float32, **options):
    """Return what the ONNX graph of a classifier gives for `X_TEST`."""
    skl2onnx = pytest.importorskip("skl2onnx", reason="what converts")
    runtime = pytest.importorskip("onnxruntime", reason="what runs the graph")
    register_onnx()
    last = clf[-1] if isinstance(clf, Pipeline) else clf
    options = {id(last): {"zipmap": False, **options}}
    graph = skl2onnx.to_onnx(clf, X_TEST[:1].astype(dtype), options=options)
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"X": X_TEST.astype(dtype)})


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("clf", HEADS, ids=lambda clf: type(clf).__name__)
def test_every_head_is_converted(clf, n_classes):
    clf = fitted(clone(clf), n_classes)
    label, proba = converted(clf)
    assert np.array_equal(label, clf.predict(X_TEST))
    np.testing.assert_allclose(proba, clf.predict_proba(X_TEST), atol=1e-5)


@pytest.mark.parametrize(
    "names", [[0, 1, 2], [7, -1, 3], ["a", "b", "ü"], [False, True], [1.0, 2.0, 4.0]]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_labels_inputs_and_pipelines(names, dtype):
    X = np.random.RandomState(0).normal(size=(90, D))
    y = np.array(names)[np.arange(90) % len(names)]
    pipe = make_pipeline(StandardScaler(), HSFMClassifier(**QUICK))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of validation samples that are a part of X
        pipe.fit(X, y)
    tests = X_TEST.astype(dtype)
    label, proba = converted(pipe, dtype)
    assert np.array_equal(label.astype(y.dtype), pipe.predict(tests))
    np.testing.assert_allclose(
        proba, pipe.predict_proba(tests), atol=1e-12 if dtype == np.float64 else 1e-5
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_options_are_those_of_any_classifier(n_classes):
    clf = fitted(HSFMClassifier(**QUICK), n_classes)
    raw = converted(clf, np.float64, raw_scores=True)[1]
    logits = clf.decision_function(X_TEST)
    raw = raw[:, 1] - raw[:, 0] if n_classes == 2 else raw
    np.testing.assert_allclose(raw, logits, atol=1e-12)
    zipped = converted(clf, zipmap=True)[1]
    assert set(zipped[0]) == set(clf.classes_)
    label = converted(clf, nocl=True)[0]
    assert np.array_equal(clf.classes_[label], clf.predict(X_TEST))
    *_, names = converted(clf, output_class_labels=True)
    assert np.array_equal(names, clf.classes_)


def test_labels_that_onnx_has_not_are_refused():
    clf = fitted(HSFMClassifier(**QUICK))
    clf.classes_ = np.array([0.5, 1.5])
    with pytest.raises(ValueError, match=r"classes of HSFMClassifier are \[0.5, 1.5\], but"):
        converted(clf)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"sklearn_hsfm\[onnx\]"):
        register_onnx()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_repaired_network_is_exported(n_classes, tmp_path):
    pytest.importorskip("onnxscript", reason="what torch exports with")
    runtime = pytest.importorskip("onnxruntime", reason="what runs the graph")
    images = torch.rand(9, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    network = repaired(Ends(nn.Linear(D, 5)), fitted(HSFMClassifier(**QUICK), n_classes), images)
    path = tmp_path / "network.onnx"
    torch.onnx.export(
        network, (images[:4],), path, dynamo=True, external_data=False, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},), input_names=["images"],
    )  # fmt: skip
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = network(images).numpy()
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], wanted, atol=1e-5)


# --- the page


@pytest.mark.slow
def test_the_blocks_run_one_after_another(tmp_path, monkeypatch):
    for needed in ("skl2onnx", "onnxscript", "onnxruntime", "safetensors"):
        pytest.importorskip(needed, reason="the page shows how to use it")
    monkeypatch.chdir(tmp_path)
    names, alone = {}, 0
    for block in BLOCKS:
        if not block.startswith("# serve.py"):
            exec(block, names)
            continue
        (tmp_path / "serve.py").write_text(block)
        run_alone("serve.py", tmp_path)
        alone += 1
    assert alone == 1
    assert np.array_equal(names["again"].coef_, names["clf"].coef_)


def test_the_page_names_extras_that_there_are():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = re.findall(r"sklearn_hsfm\[(\w+)\]", PAGE)
    assert named == ["onnx"]
    assert {"onnx", "onnxruntime", "onnxscript", "skl2onnx"} == {
        re.split(r"[>=\[]", need)[0] for need in extras["onnx"]
    }
