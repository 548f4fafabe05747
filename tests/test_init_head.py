"""Heads that a fit starts from: of torch, of scikit-learn, and those in another order."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, heads

D = 5
QUICK = {"epochs": 2, "KH": 1, "T": 1, "support_per_class": 4, "Khard": 4, "random_state": 0}


def rows(n_classes, n=60):
    rng = np.random.RandomState(n_classes)
    y = np.arange(n) % n_classes
    return rng.normal(size=(n, D)) + 3 * np.eye(D)[y], np.array(list("abcde"))[y]


def start(init_head, n_classes=2, **params):
    """Return the head that a fit started from, one row for two classes."""
    X, y = rows(n_classes)
    clf = HSFMClassifier(init_head=init_head, **{**QUICK, **params})
    clf.fit(X[:40], y[:40], X[40:], y[40:])
    return clf.init_coef_, clf.init_intercept_


def layer_of(n_classes, bias=True):
    """Return a layer that reads the rows well."""
    model = LogisticRegression().fit(*rows(n_classes))
    layer = nn.Linear(D, n_classes, bias=bias)
    coef = model.coef_ if n_classes > 2 else np.vstack([-model.coef_, model.coef_]) / 2
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(coef))
    return layer


def expected(layer):
    W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return (W[1:] - W[:1], b[1:] - b[:1]) if len(W) == 2 else (W, b)


def check_start(found, layer):
    for a, b in zip(found, expected(layer), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


class Network(nn.Module):
    def __init__(self, fc):
        super().__init__()
        self.stem, self.hidden, self.fc = nn.Conv2d(3, D, 3), nn.Linear(D, D), fc

    def forward(self, x):
        return self.fc(self.hidden(self.stem(x).mean((2, 3))))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_layer_is_taken(n_classes):
    layer = layer_of(n_classes)
    check_start(start(layer, n_classes), layer)


def test_a_layer_of_one_row_holds_the_log_odds():
    both = layer_of(2)
    one = nn.Linear(D, 1)
    with torch.no_grad():
        one.weight.copy_(both.weight[1:] - both.weight[:1])
        one.bias.copy_(both.bias[1:] - both.bias[:1])
    check_start(start(one), both)


def test_a_layer_without_a_bias_has_intercept_zero():
    coef, intercept = start(layer_of(2, bias=False))
    assert np.abs(intercept).max() < 1e-6
    assert np.abs(coef).max() > 0.1


@pytest.mark.parametrize("wrap", [lambda n: n, nn.DataParallel, torch.compile])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_gives_its_last_layer(wrap, n_classes):
    layer = layer_of(n_classes)
    check_start(start(wrap(Network(layer)), n_classes), layer)
    check_start(start(wrap(layer), n_classes), layer)


def test_a_network_whose_last_layer_does_not_show_itself_is_refused():
    chance = nn.Linear(D, 2)
    nn.init.zeros_(chance.weight)
    twice = nn.Sequential(layer_of(2), nn.Linear(2, D), layer_of(2))
    ends_otherwise = nn.Sequential(layer_of(2), nn.Linear(2, 7))
    for network, message in [
        (Network(chance), "balanced accuracy of 0.500, which is chance"),
        (Network(nn.Linear(7, 2)), r"fc \(2, 7\).*shape \(2, 5\), the only one"),
        (twice, r"0 \(2, 5\), 1 \(5, 2\), 2 \(2, 5\)"),
        (ends_otherwise, r"1 \(7, 2\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), "linear layers are: none"),
    ]:
        with pytest.raises(ValueError, match=f"init_head is a .*{message}.*Pass|{message}.*pass"):
            start(network)


def test_tensors_are_taken():
    layer = layer_of(3)
    check_start(start((layer.weight, layer.bias), 3), layer)  # which require grad
    half = (layer.weight.bfloat16(), layer.bias)
    np.testing.assert_allclose(start(half, 3)[0], expected(layer)[0], rtol=1e-2)
    with pytest.raises(ValueError, match="init_head is no head"):
        start((layer.weight.to("meta"), layer.bias), 3)


def test_a_layer_survives_a_clone():
    layer = layer_of(2)
    clf = clone(HSFMClassifier(init_head=layer))
    assert clf.init_head is not layer
    check_start(start(clf.init_head), layer)


@pytest.mark.parametrize(
    "estimator",
    [
        RidgeClassifier(),
        RidgeClassifier(fit_intercept=False),
        RidgeClassifierCV(),
        LinearSVC(),
        LinearSVC(fit_intercept=False),
        SGDClassifier(random_state=0),
        Perceptron(),
        LinearDiscriminantAnalysis(),
    ],
    ids=lambda e: repr(e),
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_classifiers_are_taken(estimator, n_classes):
    X, y = rows(n_classes)
    fitted = clone(estimator).fit(X[:40], y[:40])
    expected = np.reshape(fitted.coef_, (-1, D)), np.zeros(1 if n_classes == 2 else 3)
    expected[1][:] = fitted.intercept_
    for given in (fitted, estimator):
        for a, b in zip(start(given, n_classes), expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_flat_head_of_two_classes_is_taken():
    X, y = rows(2)
    fitted = RidgeClassifier().fit(X, y)
    coef = fitted.coef_.reshape(1, D)
    fitted.coef_, fitted.intercept_ = coef[0], float(fitted.intercept_[0])
    np.testing.assert_allclose(start(fitted)[0], coef, atol=1e-6)


def test_classifiers_that_are_not_linear_are_refused():
    X, y = rows(3)
    calibrated = CalibratedClassifierCV(LinearSVC(), cv=2)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    for given in (calibrated, scaled):
        with pytest.raises(ValueError, match="no coef_ and classes_ after fit"):
            start(given, 3)
        with pytest.raises(ValueError, match=r"is fitted and has no coef_.* calibrated"):
            start(clone(given).fit(X, y), 3)
    with pytest.raises(ValueError, match="rows are pairs of classes"):  # three rows, of pairs
        start(SVC(kernel="linear").fit(X, y), 3)


@pytest.mark.parametrize(
    ("n_classes", "order", "message"),
    [
        (2, [1, 0], r"accuracy of 0\.\d+, where chance is 0.500, and .* order \[1, 0\]"),
        (3, [1, 2, 0], r"where chance is 0.333, and .* order \[2, 0, 1\]"),
        (3, [0, 2, 1], r"order \[0, 2, 1\].*\['a', 'b', 'c'\]"),  # at chance
    ],
)
def test_rows_in_another_order_are_warned_of(n_classes, order, message):
    layer = layer_of(n_classes)
    swapped = (layer.weight.detach()[order], layer.bias.detach()[order])
    with pytest.warns(UserWarning, match=message) as said:
        start(swapped, n_classes)
    assert said[0].filename == __file__


@pytest.mark.parametrize(("n_classes", "shown"), [(10, r"8, 9\]"), (11, r"8, 9, \.\.\.\]")])
def test_ten_classes_are_named_and_more_are_not(n_classes, shown):
    y = np.arange(5 * n_classes) % n_classes
    head = heads.HeadAverager((np.eye(n_classes)[::-1], np.zeros(n_classes)), LogisticRegression())
    with pytest.warns(UserWarning, match=f"in the order of np.unique.*{shown}"):
        head.set_params(alpha=0.5, balance="none").fit(np.eye(n_classes)[y], y)


def test_heads_that_may_be_in_order_are_not_warned_of():
    rng = np.random.RandomState(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start((np.zeros((3, D)), np.zeros(3)), 3)
        for _ in range(5):
            start((rng.normal(size=(5, D)) / 2 + np.eye(5), np.zeros(5)), 5)


def test_all_that_take_a_head_take_a_layer():
    X, y = rows(2)
    layer = layer_of(2)
    given = HSFMClassifierCV(init_head=layer, n_repeats=1, epochs=2, random_state=0)
    takers = [
        given,
        heads.AFRClassifier(init_head=layer, gamma=4.0, reg=0.1, steps=5, random_state=0),
        heads.SELFClassifier(init_head=layer, n_rows=4, lr=1e-3, steps=3, random_state=0),
        heads.HeadAverager(layer, Network(layer), alpha=0.5, balance="none"),
    ]
    for clf in takers:
        clf.fit(X[:40], y[:40], X[40:], y[40:])
        assert clf.score(X, y) > 0.8, clf
    np.testing.assert_allclose(takers[-1].coef_, expected(layer)[0], atol=1e-6)
