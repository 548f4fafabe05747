"""The last-layer methods: published recipes, limits that are ERM, labels, persistence."""

import pickle

import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import ValidationSet, heads, selection
from sklearn_hsfm._choosing.folds import stratified_part
from sklearn_hsfm.datasets import load_digit_dominoes, make_spurious_features
from sklearn_hsfm.heads import _base, _group_dro, _lff, _perturbation
from sklearn_hsfm.heads._descent import Adam, balanced_over
from sklearn_hsfm.metrics import worst_group_accuracy_score
from tests.test_heads_checks import QUICK

NO_GROUPS = pytest.mark.filterwarnings("ignore:fit got no groups")
LARGEST = np.iinfo(np.int32).max


@pytest.fixture(scope="module")
def digits():
    return load_digit_dominoes(random_state=0)


def fit(clf, data, *, groups=True, **more):
    known = {"groups": data.groups_train, "groups_val": data.groups_val} if groups else {}
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, **known, **more)


def erm(data, C=1.0, **params):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    return model.fit(data.X_train, data.y_train, **params)


# The published recipes, written down once more.


def test_dfr_is_the_published_recipe(data):
    seed, Cs, n_retrains = 3, (1.0, 0.1, 0.03), 4
    clf = heads.DFRClassifier(Cs=Cs, n_retrains=n_retrains, random_state=seed)
    fit(clf, data)

    rng = np.random.RandomState(seed)
    X, y, g = data.X_val, data.y_val, data.groups_val

    def balanced(rows):
        members = [rng.permutation(rows[g[rows] == k]) for k in (1, 0, 3, 2)]
        return np.concatenate([m[: min(map(len, members))] for m in members])

    def sparse(A, b, C):
        model = LogisticRegression(C=C, solver="liblinear", random_state=rng.randint(LARGEST), **L1)
        return model.fit(A, b)

    L1 = {"l1_ratio": 1} if hasattr(LogisticRegression(), "l1_ratio") else {}
    if LogisticRegression().get_params().get("penalty") == "l2":  # before scikit-learn 1.8
        L1 = {"penalty": "l1"}
    order = rng.permutation(len(y))
    first, second = order[: len(y) // 2], order[len(y) // 2 :]
    rows = balanced(first)
    scaler = StandardScaler().fit(X[rows])
    worst = []
    for C in Cs:
        right = sparse(scaler.transform(X[rows]), y[rows], C).predict(scaler.transform(X[second]))
        right = right == y[second]
        worst.append(min(right[g[second] == k].mean() for k in np.unique(g)))
    best = Cs[int(np.argmax(worst))]
    assert clf.scores_ == pytest.approx(dict(zip(Cs, worst, strict=True)))
    assert best == clf.C_

    scaler = StandardScaler().fit(data.X_train)
    logits = np.zeros(len(data.X_test))
    for _ in range(n_retrains):
        rows = balanced(np.arange(len(y)))
        model = sparse(scaler.transform(X[rows]), y[rows], best)
        logits += model.decision_function(scaler.transform(data.X_test)) / n_retrains
    np.testing.assert_allclose(clf.decision_function(data.X_test), logits, atol=1e-6)


def test_balanced_rows_hold_as_many_of_every_cell():
    cells = np.repeat([0, 3, 7], [5, 9, 2])
    rows = _base.balanced_rows(cells, np.random.RandomState(0))
    assert np.unique(cells[rows], return_counts=True)[1].tolist() == [2, 2, 2]
    assert len(set(rows)) == 6


@pytest.mark.parametrize("reg", [0.0, 0.2])
def test_afr_is_the_published_descent(data, reg):
    seed, gamma, steps = 5, 6.0, 40
    clf = heads.AFRClassifier(
        gamma=gamma, reg=reg, steps=steps, selection="last", random_state=seed, clip_norm=0.3
    )
    fit(clf, data)

    held = stratified_part(data.y_train, 0.2, np.random.RandomState(seed))
    scaler = StandardScaler().fit(data.X_train)
    X, y = scaler.transform(data.X_train), torch.tensor(data.y_train)
    first = LogisticRegression(C=0.01, max_iter=1000).fit(X[~held], data.y_train[~held])
    X = torch.tensor(X[held])
    y = y[held]
    linear = torch.nn.Linear(X.shape[1], 2).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(np.vstack([-first.coef_, first.coef_]) / 2))
        linear.bias.copy_(torch.tensor(np.r_[-first.intercept_, first.intercept_]) / 2)
    start = [p.detach().clone() for p in linear.parameters()]
    p = torch.softmax(linear(X), 1).gather(1, y[:, None])[:, 0].detach()
    mu = torch.exp(-gamma * p)
    mu = mu * len(y) / torch.bincount(y)[y]
    mu /= mu.sum()
    sgd = torch.optim.SGD(linear.parameters(), lr=0.01)
    for _ in range(steps):
        sgd.zero_grad()
        loss = mu @ torch.nn.functional.cross_entropy(linear(X), y, reduction="none")
        for now, then in zip(linear.parameters(), start, strict=True):
            loss = loss + reg * (now - then).square().sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(linear.parameters(), 0.3)
        sgd.step()
    logits = linear(torch.tensor(scaler.transform(data.X_test))).detach().numpy()
    np.testing.assert_allclose(
        clf.decision_function(data.X_test), logits[:, 1] - logits[:, 0], atol=1e-5
    )
    assert clf.effective_rows_ == pytest.approx(1 / (mu**2).sum())


