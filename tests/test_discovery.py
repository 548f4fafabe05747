"""Finding who is hurt by a shortcut, and whether there is one."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import _kmeans
from sklearn_hsfm._choosing.folds import draw_folds
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.discovery import ShortcutFinder, _clusters
from sklearn_hsfm.discovery import _cross_fit as cross_fit
from sklearn_hsfm.discovery._environments import N_STEPS, RATE, _ascend, _slope_of_scale
from sklearn_hsfm.discovery._evidence import said_by_shortcut, transferred
from sklearn_hsfm.discovery._split import as_cells, beyond, highest, lowest
from sklearn_hsfm.heads import DFRClassifier
from sklearn_hsfm.metrics import worst_group_accuracy_score

METHODS = ["auto", "residual", "mistakes", "iterated_mistakes", "environments", "clusters"]


def spurious(n_classes=2, correlation=0.95, n_train=900):
    """Return data, and which training and test samples the shortcut hurts."""
    data = make_spurious_features(
        n_train=n_train, n_classes=n_classes, correlation=correlation, random_state=0
    )
    parts = (data.groups_train, data.y_train), (data.groups_test, data.y_test)
    return data, *(groups % n_classes != y for groups, y in parts)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_minority_whose_attribute_is_known_is_found(method, n_classes):
    data, hurt, hurt_test = spurious(n_classes, correlation=0.9, n_train=1500)
    finder = ShortcutFinder(method, random_state=0).fit(data.X_train, data.y_train)
    assert finder.found_ is True
    assert finder.strength_ == 1
    found = finder.labels_ % 2 == 1
    assert hurt[found].mean() > (0.35 if method == "clusters" else 0.85)
    assert found[hurt].mean() > 0.45
    assert np.array_equal(finder.labels_ // 2, data.y_train)
    assert np.array_equal(finder.evidence_["n_hurt"], np.bincount(data.y_train[found]))
    of_class = data.y_test == 0
    scores = finder.score_samples(data.X_test, data.y_test)
    assert roc_auc_score(hurt_test[of_class], scores[of_class]) > 0.9
    new = finder.predict(data.X_test, data.y_test)
    assert np.array_equal(new // 2, data.y_test)
    assert hurt_test[new % 2 == 1].mean() > 0.85


@pytest.mark.parametrize("n_classes", [2, 3])
def test_nothing_is_found_where_the_attribute_says_nothing(n_classes):
    data, *_ = spurious(n_classes, correlation=1 / n_classes)
    finder = ShortcutFinder(random_state=0).fit(data.X_train, data.y_train)
    assert finder.found_ is False
    assert finder.strength_ == 0
    assert finder.reason_.startswith("No second population")
    assert np.array_equal(finder.labels_, 2 * data.y_train)
    assert np.array_equal(finder.cells_[:, ::2].argmax(axis=1), data.y_train)
    assert not finder.cells_[:, 1::2].any()
    assert np.isinf(finder.threshold_).all()
    assert np.array_equal(finder.predict(data.X_test, data.y_test), 2 * data.y_test)


def test_gaussian_classes_and_wrong_labels_are_no_shortcut():
    rng = np.random.RandomState(0)
    y = np.arange(1000) % 2
    X = rng.normal(size=(1000, 20)) + 1.5 * y[:, None] * (np.arange(20) < 2)
    assert ShortcutFinder(random_state=0).fit(X, y).found_ is False
    wrong = rng.uniform(size=1000) < 0.1
    assert ShortcutFinder(random_state=0).fit(X, np.where(wrong, 1 - y, y)).found_ is False


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_a_tail_that_no_head_reads(seed):
    data = make_spurious_features(n_train=1500, correlation=0.95, random_state=seed)
    clean = ShortcutFinder(random_state=0).fit(data.X_train, data.y_train)
    assert clean.found_ is True
    assert clean.evidence_["informedness"].mean() > 0.4
    wrong = np.random.RandomState(seed).uniform(size=1500) < 0.1
    y = np.where(wrong, 1 - data.y_train, data.y_train)
    finder = ShortcutFinder(random_state=0).fit(data.X_train, y)
    assert finder.evidence_["skewness"].mean() > 0.5  # what would be found without
    assert finder.evidence_["informedness"].mean() < 0.15
    assert finder.found_ is False
    assert finder.strength_ == 0
    assert finder.reason_.startswith("What sets samples apart may be wrong labels")
    assert np.array_equal(finder.labels_, 2 * y)


def test_cells_leave_out_who_is_neither_helped_nor_hurt():
    data, hurt, _ = spurious()
    finder = ShortcutFinder(random_state=0).fit(data.X_train, data.y_train)
    in_helped, in_hurt = (finder.cells_[:, k::2].any(axis=1) for k in (0, 1))
    assert not (in_helped & in_hurt).any()
    assert (~in_helped & ~in_hurt).any()
    assert in_helped.sum() == 2 * 315
    assert np.array_equal(in_hurt, finder.labels_ % 2 == 1)
    assert np.array_equal(in_hurt, finder.scores_ >= finder.threshold_[data.y_train])
    assert not hurt[in_helped].any()
    assert (in_hurt == hurt).mean() > 0.98  # all of a population of its own, not a fixed share


def test_classes_of_few_samples_are_not_split():
    data, *_ = spurious()
    few = np.r_[np.flatnonzero(data.y_train == 0), np.flatnonzero(data.y_train == 1)[:20]]
    finder = ShortcutFinder("residual", random_state=0).fit(data.X_train[few], data.y_train[few])
    assert finder.evidence_["n_hurt"][0] >= 8
    assert finder.evidence_["n_hurt"][1] == 0
    tiny = np.r_[np.flatnonzero(data.y_train == 0)[:20], np.flatnonzero(data.y_train == 1)[:20]]
    finder = ShortcutFinder(random_state=0).fit(data.X_train[tiny], data.y_train[tiny])
    assert finder.found_ is None
    assert finder.reason_ == (
        "The classes have 20 to 20 samples; 4 of each and 32 of one are needed."
    )
    assert np.array_equal(finder.predict(data.X_test, data.y_test), 2 * data.y_test)
    assert (finder.score_samples(data.X_test, data.y_test) == 0).all()


@pytest.mark.parametrize("size", [31, 32])
def test_a_class_has_evidence_from_32_samples_on(size):
    data, *_ = spurious()
    few = np.r_[np.flatnonzero(data.y_train == 0), np.flatnonzero(data.y_train == 1)[:size]]
    finder = ShortcutFinder("residual", random_state=0).fit(data.X_train[few], data.y_train[few])
    assert np.isfinite(finder.evidence_["skewness"][1]) == (size == 32)


def test_a_cluster_of_few_samples_is_never_the_hurt(monkeypatch):
    y, cluster = np.repeat([0, 1], 100), np.repeat([0, 1, 2], [60, 35, 5])
    margin = np.tile(np.array([2.0, 0.5, -9.0])[cluster], 2)
    logits = np.where(y == 1, margin, -margin)[:, None]
    monkeypatch.setattr(_clusters, "cross_fitted", lambda *args: (logits, None))
    monkeypatch.setattr(_clusters, "_cut", lambda Z, rng: (np.ones((1, 1)), np.zeros(3), cluster))
    settings = {"C": 1.0, "share": 0.1, "cv": 2, "n_repeats": 1}
    found = _clusters.clusters(np.zeros((200, 1)), y, np.random.RandomState(0), **settings)
    assert np.array_equal(~found.helped, np.tile(cluster == 1, 2))


def test_an_outlier_that_no_silhouette_sees_is_no_cluster(monkeypatch):
    """k-means with two clusters takes the outlier for one; a part of the class may not hold it."""
    data, *_ = spurious()
    X = data.X_train.copy()
    X[np.flatnonzero(data.y_train == 0)[7]] = 1e3
    monkeypatch.setattr(_kmeans, "LOOKED_AT", 40)
    monkeypatch.setattr(_clusters, "MOST_CLUSTERS", 2)
    cells = ShortcutFinder("clusters", random_state=0).fit(X, data.y_train).cells_
    assert not cells[data.y_train == 0].all(axis=1).any()


def test_units_names_and_draws():
    data, *_ = spurious()
    names = np.array(["land", "water"])[data.y_train]
    first = ShortcutFinder(random_state=0).fit(data.X_train, names)
    again = clone(first).fit(data.X_train, names)
    assert np.array_equal(first.scores_, again.scores_)
    scaled = clone(first).fit(20 * data.X_train + 3, names)
    np.testing.assert_allclose(scaled.scores_, first.scores_, atol=1e-3)
    assert first.classes_.tolist() == ["land", "water"]
    back = pickle.loads(pickle.dumps(first))
    assert np.array_equal(
        back.predict(data.X_test, np.array(["land", "water"])[data.y_test]),
        first.predict(data.X_test, np.array(["land", "water"])[data.y_test]),
    )
    with pytest.raises(ValueError, match=r"y has labels that y does not have: \['sea'\]"):
        first.predict(data.X_test[:1], ["sea"])
    with pytest.raises(ValueError, match="'method' parameter"):
        ShortcutFinder("guess").fit(data.X_train, names)
    with pytest.raises(ValueError, match="y has one class"):
        ShortcutFinder().fit(data.X_train, np.zeros(900))


def test_the_labels_are_groups_for_other_methods():
    data = load_digit_dominoes(random_state=0)
    finder = ShortcutFinder(random_state=0).fit(data.X_train, data.y_train)
    clf = DFRClassifier(variant="train", random_state=0).fit(
        data.X_train, data.y_train, data.X_val, data.y_val,
        groups=finder.labels_, groups_val=finder.predict(data.X_val, data.y_val),
    )  # fmt: skip
    pred = clf.predict(data.X_test)
    assert worst_group_accuracy_score(data.y_test, pred, data.groups_test) > 0.8  # ERM: 0.6


def test_no_head_judges_a_sample_that_it_saw():
    data, *_ = spurious()
    Z, y = StandardScaler().fit_transform(data.X_train), data.y_train
    folds = draw_folds(y, 3, 2, np.random.RandomState(0))
    assert folds.shape == (2, 900)
    for fold in folds:
        assert [np.bincount(y[fold == k]).tolist() for k in range(3)] == [[150, 150]] * 3
    weight = np.random.RandomState(1).uniform(size=900)
    logits, heads = cross_fit.cross_fitted(Z, y, weight, 0.01, folds)
    i = 17
    own = [heads[r, folds[r, i]] for r in range(2)]
    expected = np.mean([Z[i] @ h[0, :-1] + h[0, -1] for h in own])
    assert logits[i, 0] == pytest.approx(expected)
    kept = folds[1] != folds[1, i]
    alone = cross_fit.fitted_head(Z[kept], y[kept], weight[kept], 0.01)
    np.testing.assert_allclose(own[1], alone)


def test_the_light_of_the_other_classes_never_sees_the_class_itself():
    data, hurt, _ = spurious(3)
    Z, y = StandardScaler().fit_transform(data.X_train), data.y_train
    folds = draw_folds(y, 2, 1, np.random.RandomState(0))
    logits, _ = cross_fit.cross_fitted(Z, y, cross_fit.class_balanced(y), 1e-3, folds)

    def light(hurt):
        cells, said = as_cells(y, ~hurt, hurt, 3), said_by_shortcut(y, hurt, logits)
        return transferred(Z, y, 1, cells, said, 1e-3)

    before = light(hurt)
    assert roc_auc_score(hurt[y == 1], before) > 0.95
    noisy = np.where(y == 1, np.random.RandomState(0).permutation(hurt), hurt)  # of class 1 alone
    np.testing.assert_array_equal(light(noisy), before)
    nobody = hurt & (y == 1)  # of the other classes, who say class 1 of nobody then
    assert light(nobody) is None


def test_highest_and_lowest_shares():
    y = np.repeat([0, 1], [100, 20])
    scores = np.r_[np.arange(100.0), np.arange(20.0)]
    threshold = highest(scores, y, 0.1)
    assert threshold.tolist() == [90, np.inf]  # class 1 is too small to be split
    assert highest(scores, y, 0.01)[0] == 92  # eight at least
    helped = lowest(scores, y)
    assert np.flatnonzero(helped[:100]).tolist() == list(range(70))
    assert helped[100:].all()


def test_most_of_the_way_takes_a_population_as_a_whole_and_few_of_a_tail():
    rng = np.random.RandomState(0)
    y, tail = np.zeros(2000, dtype=int), rng.normal(size=2000)
    assert 0.03 < (tail >= beyond(tail, y, 0.03)[0]).mean() < 0.08
    for size in (40, 100, 300):
        two = tail + 20 * (np.arange(2000) < size)
        assert (two >= beyond(two, y, 0.02)[0]).sum() == size
    assert np.isinf(beyond(tail[:20], y[:20], 0.03)[0])  # too few


def test_environments_move_up_the_squared_gradients():
    import torch  # the oracle: automatic differentiation

    rng = np.random.RandomState(0)
    y, z = np.arange(60) % 2, rng.normal(size=60) + 2 * (np.arange(60) % 2) - 1
    slope = _slope_of_scale(z[:, None], y)
    start = rng.normal(size=60)

    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    Z, Y = torch.tensor(z), torch.tensor(y, dtype=torch.float64)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(scale * Z, Y, reduction="none")
    per_sample = [torch.autograd.grad(loss, scale, retain_graph=True)[0] for loss in losses]
    np.testing.assert_allclose(slope, torch.stack(per_sample), atol=1e-12)
    both = np.stack([np.zeros(60), z], axis=1)  # the same as two logits
    np.testing.assert_allclose(_slope_of_scale(both, y), slope, atol=1e-12)

    w = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=RATE, maximize=True)
    for _ in range(N_STEPS // 10):
        q, g = torch.sigmoid(w), torch.tensor(slope)
        objective = ((q * g).mean() ** 2 + ((1 - q) * g).mean() ** 2) / 2
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
    mine = _ascend(slope, start, N_STEPS // 10)
    np.testing.assert_allclose(mine, w.detach().numpy(), atol=1e-6)
