"""MaskTune: what is masked, the further epoch, its limits, and where the classifier fits in."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import ERMClassifier, MaskTuneClassifier
from sklearn_hsfm.finetuning._masktune import MaskedRows
from sklearn_hsfm.metrics import worst_group_accuracy_score
from tests.small_network import to_float


class Maps(nn.Module):
    """A network of a few maps, small enough to be fitted in a second."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU()
        )
        self.pool = nn.AdaptiveAvgPool2d((4, 2))  # so that it knows above from below
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc(self.pool(self.maps(x)).flatten(1))


@pytest.fixture(scope="module")
def dominoes():
    data = load_digit_dominoes(random_state=0)
    images = {
        part: np.repeat((data[f"X_{part}"].reshape(-1, 16, 8, 1) * 255).astype(np.uint8), 3, axis=3)
        for part in ("train", "val", "test")
    }
    return data, images


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Maps()


@pytest.fixture(scope="module")
def fitted(network, dominoes):
    data, images = dominoes
    erm = ERMClassifier(
        network, preprocess=to_float, lr=0.1, epochs=5, batch_size=16, augment=None, random_state=0
    )
    return erm.fit(images["train"], data.y_train)


def weights_of(clf):
    return torch.cat([p.flatten() for p in clf.module_.parameters()]).detach().numpy()


def test_what_is_masked_is_where_the_shortcut_is(fitted, dominoes):
    data, images = dominoes
    groups, pred = data.groups_test, fitted.predict(images["test"])
    assert worst_group_accuracy_score(data.y_test, pred, groups) < 0.1  # ERM sees the shortcut
    clf = MaskTuneClassifier(fitted, random_state=0)
    clf.fit(images["train"], data.y_train, images["val"], data.y_val)
    masks = clf.masks(images["train"])
    assert masks.shape == (len(data.y_train), 16, 8)
    np.testing.assert_allclose(clf.masked_fraction_, masks.mean(axis=(1, 2)), atol=1e-6)
    upper, lower = masks[:, :8].mean(), masks[:, 8:].mean()
    assert lower > 3 * upper  # the lower digit gives the class away


def test_masked_rows_are_the_formula(fitted, dominoes):
    data, images = dominoes
    clf = MaskTuneClassifier(fitted, augment=None, random_state=0)
    seen = []

    class Noted(MaskedRows):
        def __getitem__(self, index):
            seen.append((int(self.rows[index]), *super().__getitem__(index)))
            return seen[-1][1:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn_hsfm.finetuning._masktune.MaskedRows", Noted)
        clf.fit(images["train"], data.y_train, images["val"], data.y_val)
    masks = clf.masks(images["train"])
    assert sorted(row for row, *_ in seen) == list(range(len(data.y_train)))  # one epoch
    for row, tensor, label in seen[:20]:
        pixels = images["train"][row].transpose(2, 0, 1) / 255
        np.testing.assert_allclose(tensor, np.where(masks[row], 0, pixels), atol=1e-6)
        assert label == data.y_train[row]


def test_it_starts_from_the_network_and_leaves_it_alone(fitted, dominoes):
    data, images = dominoes
    before = weights_of(fitted)
    clf = MaskTuneClassifier(fitted, lr=1e-12, random_state=0)
    clf.fit(images["train"], data.y_train, images["val"], data.y_val)
    np.testing.assert_allclose(weights_of(clf), before, atol=1e-7)
    np.testing.assert_array_equal(weights_of(fitted), before)
    assert clf.estimator_ is fitted
    assert fitted.epochs == 5
    assert clf.history_["valid_acc"][0] == pytest.approx(fitted.score(images["val"], data.y_val))


def test_where_nothing_is_beyond_the_threshold_it_is_a_further_epoch_of_erm(fitted, dominoes):
    data, images = dominoes
    clf = MaskTuneClassifier(fitted, n_std=1e6, lr=0.01, augment=None, random_state=0)
    clf.fit(images["train"], data.y_train, images["val"], data.y_val)
    assert not clf.masked_fraction_.any()

    rng = np.random.RandomState(0)
    seed = int(rng.randint(np.iinfo(np.int32).max))
    network = copy.deepcopy(fitted.module_).train()
    descent = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    tensors = torch.stack([to_float(image) for image in images["train"]])
    y = torch.from_numpy(data.y_train)
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1)  # as of the first epoch
        # The draws that a loader makes: its own seed, then that of its sampler.
        rows = torch.utils.data.TensorDataset(tensors, y)
        for some, labels in torch.utils.data.DataLoader(rows, batch_size=16, shuffle=True):
            descent.zero_grad()
            nn.functional.cross_entropy(network(some), labels).backward()
            descent.step()
    by_hand = torch.cat([p.flatten() for p in network.parameters()]).detach().numpy()
    np.testing.assert_allclose(weights_of(clf), by_hand, atol=1e-5)


def test_an_estimator_that_is_not_fitted_is_fitted_first(network, dominoes):
    data, images = dominoes
    erm = ERMClassifier(network, preprocess=to_float, epochs=1, batch_size=64, random_state=0)
    y = np.array(["even", "odd"])[data.y_train]
    clf = MaskTuneClassifier(erm, random_state=0).fit(images["train"], y)
    assert not hasattr(erm, "module_")
    assert clf.estimator_.n_iter_ == 1
    assert clf.classes_.tolist() == ["even", "odd"]
    assert set(clf.predict(images["test"][:9])) <= {"even", "odd"}
    again = clone(clf).fit(images["train"], y)
    np.testing.assert_array_equal(weights_of(again), weights_of(clf))
    proba = clf.predict_proba(images["test"][:9])
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)


def test_it_hands_over(fitted, dominoes):
    data, images = dominoes
    clf = MaskTuneClassifier(fitted, random_state=0)
    clf.fit(images["train"], data.y_train, images["val"], data.y_val)
    extractor = FeatureExtractor(clf)
    X = extractor.fit(images["val"]).transform(images["val"])
    assert extractor.backbone_ is clf
    logits = X @ clf.coef_.T + clf.intercept_
    np.testing.assert_array_equal(clf.classes_[logits.argmax(axis=1)], clf.predict(images["val"]))
    head = HSFMClassifier(init_head=clf, epochs=1, KH=1, T=1)
    assert head.fit(X[1:], data.y_val[1:], X, data.y_val).coef_.shape == (1, 192)


def test_bad_input(fitted, dominoes):
    data, images = dominoes
    with pytest.raises(ValueError, match="'estimator' parameter"):
        MaskTuneClassifier(Maps()).fit(images["train"], data.y_train)
    with pytest.raises(ValueError, match=r"y has labels .* \[2\]"):
        MaskTuneClassifier(fitted).fit(images["train"], np.where(data.y_train, 2, 0))
    with pytest.raises(ValueError, match="'fc' gives no maps"):
        MaskTuneClassifier(fitted, layer="fc").fit(images["train"], data.y_train)
    with pytest.raises(AttributeError, match="MaskTuneClassifier has no head before fit"):
        MaskTuneClassifier(fitted)._head()