def test_the_two_solvers_of_afr_agree_where_it_is_convex(data):
    params = {"gamma": 2.0, "reg": 0.3, "selection": "last", "random_state": 0}
    exact = fit(heads.AFRClassifier(solver="lbfgs", **params), data)
    steps = fit(heads.AFRClassifier(steps=3000, lr=0.1, **params), data)
    np.testing.assert_allclose(exact.coef_, steps.coef_, atol=1e-4)


def test_group_weights_by_hand():
    log_q = _group_dro.updated_log_weights(np.log([0.25, 0.75]), np.array([2.0, 1.0]), 0.5)
    expected = np.array([0.25 * np.e, 0.75 * np.e**0.5])
    np.testing.assert_allclose(np.exp(log_q), expected / expected.sum())


def test_group_weights_come_back_however_large_the_steps():
    log_q = np.log([0.5, 0.5])
    for losses in ([3.0, 1.0], [1.0, 3.0]):  # e ** 2000 overflows
        log_q = _group_dro.updated_log_weights(log_q, np.array(losses), 1000.0)
    np.testing.assert_allclose(np.exp(log_q), [0.5, 0.5])


def test_group_weights_follow_the_size_adjustment(data):
    # A head that does not move gives every row log 2: only the adjustments differ.
    clf = heads.GroupDROClassifier(
        eta=0.1, size_adjustment=2.0, l2=0.0, lr=1e-30, epochs=7, batch_size=1000,
        balanced_sampling=False, random_state=0,
    )  # fmt: skip
    fit(clf, data)
    n = np.bincount(data.groups_train)
    expected = np.exp(7 * 0.1 * 2.0 / np.sqrt(n))
    np.testing.assert_allclose(clf.group_weights_, expected / expected.sum())


def test_loss_means_and_weights_of_lff():
    means = _lff.LossMeans(np.array([0, 0, 1]), 2, smoothing=0.7)
    means.update(np.array([0, 1]), np.array([[1.0, 2.0], [4.0, 1.0]]))
    means.update(np.array([0]), np.array([[3.0], [4.0]]))
    biased, other = means.scaled(np.array([0, 1]))
    np.testing.assert_allclose(biased, np.array([0.7 * 1 + 0.3 * 3, 2.0]) / 2.0)
    np.testing.assert_allclose(other, np.array([4.0, 1.0]) / 4.0)
    weights = _lff.relative_difficulty(biased, other)
    np.testing.assert_allclose(weights, biased / (biased + other), rtol=1e-6)


