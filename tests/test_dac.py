"""DaC: masks by a knee, images put together, the refitted head, and what it stands in for."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sklearn_hsfm.deployment import repaired
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import DaCClassifier, ERMClassifier, _made_rows
from sklearn_hsfm.finetuning._composing import (
    combined,
    enough_to_see,
    kept_share,
    most_salient_shares,
    only,
)
from sklearn_hsfm.finetuning._made_rows import partners, smallest
from sklearn_hsfm.heads import ExtraRowsClassifier
from tests.small_network import Small, to_float


@pytest.fixture(scope="module")
def scenes():
    """Return images with a red or blue patch in a grey or bright surrounding, labels, groups.

    The patch gives the class, the surrounding agrees with it in most training images.
    """
    rng = np.random.RandomState(0)
    y = np.arange(120) % 2
    around = np.where(rng.uniform(size=120) < 0.9, y, 1 - y)
    images = rng.randint(60, size=(120, 16, 16, 3)).astype(np.uint8)
    images += (80 * around).astype(np.uint8)[:, None, None, None]
    for i, c in enumerate(y):
        a, b = rng.randint(10, size=2)
        images[i, a : a + 6, b : b + 6, 2 * c] = 250
    return images, np.array(["blue", "red"])[1 - y], around


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Small()


def extractor(network):
    return FeatureExtractor(network, preprocess=to_float, precision="float32", batch_size=16)


@pytest.fixture(scope="module")
def fitted(network, scenes):
    X, y, _ = scenes
    return DaCClassifier(extractor(network), random_state=0).fit(X, y)


def test_the_knee_by_hand():
    losses = torch.tensor(
        [[0.1, 0.0, 0.5], [0.1, 0.2, 0.5], [0.1, 0.4, 0.5], [0.2, 0.6, 0.5], [2.1, 0.8, 0.5]]
    )
    # Flat and then steep: before the rise. A straight line: all is as good as any, the smallest
    # share. Nothing rises: the smallest share.
    assert kept_share(losses).tolist() == [3, 4, 4]


def test_shares_keep_the_most_salient_places():
    salient = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0))
    masks = most_salient_shares(salient)
    assert masks.shape == (10, 2, 5, 4)
    assert masks.sum((2, 3)).tolist() == [[n, n] for n in range(20, 0, -2)]
    for share in masks:
        for image, mask in zip(salient, share, strict=True):
            assert image[mask].min() > image[~mask].max() if (~mask).any() else mask.all()


def test_as_much_is_kept_as_the_network_needs():
    batch = torch.zeros(2, 1, 2, 5)
    batch[0, 0, 0] = 1.0  # five places show the class of the first image,
    batch[1, 0, 0, :2] = 1.0  # two that of the second
    salient = batch[:, 0] + torch.linspace(0.01, 0, 10).reshape(2, 5)

    def logits_of(images):
        whole = batch.sum((1, 2, 3))
        seen = images.sum((1, 2, 3)) >= whole
        return torch.stack([torch.zeros(2), torch.where(seen, 9.0, -9.0)], dim=1)

    enough = enough_to_see(batch, salient, torch.tensor([1, 1]), logits_of, torch.zeros(1))
    assert torch.equal(enough, batch[:, 0] == 1)


def test_foreground_before_background_by_hand():
    front, back = torch.full((1, 3, 1, 4), 1.0), torch.full((1, 3, 1, 4), 2.0)
    front_mask = torch.tensor([[[True, True, False, False]]])
    back_mask = torch.tensor([[[True, False, True, False]]])
    fill = torch.tensor([7.0, 8.0, 9.0])
    out = combined(front, front_mask, back, back_mask, fill)
    for channel, gap in enumerate((7, 8, 9)):
        assert out[0, channel, 0].tolist() == [1, 1, gap, 2]
    alone = only(front, front_mask, fill)
    assert alone[0, 2, 0].tolist() == [1, 1, 9, 9]


def test_the_smallest_losses_of_each_class():
    losses, y = np.array([3.0, 1, 2, 0, 9, 8, 7, 9]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert smallest(losses, y, 0.5).tolist() == [1, 3, 5, 6]
    assert smallest(losses, y, 0.01).tolist() == [3, 6]
    assert smallest(losses, y, 1.0).tolist() == list(range(8))


def test_partners_are_of_another_class():
    y = np.array([0, 0, 1, 2, 2, 2] * 20)
    drawn = partners(y, np.random.RandomState(0))
    assert (y[drawn] != y).all()
    assert set(y[drawn][y == 0]) == {1, 2}


@pytest.mark.parametrize("foreground", ["salient", "rest"])
def test_the_head_is_refitted_on_images_put_together(network, scenes, foreground, monkeypatch):
    X, y, _ = scenes
    seen = []

    class Noted(_made_rows.MadeRows):
        def of(self, *args):
            run = self.run
            self.run = lambda batch: (seen.append(batch), run(batch))[1]
            return super().of(*args)

    monkeypatch.setattr("sklearn_hsfm.finetuning._dac.MadeRows", Noted)
    clf = DaCClassifier(
        extractor(network), foreground=foreground, alpha=3.0, quantile=0.5, random_state=0
    ).fit(X, y)
    made = torch.cat(seen)
    taken = clf.taken_apart_
    n = len(taken)
    assert made.shape == (2 * n, 3, 16, 16)
    images = torch.stack([to_float(X[row]) for row in taken])
    fill = images.mean((0, 2, 3))
    alone, both = made[:n], made[n:]
    hidden = ((alone - fill[:, None, None]).abs() < 1e-6).all(1)
    np.testing.assert_allclose((~hidden).float().mean((1, 2)), clf.foreground_fraction_, atol=0.02)
    torch.testing.assert_close(
        torch.where(hidden[:, None], 0.0, both), torch.where(hidden[:, None], 0.0, images)
    )
    # What is left is of one image of another class, or of the mean colour.
    own = y[taken]
    for i in range(n):
        left = both[i][:, hidden[i]]
        fits = [
            ((left - images[j][:, hidden[i]]).abs().amax(0) < 1e-6)
            | ((left - fill[:, None]).abs().amax(0) < 1e-6)
            for j in range(n)
            if own[j] != own[i]
        ]
        assert max(float(fit.float().mean()) for fit in fits) == 1.0
    features = clf.extractor_.transform(X)
    extra = clf.extractor_.transform(made.numpy())
    head = ExtraRowsClassifier(extra_weight=3.0)
    head.fit(features, y, X_extra=extra, y_extra=np.r_[own, own])
    np.testing.assert_allclose(clf.coef_, head.coef_, rtol=1e-3, atol=1e-3)


def test_without_weight_it_is_erm(network, scenes):
    X, y, _ = scenes
    clf = DaCClassifier(extractor(network), alpha=0.0, random_state=0).fit(X, y)
    features = clf.extractor_.transform(X)
    erm = ExtraRowsClassifier().fit(features, y)
    np.testing.assert_allclose(clf.coef_, erm.coef_, rtol=1e-3, atol=1e-4)


def test_more_backgrounds_make_more_rows(network, scenes, monkeypatch):
    X, y, _ = scenes
    sizes = []
    fit = ExtraRowsClassifier.fit
    monkeypatch.setattr(
        ExtraRowsClassifier,
        "fit",
        lambda self, *a, **k: (sizes.append(len(k["X_extra"])), fit(self, *a, **k))[1],
    )
    for n_combined in (1, 3):
        DaCClassifier(extractor(network), n_combined=n_combined, random_state=0).fit(X, y)
    assert sizes == [2 * 96, 4 * 96]


def test_the_head_of_a_fine_tuned_network_looks(network, scenes):
    X, y, _ = scenes
    erm = ERMClassifier(network, preprocess=to_float, epochs=2, lr=0.1, random_state=0).fit(X, y)
    given = (erm.coef_, erm.intercept_)
    clf = DaCClassifier(extractor_of(erm), random_state=0).fit(X, y)
    same = DaCClassifier(extractor_of(erm), init_head=given, random_state=0).fit(X, y)
    np.testing.assert_array_equal(clf.taken_apart_, same.taken_apart_)
    np.testing.assert_allclose(clf.coef_, same.coef_)
    logits = erm.decision_function(X) * np.where(y == "red", 1, -1)
    assert logits[clf.taken_apart_].mean() > np.delete(logits, clf.taken_apart_).mean()


def extractor_of(erm):
    return FeatureExtractor(erm, precision="float32", batch_size=16)


def test_it_is_a_classifier_of_images(fitted, scenes):
    X, y, _ = scenes
    assert fitted.classes_.tolist() == ["blue", "red"]
    proba = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[proba.argmax(axis=1)])
    np.testing.assert_array_equal(fitted.decision_function(X) > 0, fitted.predict(X) == "red")
    assert fitted.score(X, y) > 0.6
    again = clone(fitted).fit(X, y)
    np.testing.assert_allclose(again.coef_, fitted.coef_)
    assert fitted.layer_ == "norm"


def test_the_head_goes_home(fitted, network, scenes):
    X, _, _ = scenes
    batch = torch.stack([to_float(image) for image in X])
    with torch.no_grad():
        logits = repaired(network, fitted.head_, batch)(batch)
    np.testing.assert_array_equal(fitted.classes_[logits.argmax(1).numpy()], fitted.predict(X))


def test_bad_input(network, scenes):
    X, y, _ = scenes
    with pytest.raises(ValueError, match="y has one class"):
        DaCClassifier(extractor(network)).fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="There are 120 images, but y has 9 labels"):
        DaCClassifier(extractor(network)).fit(X, y[:9])
    with pytest.raises(ValueError, match="'fc' gives no maps"):
        DaCClassifier(extractor(network), layer="fc").fit(X, y)
    vectors = nn.Sequential(nn.Flatten(), nn.Linear(768, 5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(ValueError, match="needs a convolutional network"):
        DaCClassifier(extractor(vectors)).fit(X, y)
    with pytest.raises(AttributeError, match="DaCClassifier has no head before fit"):
        DaCClassifier().coef_  # noqa: B018
