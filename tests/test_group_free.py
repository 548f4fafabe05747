"""The group-free peers: their equations written down once more, their limits, what they ignore."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cross_entropy

from sklearn_hsfm import heads
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.heads import _bam, _dpe, _evals, _fg_ccdb, _inferred, _spare, _ula, _xrm
from sklearn_hsfm.metrics import worst_group_accuracy_score

QUICK = [
    heads.BAMClassifier(upweight=4.0, lr=1e-3, first_epochs=3, epochs=10),
    heads.DPEClassifier(n_members=2, epochs=10, lr=0.01),
    heads.EVaLSClassifier(n_rows=20, C=0.1),
    heads.FGCCDBClassifier(C=0.1),
    heads.SPAREClassifier(early_epochs=1, C=0.1),
    heads.ULAClassifier(tau=1.0, lr=1e-2, epochs=10),
    heads.XRMClassifier(n_draws=2, twin_epochs=3, l2=1e-2, lr=1e-2, epochs=10),
]
FREE = [clf for clf in QUICK if not isinstance(clf, heads.DPEClassifier)]
NO_CELLS = pytest.mark.filterwarnings("ignore:In none of")


@pytest.fixture(scope="module")
def digits():
    return load_digit_dominoes(random_state=0)


def fit(clf, data, *, groups=False):
    known = {"groups": data.groups_train, "groups_val": data.groups_val} if groups else {}
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, **known)


def standardized(data):
    scaler = StandardScaler().fit(data.X_train)
    return scaler.transform(data.X_train), scaler.transform(data.X_val)


class Told(BaseEstimator):
    """A finder that knows the answer: the sign of the first column."""

    def fit(self, X, y):
        return self

    def predict(self, X, y):
        return np.array([f"{c}{s}" for c, s in zip(y, X[:, 0] > 0, strict=True)])


# EVaLS


def test_high_and_low_by_hand():
    losses = np.array([0.1, 0.9, 0.5, 0.3, 2.0, 1.0, 3.0, 0.0])
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert sorted(_evals.high_and_low(losses, y, 1)) == [0, 1, 6, 7]
    assert sorted(_evals.high_and_low(losses, y, 99)) == list(range(8))
    uneven = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert np.bincount(uneven[_evals.high_and_low(losses, uneven, 3)]).tolist() == [2, 2]


def test_evals_chooses_by_the_worst_inferred_cell(data):
    clf = fit(heads.EVaLSClassifier(finder=Told(), random_state=0), data)
    assert len(clf.cv_results_["params"]) == 9
    assert clf.selection_ == "worst_group"
    assert len(clf.cell_sizes_) == 4
    n_choose = clf.cell_sizes_.sum()
    assert 0.4 * len(data.y_val) < n_choose < 0.6 * len(data.y_val)
    # The rows that chose are those whose accuracies are the score of the head.
    _, Z = standardized(data)
    rng = np.random.RandomState(0)
    retrain, choose = _evals.mined_and_selecting(data.y_val, None, 0.5, rng)
    assert not (retrain & choose).any()
    cells = Told().predict(Z[choose], data.y_val[choose])
    right = clf.predict(data.X_val[choose]) == data.y_val[choose]
    worst = min(right[cells == c].mean() for c in np.unique(cells))
    assert clf.best_score_ == pytest.approx(worst)


def test_evals_retrains_on_the_rows_of_erms_losses(data):
    clf = heads.EVaLSClassifier(n_rows=10, C=0.1, finder=Told(), random_state=0)
    fit(clf, data)
    Z, Z_val = standardized(data)
    erm = LogisticRegression(C=0.01, max_iter=1000).fit(Z, data.y_train)
    rng = np.random.RandomState(0)
    retrain, _ = _evals.mined_and_selecting(data.y_val, None, 0.5, rng)
    X, y = Z_val[retrain], data.y_val[retrain]
    losses = -log_softmax(np.c_[np.zeros(len(X)), erm.decision_function(X)], axis=1)
    order = [np.flatnonzero(y == c)[np.argsort(losses[y == c, c])] for c in (0, 1)]
    part = np.concatenate([np.r_[o[:10], o[-10:]] for o in order])
    l1 = {"l1_ratio": 1} if hasattr(LogisticRegression(), "l1_ratio") else {"penalty": "l1"}
    try:
        sparse = LogisticRegression(C=0.1, solver="liblinear", max_iter=100, **l1)
        sparse.fit(X[part], y[part])
    except ValueError:  # before scikit-learn 1.8
        sparse = LogisticRegression(C=0.1, solver="liblinear", max_iter=100, penalty="l1")
        sparse.fit(X[part], y[part])
    np.testing.assert_allclose(
        clf.decision_function(data.X_val[retrain]), sparse.decision_function(X), atol=0.05
    )


# XRM


def test_flip_probability_by_hand():
    np.testing.assert_allclose(_xrm.flip_probability(np.array([0.5, 0.75, 1.0]), 2), [0, 0.5, 1])
    np.testing.assert_allclose(_xrm.flip_probability(np.array([1 / 3, 1.0]), 3), [0, 1], atol=1e-15)


def test_the_step_of_the_twins_is_torchs_gradient():
    rng = np.random.RandomState(0)
    y, X = rng.randint(3, size=40), rng.normal(size=(40, 5))
    twins = _xrm.Twins(y, 3, [{"lr": 0.1}, {"lr": 0.1}], np.random.RandomState(1))
    batch = rng.permutation(40)[:17]
    logits = rng.normal(size=(4, 3, 17))
    twins.working[1, batch[:5]] = 2
    working, owner = twins.working.copy(), twins.owner
    slope = twins.slopes(logits, batch)
    t = torch.tensor(logits, requires_grad=True)
    loss = 0.0
    for s in (0, 1):
        pair = torch.stack([t[s], t[2 + s]])  # (2, n_classes, n_rows)
        own = pair[owner[batch], :, torch.arange(17)]
        target = torch.tensor(working[s, batch])
        losses = cross_entropy(own, target, reduction="none")
        loss = loss + sum(losses[target == c].mean() for c in target.unique())
    loss.backward()
    np.testing.assert_allclose(slope, t.grad.numpy(), atol=1e-12)
    untouched = np.setdiff1d(np.arange(40), batch)
    assert np.array_equal(twins.working[:, untouched], working[:, untouched])
    assert X.shape == (40, 5)


def test_a_sure_other_head_changes_the_label_and_one_at_chance_does_not():
    y = np.zeros(6, dtype=int)
    twins = _xrm.Twins(y, 2, [{"lr": 0.1}], np.random.RandomState(0))
    twins.owner[:] = 0
    logits = np.zeros((2, 2, 6))
    twins.slopes(logits, np.arange(6))
    assert (twins.working == 0).all()
    logits[0, 1] = 50.0  # of the head that owns the rows, which has no say
    twins.slopes(logits, np.arange(6))
    assert (twins.working == 0).all()
    logits[1, 1] = 50.0
    twins.slopes(logits, np.arange(6))
    assert (twins.working == 1).all()


def test_misread_is_by_either_head():
    X, y = np.eye(3), np.array([0, 0, 0])
    coef = np.zeros((2, 2, 3))
    coef[0, 1] = [1, 0, 0]  # the first head misreads row 0, the second row 1
    coef[1, 1] = [0, 1, 0]
    wrong = _xrm.misread(coef, np.zeros((2, 2)), X, y)
    assert wrong.tolist() == [[True, True, False]]


def test_xrm_finds_the_hurt_rows_of_the_dominoes(digits):
    clf = fit(heads.XRMClassifier(l2=1e-2, lr=1e-2, random_state=0), digits)
    _, of_row = np.unique(digits.groups_train, return_inverse=True)
    sizes = np.bincount(of_row)
    minority = sizes[of_row] < np.median(sizes)
    hurt = clf.labels_ % 2 == 1
    precision, recall = minority[hurt].mean(), hurt[minority].mean()
    assert precision > 0.5 > minority.mean() * 2
    assert recall > 0.5
    assert 0 < clf.flip_rate_ < 0.5


def test_xrm_with_a_finder_is_group_dro_on_its_cells(data):
    settings = {"l2": 1e-2, "lr": 1e-2, "epochs": 5, "random_state": 0}
    clf = fit(heads.XRMClassifier(finder=Told(), **settings), data)
    Z, Z_val = standardized(data)
    cells = Told().predict(Z, data.y_train)
    assert len(np.unique(clf.labels_)) == 4
    assert np.isnan(clf.flip_rate_)
    told = heads.GroupDROClassifier(**settings)
    told.fit(
        data.X_train, data.y_train, data.X_val, data.y_val,
        groups=cells, groups_val=Told().predict(Z_val, data.y_val),
    )  # fmt: skip
    # The draws differ by the seed of the finder alone, so the heads are alike and not the same.
    cosine = np.vdot(clf.coef_, told.coef_) / np.linalg.norm(clf.coef_) / np.linalg.norm(told.coef_)
    assert cosine > 0.95


def test_xrm_says_when_it_finds_nobody(data):
    clf = heads.XRMClassifier(n_draws=1, twin_epochs=1, epochs=1)
    rng = np.random.RandomState(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 3)) * 0.01 + 5 * y[:, None]
    with pytest.warns(UserWarning, match="classes stand in for cells"):
        clf.fit(X, y)


# BAM


def test_bam_is_the_published_descent(data):
    """Both stages, against torch: offsets are parameters, with momentum and decay."""
    settings = {"upweight": 7.0, "help": 3.0, "l2": 0.02, "lr": 0.01}
    clf = heads.BAMClassifier(
        first_epochs=2, epochs=2, batch_size=64, selection="last", random_state=3, **settings
    )
    fit(clf, data)
    Z, _ = standardized(data)
    X, y = torch.tensor(Z), torch.tensor(data.y_train)
    outer = np.random.RandomState(3)
    rng = np.random.RandomState(outer.randint(np.iinfo(np.int32).max))
    W = torch.zeros(2, X.shape[1], dtype=float, requires_grad=True)
    b = torch.zeros(2, dtype=float, requires_grad=True)
    offsets = torch.zeros(len(y), 2, dtype=float, requires_grad=True)
    stages = [([W, offsets], True), ([W], False)]
    wrong = None
    for decayed, helped in stages:
        decay = {"params": decayed, "weight_decay": 0.02}
        sgd = torch.optim.SGD([decay, {"params": [b]}], lr=0.01, momentum=0.9)
        for _ in range(2):
            order = rng.permutation(len(y))
            for batch in np.split(order, np.arange(64, len(order), 64)):
                logits = X[batch] @ W.T + b
                if helped:
                    logits = logits + 3.0 * offsets[batch]
                losses = cross_entropy(logits, y[batch], reduction="none")
                if not helped:
                    weight = torch.where(wrong, 7.0, 1.0).double()
                    losses = losses * (weight / weight.mean())[batch]
                sgd.zero_grad()
                losses.mean().backward()
                sgd.step()
        if helped:
            wrong = (X @ W.T + b).argmax(dim=1) != y
    assert np.array_equal(clf.error_set_, wrong.numpy())
    assert wrong.any()
    with torch.no_grad():
        logits = (X @ W.T + b).numpy()
    np.testing.assert_allclose(
        clf.decision_function(data.X_train), logits[:, 1] - logits[:, 0], atol=1e-8
    )


def test_class_difference_by_hand():
    y = np.array([0, 0, 1, 1, 2, 2])
    said = np.array([0, 0, 1, 0, 0, 0])
    log_proba = np.log(np.eye(3)[said] + 1e-9)
    assert _bam.class_difference(y, log_proba) == pytest.approx(-(0.5 + 1.0 + 0.5) / 3)


def test_bam_says_when_there_is_nothing_to_weigh_up():
    y = np.arange(60) % 2
    X = np.random.RandomState(0).normal(size=(60, 3)) * 0.01 + 5 * y[:, None]
    with pytest.warns(UserWarning, match="reads every sample"):
        heads.BAMClassifier(help=0.0, lr=0.1, first_epochs=3, epochs=1, random_state=0).fit(X, y)


# SPARE


def test_spare_weights_by_hand():
    cells = np.array([0, 0, 0, 1, 2, 2])
    y = np.array([0, 0, 0, 0, 1, 1])
    weight = _spare.spare_weights(cells, y, np.array([1.0, 2.0]))
    np.testing.assert_allclose(weight[:3], 0.5)  # two clusters and two classes weigh the same
    np.testing.assert_allclose(weight[3:], [1.5, 1.5, 1.5])
    squared = _spare.spare_weights(cells, y, np.array([2.0, 1.0]))
    assert squared[3] / squared[0] == pytest.approx(9)
    assert squared[:4].sum() == pytest.approx(squared[4:].sum())


def test_spare_weights_of_a_large_power_leave_the_smallest_cluster_alone():
    cells, y = np.array([0, 0, 1, 2, 2, 2, 3, 3]), np.array([0, 0, 0, 1, 1, 1, 1, 1])
    weight = _spare.spare_weights(cells, y, np.array([1e300, 1e300]))
    np.testing.assert_allclose(weight, [0, 0, 4, 0, 0, 0, 2, 2])


def test_clusters_that_are_apart_have_power_one():
    rng = np.random.RandomState(0)
    near, apart = rng.normal(size=(80, 2)), rng.normal(size=(80, 2)) * 0.01
    apart[:10] += 5
    y = np.repeat([0, 1], 80)
    cells, powers = _spare.clusters(np.concatenate([near, apart]), y, 5, 0)
    assert powers.tolist() == [2, 1]
    of_second = cells[80:]
    assert len(set(of_second[:10])) == len(set(of_second[10:])) == 1
    assert not set(of_second) & set(cells[:80])
    same, powers = _spare.clusters(np.zeros((9, 2)), np.repeat([0, 1], [5, 4]), 5, 0)
    assert same.tolist() == [0] * 5 + [1] * 4
    assert powers.tolist() == [2, 2]


def test_spare_with_power_zero_is_class_balanced_erm(data):
    clf = fit(heads.SPAREClassifier(power=0.0, C=0.1, random_state=0), data)
    Z, _ = standardized(data)
    plain = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000).fit(Z, data.y_train)
    np.testing.assert_allclose(
        clf.decision_function(data.X_train), plain.decision_function(Z), atol=1e-3
    )


# uLA


def test_log_prior_by_hand():
    said, y = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    expected = np.log([[3 / 5, 2 / 5], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(_ula.log_prior(said, y, 2), expected)


def test_ula_is_descent_on_adjusted_logits(data):
    clf = heads.ULAClassifier(
        tau=1.5, l2=0.03, lr=0.01, epochs=2, batch_size=64, selection="last", random_state=5
    )
    fit(clf, data)
    Z, _ = standardized(data)
    biased = LogisticRegression(C=1e-4, class_weight="balanced", max_iter=1000)
    said = biased.fit(Z, data.y_train).predict(Z)
    X, y = torch.tensor(Z), torch.tensor(data.y_train)
    outer = np.random.RandomState(5)
    rng = np.random.RandomState(outer.randint(np.iinfo(np.int32).max))
    W = torch.zeros(2, X.shape[1], dtype=float, requires_grad=True)
    b = torch.zeros(2, dtype=float, requires_grad=True)
    decay = {"params": [W], "weight_decay": 0.03}
    sgd = torch.optim.SGD([decay, {"params": [b]}], lr=0.01, momentum=0.9)
    adjusted = torch.tensor(1.5 * _ula.log_prior(said, data.y_train, 2)[said])
    for _ in range(2):
        order = rng.permutation(len(y))
        for batch in np.split(order, np.arange(64, len(order), 64)):
            sgd.zero_grad()
            cross_entropy(X[batch] @ W.T + b + adjusted[batch], y[batch]).backward()
            sgd.step()
    with torch.no_grad():
        logits = (X @ W.T + b).numpy()
    np.testing.assert_allclose(
        clf.decision_function(data.X_train), logits[:, 1] - logits[:, 0], atol=1e-8
    )


def test_ula_chooses_by_the_mean_over_cells(data):
    clf = fit(heads.ULAClassifier(random_state=0), data)
    assert clf.selection_ == "mean_cell"
    Z, Z_val = standardized(data)
    biased = LogisticRegression(C=1e-4, class_weight="balanced", max_iter=1000)
    said = biased.fit(Z, data.y_train).predict(Z_val)
    right = clf.predict(data.X_val) == data.y_val
    cells = [(said == s) & (data.y_val == c) for s, c in itertools.product((0, 1), (0, 1))]
    expected = np.mean([right[cell].mean() for cell in cells if cell.any()])
    assert clf.best_score_ == pytest.approx(expected)


# FG-CCDB


def test_ccdb_weights_by_hand():
    said = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    weight, cells = _fg_ccdb.ccdb_weights(said, y, 2)
    assert cells.tolist() == [[3, 1], [1, 3]]
    assert weight[3] / weight[0] == pytest.approx(3)
    assert weight.mean() == pytest.approx(1)


@pytest.mark.parametrize("sizes", [[30, 10, 15, 5], [50, 3, 2, 90], [7, 1, 9, 40]])
def test_answers_are_distributed_alike_in_every_class(sizes):
    said, y = np.repeat([0, 0, 1, 1], sizes), np.repeat([0, 1, 0, 1], sizes)
    weight, M = _fg_ccdb.ccdb_weights(said, y, 2)
    q = np.bincount(said) / len(said)
    for c in (0, 1):
        of_class = np.bincount(said[y == c], weights=weight[y == c])
        np.testing.assert_allclose(of_class / of_class.sum(), q)
        assert of_class.sum() == pytest.approx(len(y) / 2)
    assert M.ravel().tolist() == sizes


def test_the_surest_of_each_class():
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    assert _fg_ccdb.surest(proba, np.array([0, 0, 1, 1]), 0.5).tolist() == [
        True,
        False,
        True,
        False,
    ]


# DPE


def test_a_row_is_on_the_sphere_and_a_constant_one_is_nothing():
    U = _dpe.on_sphere([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    np.testing.assert_allclose(U, [[-(0.5**0.5), 0, 0.5**0.5], [0, 0, 0]])
    rows = np.random.RandomState(0).normal(size=(4, 6))
    for scale in (1e-300, 1e-200, 1e200, 1e307):
        with np.errstate(all="raise"):
            found = _dpe.on_sphere(scale * rows)
        np.testing.assert_allclose(found, _dpe.on_sphere(rows))


def test_dpe_is_the_published_loss(data):
    """Three members, an epoch each, against torch on a loss written down once more."""
    clf = heads.DPEClassifier(
        n_members=3, epochs=1, lr=0.01, selection="last", random_state=4, batch_size=1000,
        covariance_decay=0.5,
    )  # fmt: skip
    fit(clf, data, groups=True)
    X = data.X_val
    U = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    U = torch.nn.functional.normalize(torch.tensor(U))
    y, rng = torch.tensor(data.y_val), np.random.RandomState(4)
    _, cells = np.unique(
        np.column_stack([data.y_val, data.groups_val[:, None] == np.arange(4)]),
        axis=0, return_inverse=True,
    )  # fmt: skip
    before = []
    for k in range(3):
        rows = [rng.permutation(np.flatnonzero(cells.ravel() == c)) for c in range(4)]
        rows = np.concatenate([r[: min(map(len, rows))] for r in rows])
        P = torch.tensor(0.01 * rng.normal(size=(2, X.shape[1])), requires_grad=True)
        s = torch.ones(1, dtype=float, requires_grad=True)
        rng.permutation(rows)
        unit = torch.nn.functional.normalize(P)
        distance = s.abs() * (U[rows][:, None] - unit[None]).norm(dim=2)
        loss = cross_entropy(-30 * distance, y[rows])
        loss = loss + 10 * (P * P).sum(dim=1).mean()
        if k:
            all_ = torch.stack([P, *before])
            cov = torch.einsum("kcd,lcd->ckl", all_, all_) / (X.shape[1] - 1)
            penalty = 5e4 / (1 + 0.5 * (k - 1))
            loss = loss + penalty * (cov[:, 0, 1:].sum(dim=1) / len(all_)).mean().abs()
        loss.backward()
        with torch.no_grad():
            before.append(P - 0.01 * P.grad)
            scale = s - 0.01 * s.grad
        np.testing.assert_allclose(clf.prototypes_[k], before[k].numpy(), atol=1e-8)
        np.testing.assert_allclose(clf.distance_scales_[k], scale.numpy()[0], atol=1e-8)


def test_dpe_averages_probabilities_of_distances(data):
    clf = fit(clone(QUICK[1]).set_params(random_state=0), data, groups=True)
    U = _dpe.on_sphere(data.X_test)
    proba = 0
    for P, s in zip(clf.prototypes_, clf.distance_scales_, strict=True):
        P = P / np.linalg.norm(P, axis=1, keepdims=True)
        near = np.exp(-abs(s) * np.linalg.norm(U[:, None] - P, axis=2))
        proba = proba + near / near.sum(axis=1, keepdims=True) / len(clf.prototypes_)
    np.testing.assert_allclose(clf.predict_proba(data.X_test), proba, atol=1e-9)
    assert not hasattr(clf, "coef_")


def test_dpe_does_not_look_at_training_rows_beside_validation_rows(data):
    clf = clone(QUICK[1]).set_params(random_state=0)
    first = fit(clf, data).prototypes_
    other = data.X_train[::-1] + 0.1
    again = clf.fit(other, data.y_train, data.X_val, data.y_val).prototypes_
    np.testing.assert_array_equal(first, again)


def test_dpe_that_overflows_is_an_error(data):
    with pytest.raises(ValueError, match="Lower lr or the penalties"):
        fit(heads.DPEClassifier(n_members=1, norm_penalty=1e300, lr=1e300), data)
    far = heads.DPEClassifier(n_members=1, epochs=1, norm_penalty=0, lr=1e180, random_state=0)
    with pytest.raises(ValueError, match="finite prototypes"):  # whose squares are none
        fit(far, data)


# All of them


@NO_CELLS
@pytest.mark.parametrize("clf", FREE, ids=lambda c: type(c).__name__)
def test_groups_change_nothing_where_none_are_used(data, clf):
    if clf.uses.validation_groups_select:
        pytest.skip("groups select where they are given")
    clf = clone(clf).set_params(random_state=0)
    np.testing.assert_array_equal(fit(clf, data).coef_, fit(clone(clf), data, groups=True).coef_)
    assert not clf.uses.training_groups
    assert not clf.uses.validation_groups_fit


@pytest.mark.parametrize("cls", [heads.EVaLSClassifier, heads.XRMClassifier])
def test_a_finder_is_cloned_seeded_and_checked(data, cls):
    finder = ShortcutFinder("mistakes")
    quick = {"epochs": 2} if cls is heads.XRMClassifier else {"n_rows": 10, "C": 0.1}
    fit(cls(finder=finder, random_state=0, **quick), data)
    assert not hasattr(finder, "labels_")
    assert finder.random_state is None

    class Wrong(Told):
        def predict(self, X, y):
            return np.zeros((len(y), 2))

    with pytest.raises(ValueError, match=r"cells of shape .* one id a sample"):
        fit(cls(finder=Wrong(), **quick), data)
    with pytest.raises(ValueError, match="'finder' parameter"):
        fit(cls(finder="mistakes", **quick), data)


def test_cells_are_numbered():
    cells = _inferred.cells_of(Told(), np.array([[1.0], [-1.0], [1.0]]), np.array([0, 0, 1]))
    assert cells.tolist() == [1, 0, 2]
    assert _inferred.membership(cells).sum(axis=0).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("clf", "least"),
    [
        (heads.BAMClassifier(random_state=0), 0.4),
        (heads.DPEClassifier(n_members=5, lr=0.01, random_state=0), 0.6),
        (heads.EVaLSClassifier(random_state=0), 0.6),
        (heads.SPAREClassifier(random_state=0), 0.4),
        (heads.XRMClassifier(random_state=0), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_is_better_than_erm_in_the_worst_group(digits, clf, least):
    pred = fit(clf, digits).predict(digits.X_test)
    assert worst_group_accuracy_score(digits.y_test, pred, digits.groups_test) > least


@NO_CELLS
@pytest.mark.parametrize("clf", QUICK, ids=lambda c: type(c).__name__)
def test_one_seed_one_result_that_survives_pickle(data, clf):
    clf = clone(clf).set_params(random_state=7)
    first = fit(clf, data).predict_proba(data.X_test)
    torch.manual_seed(0)
    again = pickle.loads(pickle.dumps(fit(clone(clf), data)))
    np.testing.assert_array_equal(again.predict_proba(data.X_test), first)