def test_the_ten_characteristics_of_clp():
    rng = np.random.RandomState(0)
    W, X, y = rng.normal(size=(3, 5)), rng.normal(size=(6, 5)), np.array([0, 1, 2, 0, 1, 1])
    X[:, -1] = 1
    share, means = torch.tensor([2, 3, 1]) / 6, torch.tensor(rng.normal(size=(2, 3)))
    found = _perturbation.characteristics(
        *(torch.tensor(a) for a in (W, X, y)), share, means
    ).numpy()
    z = X @ W.T
    P = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    for i, c in enumerate(y):
        loss, margin = -np.log(P[i, c]), P[i, c] - np.delete(P[i], c).max()
        w, x = W[c, :-1], X[i, :-1]
        expected = [
            loss, margin, np.linalg.norm(P[i] - np.eye(3)[c]),
            w @ x / np.linalg.norm(w) / np.linalg.norm(x), -(P[i] * np.log(P[i])).sum(),
            share[c], means[0, c], np.linalg.norm(w), loss - means[0, c], margin - means[1, c],
        ]  # fmt: skip
        np.testing.assert_allclose(found[i], np.array(expected, dtype=float), rtol=1e-6)


def test_clp_knows_the_mean_loss_and_margin_of_each_class():
    rng = np.random.RandomState(0)
    W, X, y = rng.normal(size=(2, 3)), rng.normal(size=(5, 3)), np.array([0, 0, 1, 0, 1])
    found = _perturbation.class_means(*(torch.tensor(a) for a in (W, X, y)), 2).numpy()
    P = np.exp(X @ W.T)
    own = (P / P.sum(axis=1, keepdims=True))[np.arange(5), y]
    for c in (0, 1):
        expected = [-np.log(own[y == c]).mean(), (2 * own[y == c] - 1).mean()]
        np.testing.assert_allclose(found[:, c], expected)


def test_the_perturbations_of_clp_are_learnt_from_metadata(digits):
    clf = fit(heads.CLPClassifier(lr=1e-2, epochs=10, random_state=0), digits, groups=False)
    shifts, hurt = (
        clf.perturbations_,
        digits.y_train != np.char.endswith(digits.groups_train, "lower=1"),
    )
    assert np.abs(shifts).max() <= 1
    # Rows against the shortcut are those that metadata ask for: their logits are made harder.
    assert shifts[hurt].mean() < shifts[~hurt].mean()


def test_clp_learns_an_intercept():
    rng = np.random.RandomState(0)
    X, X_val = rng.normal(size=(300, 3)), rng.normal(size=(60, 3))
    y, y_val = (np.arange(300) % 5 == 0).astype(int), np.arange(60) % 2
    clf = heads.CLPClassifier(random_state=0, lr=1e-2).fit(X, y, X_val, y_val)
    # Features of no use: what is learnt is that class 1 is rare, not what centring adds.
    assert clf.intercept_ < -5 * np.abs(clf.coef_ @ X.mean(axis=0))


def test_self_fits_the_rows_of_most_worth_in_each_class_alone():
    rng = np.random.RandomState(0)
    X, y, order = rng.normal(size=(20, 3)), np.arange(20) % 2, rng.permutation(20)
    clf = heads.SELFClassifier(steps=5)
    clf.classes_ = np.arange(2)
    erm = np.zeros((2, 3)), np.zeros(2)

    def fitted(X, y, order):
        *_, last = clf._stacks(None, (erm, X, y, order), [{"n_rows": 6, "lr": 0.01}], 0)
        return last

    best = np.concatenate([order[y[order] == c][:3] for c in (0, 1)])
    for part, alone in zip(
        fitted(X, y, order), fitted(X[best], y[best], np.arange(6)), strict=True
    ):
        np.testing.assert_allclose(part, alone)


# Limits in which a method is ERM.


@pytest.mark.filterwarnings("ignore:The first head gets every sample")
def test_jtt_without_errors_is_erm():
    rng = np.random.RandomState(0)
    y = np.arange(100) % 2
    X = rng.normal(size=(100, 3)) + 20 * y[:, None]
    clf = heads.JTTClassifier(C=0.1, random_state=0).fit(X, y, X[:30], y[:30])
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(X, y)
    assert not clf.error_set_.any()
    np.testing.assert_allclose(clf.decision_function(X), plain.decision_function(X), atol=1e-8)


def test_the_first_head_of_jtt_is_the_most_penalised_of_its_grid(data):
    errors = [fit(heads.JTTClassifier(C=C), data).error_set_ for C in (1e-3, [10.0, 1e-3], 10.0)]
    assert np.array_equal(errors[0], errors[1])
    assert not np.array_equal(errors[1], errors[2])


def test_jtt_without_weight_is_erm(data):
    clf = fit(heads.JTTClassifier(upweight=0.0, C=0.1), data)
    assert clf.error_set_.any()
    np.testing.assert_allclose(
        clf.decision_function(data.X_test), erm(data, 0.1).decision_function(data.X_test), atol=1e-8
    )


def test_afr_without_gamma_is_erm_on_the_rows_held_out(data):
    d, reg = data.X_train.shape[1], 0.05
    clf = heads.AFRClassifier(
        gamma=0.0, reg=reg, class_balance=False, solver="lbfgs", random_state=1,
        init_head=(np.zeros((2, d)), np.zeros(2)),
    )  # fmt: skip
    fit(clf, data)
    held = stratified_part(data.y_train, 0.2, np.random.RandomState(1))
    scaler = StandardScaler().fit(data.X_train)
    X = np.column_stack([scaler.transform(data.X_train), np.ones(len(data.X_train))])[held]
    # AFR penalises the intercept, and two rows of which each is half the log-odds.
    plain = LogisticRegression(C=1 / (reg * held.sum()), fit_intercept=False, tol=1e-10)
    w = plain.fit(X, data.y_train[held]).coef_[0]
    logits = scaler.transform(data.X_test) @ w[:-1] + w[-1]
    np.testing.assert_allclose(clf.decision_function(data.X_test), logits, atol=1e-5)
    assert clf.effective_rows_ == pytest.approx(held.sum())


def test_lisa_without_mixing_is_erm_on_the_same_batches(data):
    attribute = data.groups_train % 2
    clf = heads.LISAClassifier(
        alpha=0, l2=0.1, lr=1e-2, epochs=5, batch_size=64, selection="last", random_state=0
    )
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups=attribute)
    rng = np.random.RandomState(np.random.RandomState(0).randint(LARGEST))
    rng.randint(LARGEST)  # what LISA mixes with
    scaler = StandardScaler().fit(data.X_train)

    X, y = scaler.transform(data.X_train), torch.tensor(data.y_train)
    linear = torch.nn.Linear(X.shape[1], 2).double()
    for part in linear.parameters():
        torch.nn.init.zeros_(part)
    groups = [{"params": [linear.weight], "weight_decay": 0.1}, {"params": [linear.bias]}]
    sgd = torch.optim.SGD(groups, lr=1e-2, momentum=0.9)
    batches = balanced_over(2 * data.y_train + attribute, X, 64, rng)
    for _ in range(5):
        for X_batch, batch in batches():
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(
                linear(torch.from_numpy(X_batch)), y[batch]
            ).backward()
            sgd.step()
    logits = linear(torch.tensor(scaler.transform(data.X_test))).detach().numpy()
    np.testing.assert_allclose(
        clf.decision_function(data.X_test), logits[:, 1] - logits[:, 0], atol=1e-9
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_path_starts_and_ends_at_its_heads(n_classes):
    data = make_spurious_features(n_classes=n_classes, random_state=0)
    first = LogisticRegression().fit(data.X_train, data.y_train)
    second = LogisticRegression(C=1e-3).fit(data.X_val, data.y_val)
    for alpha, end in ((0, first), (1, second), (0.25, None)):
        clf = fit(
            heads.HeadAverager(first, second, alpha=alpha, balance="none"), data, groups=False
        )
        if end is not None:
            np.testing.assert_allclose(
                clf.decision_function(data.X_test), end.decision_function(data.X_test)
            )
            clf.set_params(balance="temperature")
            fit(clf, data, groups=False)
            assert np.array_equal(clf.predict(data.X_test), end.predict(data.X_test))
        else:
            mixed = [e.decision_function(data.X_test) for e in (first, second)]
            np.testing.assert_allclose(
                clf.decision_function(data.X_test), 0.75 * mixed[0] + 0.25 * mixed[1]
            )


def test_without_extra_rows_it_is_erm(data):
    plain = erm(data, 0.01).decision_function(data.X_test)
    extra = {"X_extra": data.X_val, "y_extra": data.y_val}
    for params, more in (
        ({}, {}),
        ({"extra_weight": 0.0}, extra),
        ({}, extra | {"extra_weight": 0}),
    ):
        clf = heads.ExtraRowsClassifier(**params).fit(data.X_train, data.y_train, **more)
        np.testing.assert_allclose(clf.decision_function(data.X_test), plain, atol=1e-6)


def test_an_extra_row_of_weight_two_counts_as_two(data):
    doubled = {"X_extra": np.r_[data.X_val, data.X_val], "y_extra": np.r_[data.y_val, data.y_val]}
    first = heads.ExtraRowsClassifier().fit(data.X_train, data.y_train, **doubled)
    second = heads.ExtraRowsClassifier(extra_weight=2.0).fit(
        data.X_train, data.y_train, X_extra=data.X_val, y_extra=data.y_val
    )
    np.testing.assert_allclose(first.coef_, second.coef_, atol=1e-6)


# What they do, and what they are given.


@pytest.mark.parametrize(
    ("clf", "least"),
    [
        (heads.AFRClassifier(gamma=8.0, reg=(0.0, 0.1), random_state=0), 0.6),
        (heads.CLPClassifier(lr=1e-2, epochs=15, random_state=0), 0.3),
        (heads.CVaRDROClassifier(alpha=0.1, l2=1e-4, random_state=0), 0.3),
        (heads.ClassBalancedClassifier(), 0.8),
        (heads.DFRClassifier(random_state=0), 0.8),
        (heads.GroupDROClassifier(l2=1e-4, random_state=0), 0.7),
        (heads.JTTClassifier(random_state=0), 0.7),
        (heads.LISAClassifier(l2=1e-4, random_state=0), 0.7),
        (heads.LfFClassifier(l2=1e-4, random_state=0), 0.2),
        (heads.SELFClassifier(random_state=0), 0.7),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:Every group lies within one class")
def test_each_is_better_than_erm_in_the_worst_group(digits, clf, least):
    plain = worst_group_accuracy_score(
        digits.y_test, erm(digits, 0.01).predict(digits.X_test), digits.groups_test
    )
    assert plain < 0.2
    pred = fit(clf, digits).predict(digits.X_test)
    assert worst_group_accuracy_score(digits.y_test, pred, digits.groups_test) > least


@NO_GROUPS
@pytest.mark.parametrize("clf", QUICK, ids=lambda c: type(c).__name__)
def test_many_classes_and_persistence(clf):
    data = make_spurious_features(n_train=600, n_val=300, n_classes=3, random_state=0)
    if isinstance(clf, heads.ExtraRowsClassifier):
        clf.fit(data.X_train, data.y_train)
    else:
        fit(clf, data, groups=False)
    proba = clf.predict_proba(data.X_test)
    assert proba.shape == (len(data.X_test), 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert clf.score(data.X_test, data.y_test) > 0.38
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(again.predict(data.X_test), clf.predict(data.X_test))
    blob = skops.io.dumps(clf)
    again = skops.io.loads(blob, trusted=skops.io.get_untrusted_types(data=blob))
    assert np.array_equal(again.predict_proba(data.X_test), proba)


@pytest.mark.filterwarnings("ignore:Every group lies within one class")
@pytest.mark.parametrize("clf", QUICK, ids=lambda c: type(c).__name__)
def test_one_seed_one_result(data, clf):
    if isinstance(clf, heads.ExtraRowsClassifier):
        pytest.skip("it draws nothing")
    clf = clf.set_params(random_state=7)
    first = fit(clf, data).coef_
    torch.manual_seed(0)  # torch's global state plays no part
    assert np.array_equal(fit(clf, data).coef_, first)


def test_group_ids_of_any_kind(data):
    names = np.array(["sea", "land", "sky", "wood"])
    for clf in (heads.DFRClassifier(random_state=0), heads.GroupDROClassifier(random_state=0)):
        first = fit(clf, data).coef_
        clf.fit(
            data.X_train, data.y_train, data.X_val, data.y_val,
            groups=names[data.groups_train],
            groups_val=data.groups_val[:, None] == np.arange(4),
        )  # fmt: skip
        score = clf.coef_ @ first.T / np.linalg.norm(clf.coef_) / np.linalg.norm(first)
        assert score > 0.9  # other draws, for names sort otherwise


def test_dfr_finds_groups_that_training_rows_bring(data):
    """Rows that are held out keep their groups, so DFR needs no validation set."""
    clf = heads.DFRClassifier(balance="group", random_state=0)
    clf.fit(data.X_train, data.y_train, groups=data.groups_train)
    assert clf.coef_.shape == (1, 32)


def test_labels_that_are_missing_are_named(data):
    X, y, X_val, y_val = data.X_train, data.y_train, data.X_val, data.y_val
    for clf, more, message in (
        (heads.DFRClassifier(balance="group"), {}, "validation samples .* Pass groups_val"),
        (heads.DFRClassifier(balance="group", variant="train"), {}, "groups of the|got none"),
        (heads.CLPClassifier(meta_balance="group"), {}, "meta_balance='group'.*Pass groups_val"),
        (heads.AFRClassifier(selection="worst_group"), {}, "fit got no groups_val"),
        (heads.GroupDROClassifier(), {"groups": np.zeros(3)}, "groups has 3 rows"),
        (heads.GroupDROClassifier(), {"groups": np.ones((len(y), 2), bool)}, "exactly one"),
    ):
        with pytest.raises(ValueError, match=message):
            clf.fit(X, y, X_val, y_val, **more)
    missing = data.groups_train.astype(object)
    missing[4] = None
    with pytest.raises(ValueError, match=r"missing .* first in sample 4"):
        heads.GroupDROClassifier().fit(X, y, X_val, y_val, groups=missing)


@pytest.mark.parametrize(
    ("clf", "message"),
    [
        (heads.DFRClassifier(n_retrains=1), "balanced over classes instead"),
        (heads.GroupDROClassifier(epochs=1), "classes stand in"),
        (heads.LISAClassifier(epochs=1), "right and wrong stand in"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_in_for_groups_is_said(data, clf, message):
    with pytest.warns(UserWarning, match=message):
        fit(clf, data, groups=False)


def test_lisa_says_when_it_cannot_mix_classes(data):
    with pytest.warns(UserWarning, match="all mixing is within classes"):
        fit(heads.LISAClassifier(epochs=1), data)


def test_bad_extra_rows_are_refused(data):
    clf = heads.ExtraRowsClassifier()
    rows = {"X_extra": data.X_val, "y_extra": data.y_val}
    for more, message in (
        ({"X_extra": data.X_val}, "come together"),
        (rows | {"y_extra": data.y_val + 5}, r"labels that y does not have: \[5"),
        (rows | {"extra_weight": [1.0]}, "one number, or one"),
        (rows | {"extra_weight": -1.0}, "0 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            clf.fit(data.X_train, data.y_train, **more)


def test_validation_rows_choose_among_settings(data):
    clf = fit(heads.JTTClassifier(upweight=(0.0, 20.0), C=(0.01, 0.1), random_state=0), data)
    assert len(clf.cv_results_["params"]) == 4
    assert clf.best_score_ == max(clf.cv_results_["score"])
    assert clf.selection_ == "worst_group"
    score = worst_group_accuracy_score(data.y_val, clf.predict(data.X_val), data.groups_val)
    assert score == pytest.approx(clf.best_score_)


@pytest.mark.parametrize(
    ("clf", "fitted"),
    [
        (heads.AFRClassifier(gamma=(4.0, 8.0), reg=(0.0, 0.1), steps=50), "effective_rows_"),
        (heads.CLPClassifier(lr=(1e-3, 1e-2), epochs=3), "perturbations_"),
        (heads.CVaRDROClassifier(l2=(1e-4, 0.1), lr=(1e-3, 1e-2), epochs=5), "coef_"),
        (heads.GroupDROClassifier(l2=(1e-4, 0.1), lr=(1e-3, 1e-2), epochs=5), "group_weights_"),
        (heads.LISAClassifier(l2=(1e-4, 0.1), lr=(1e-3, 1e-2), epochs=5), "coef_"),
        (heads.LfFClassifier(l2=(1e-4, 0.1), lr=(1e-3, 1e-2), epochs=5), "row_weights_"),
        (heads.SELFClassifier(n_rows=(20, 40), steps=20), "coef_"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:Every group lies within one class")
def test_settings_that_are_solved_together_are_as_alone(data, clf, fitted):
    clf.set_params(selection="tail_loss", random_state=0)  # a score that any difference moves
    fit(clf, data)
    found, chosen = clf.cv_results_, clf.best_params_
    for setting, score, epoch in zip(*found.values(), strict=True):
        alone = fit(clone(clf).set_params(**setting), data)
        assert alone.best_score_ == pytest.approx(score, rel=1e-9)
        assert alone.best_epoch_ == epoch
        if setting == chosen:
            for name in ("coef_", "intercept_", fitted):
                np.testing.assert_allclose(
                    getattr(clf, name), getattr(alone, name), rtol=1e-7, atol=1e-9
                )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the overflow that is wanted here
def test_a_rate_at_which_no_epoch_is_finite_is_said(data):
    clf = heads.CVaRDROClassifier(lr=1e300, epochs=3, selection="tail_loss", random_state=0)
    with pytest.raises(ValueError, match=r"No epoch of any setting .*'lr': 1e\+300.*Lower"):
        fit(clf, data)


def test_weighted_accuracy_chooses_without_groups(data):
    params = {"gamma": (0.0, 8.0), "reg": 0.1, "steps": 50, "random_state": 0}
    clf = fit(heads.AFRClassifier(selection="weighted_accuracy", **params), data, groups=False)
    assert clf.selection_ == "weighted_accuracy"
    assert 0 < clf.best_score_ <= 1


def test_validation_set_object(data):
    held = ValidationSet(data.X_val, data.y_val, data.groups_val)
    clf = heads.SELFClassifier(n_rows=20, lr=1e-2, steps=10, random_state=0)
    first = clf.fit(data.X_train, data.y_train, held).coef_
    assert np.array_equal(fit(clf, data).coef_, first)


def test_uses_are_said_in_words():
    words = {name: str(getattr(heads, name).uses) for name in heads.__all__ if name != "LabelUse"}
    assert words["DFRClassifier"] == "validation labels; validation groups to fit and select"
    assert words["GroupDROClassifier"].startswith("training groups; validation labels")
    assert words["ClassBalancedClassifier"] == "validation labels"
    assert words["ExtraRowsClassifier"] == "nothing"


def test_a_callable_rule_chooses(data):
    clf = heads.JTTClassifier(selection=selection.tail_loss, upweight=4.0, C=0.01)
    assert fit(clf, data).selection_ == "tail_loss"


LONG = [clf for clf in QUICK if "progress" in clf.get_params()]


def test_what_descends_or_retrains_has_a_bar():
    names = {type(clf).__name__.removesuffix("Classifier") for clf in LONG}
    assert names == {"AFR", "BAM", "CLP", "CVaRDRO", "DFR", "GroupDRO", "LISA", "LfF", "ULA", "XRM"}


@pytest.mark.parametrize("clf", LONG)
def test_what_takes_long_shows_a_bar_if_asked(clf, data, capsys):
    fit(clone(clf), data)
    assert capsys.readouterr().err == ""
    fit(clone(clf).set_params(progress=True), data)
    assert f"{type(clf).__name__}: " in capsys.readouterr().err


def test_adam_is_torchs():
    start, gradients = torch.ones(3), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    weights, step = start.numpy().copy(), Adam()
    reference = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([reference], lr=0.1)
    for gradient in gradients:
        weights = weights - 0.1 * step(gradient.numpy())
        reference.grad = gradient
        optimizer.step()
    np.testing.assert_allclose(weights, reference.detach().numpy(), rtol=1e-5)


def test_a_class_of_one_validation_row_leaves_nothing_to_fold(data):
    y_val = np.where(np.arange(len(data.y_val)) == 0, 1, 0)
    clf = heads.ClassBalancedClassifier(Cs=(0.1, 0.3, 1.0))
    assert clf.fit(data.X_train, data.y_train, data.X_val, y_val).C_ == 0.3
