"""Values that cannot be right are refused by name, and numbers that overflow reach no head."""

import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, heads, selection

QUICK = {"epochs": 2, "random_state": 0}
TWO = {"first": LogisticRegression(), "second": LogisticRegression()}
GRID = {"C": [0.01], "inner_lr": [1e-3], "outer_lr": [0.1]}


def several(estimator):
    """Return the parameters of an estimator that may be tuples."""
    accepted = type(estimator)._parameter_constraints
    return [n for n, kinds in accepted.items() if any("tuple or list of" in str(k) for k in kinds)]


TUNED = [
    (type(e), name)
    for e in (
        *(getattr(heads, n)() for n in heads.__all__ if n not in ("HeadAverager", "LabelUse")),
        heads.HeadAverager(**TWO),
    )
    for name in several(e)
]


@pytest.mark.parametrize(
    ("cls", "name"),
    [(HSFMClassifier, "T"), (HSFMClassifierCV, "cv"), (heads.SPAREClassifier, "early_epochs")],
)
def test_true_is_no_number(cls, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter of .* Got True"):
        cls(**{name: True}).fit(*rows(20))


def rows(n, n_classes=2, seed=0):
    rng = np.random.RandomState(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, 3))
    X[:, 0] += 2 * y
    return X, y


def test_all_parameters_that_may_be_tuples_are_tried():
    found = {(cls.__name__, name) for cls, name in TUNED}
    assert len(found) == 33
    assert {
        ("DFRClassifier", "Cs"),
        ("SELFClassifier", "n_rows"),
        ("HeadAverager", "alpha"),
    } < found


@pytest.mark.parametrize(("cls", "name"), TUNED)
@pytest.mark.parametrize("value", [(), [], ("a",), (-1.0,), (np.nan,), (None,), (np.inf,), ([1],)])
def test_values_in_tuples(cls, name, value):
    two = TWO if cls is heads.HeadAverager else {}
    X, y = rows(20)
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__}"):
        cls(**two, **{name: value}).fit(X, y)


@pytest.mark.parametrize(
    "grid",
    [
        *({**GRID, "C": [value]} for value in ("a", [1.0], None, True, np.nan, -1.0, 0.0, np.inf)),
        *({**GRID, "T": [value]} for value in ("a", 2.5, 0, None, True)),
        [GRID, 3],
        [],
        {**GRID, "C": []},
        {**GRID, "C": 1.0},
    ],
)
def test_values_in_grids(grid):
    with pytest.raises(ValueError, match="param_grid"):
        HSFMClassifierCV(grid, **QUICK).fit(*rows(40))


def test_grids_that_name_different_parameters():
    grid = [{**GRID, "T": [2]}, GRID, {**GRID, "Khard": [4]}]
    clf = HSFMClassifierCV(grid, T=3, Khard=5, n_repeats=1, scoring="worst_class", **QUICK)
    clf.fit(*rows(80), *rows(40, seed=1))
    assert [(s["T"], s["Khard"]) for s in clf.cv_results_["params"]] == [(2, 5), (3, 5), (3, 4)]


@pytest.mark.parametrize("device", ["meta", "nowhere", "cuda:99"])
@pytest.mark.parametrize("cls", [HSFMClassifier, HSFMClassifierCV])
def test_devices_that_hold_no_numbers(cls, device):
    with pytest.raises(ValueError, match="device="):
        cls(device=device).fit(*rows(20))


def test_no_device_is_a_device():
    with pytest.raises(ValueError, match="device=None"):
        HSFMClassifierCV(device=None).fit(*rows(20))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (LinearRegression(), "no coef_ and classes_"),
        (("a", 1), "of numbers"),
        ((np.full((1, 3), np.nan), [0.0]), "NaN or infinity"),
        (LogisticRegression().fit(*rows(30, 3)), "classes"),
        (LogisticRegression().fit(rows(30)[0][:, :2], rows(30)[1]), r"coef of shape \(1, 2\)"),
    ],
)
def test_heads_that_cannot_be_taken(head, message):
    X, y = rows(40)
    for take in ("init_head", "first", "second"):
        if take == "init_head":
            clf = HSFMClassifier(init_head=head, **QUICK)
        elif isinstance(head, tuple):
            continue  # HeadAverager takes estimators
        else:
            clf = heads.HeadAverager(**{**TWO, take: head})
        with pytest.raises(ValueError, match=f"{take}.*{message}"):
            clf.fit(X, y)


def test_a_sparse_head_is_taken():
    X, y = rows(40)
    model = LogisticRegression().fit(X, y)
    dense = HSFMClassifier(init_head=model, **QUICK).fit(X, y).init_coef_
    assert issparse(model.sparsify().coef_)
    np.testing.assert_array_equal(
        HSFMClassifier(init_head=model, **QUICK).fit(X, y).init_coef_, dense
    )


@pytest.mark.parametrize("value", [np.nan, None, "x", [0.5], 1j])
def test_rules_that_return_no_number(value):
    X, y = rows(60)
    for clf in (
        HSFMClassifier(selection=lambda *_: value, **QUICK),
        HSFMClassifierCV(scoring=lambda *_: value, n_repeats=1, **QUICK),
        heads.CVaRDROClassifier(selection=lambda *_: value, epochs=2),
        heads.HeadAverager(**TWO, selection=lambda *_: value),
    ):
        with pytest.raises(ValueError, match="The rule <lambda>, passed as selection or scoring"):
            clf.fit(X, y, *rows(40, seed=1))


def test_rules_may_return_what_is_minus_infinite():
    X, y = rows(60)
    calls = []

    def rule(y, log_proba, groups):
        calls.append(0)
        return -np.inf if len(calls) < 4 else 1.0

    assert HSFMClassifier(selection=rule, epochs=3, random_state=0).fit(X, y).best_epoch_ == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([0, 1], [[0.5, 0.5]]), r"log_proba has shape \(1, 2\)"),
        (([0, 1], [0.5, 0.5]), r"log_proba has shape \(2,\)"),
        (([0, 2], [[0.5, 0.5]] * 2), "y has values"),
        (([0.5, 1], [[0.5, 0.5]] * 2), "y has values"),
        ((["a", "b"], [[0.5, 0.5]] * 2), "y has values"),
        (([0, 1], [[0.5, np.nan]] * 2), "log_proba, of dtype float64, contains NaN"),
        (([0, 1], [["a", "b"]] * 2), "log_proba, of dtype"),
        (([], np.zeros((0, 2))), "log_proba has shape"),
    ],
)
@pytest.mark.parametrize("rule", ["worst_group", "worst_class", "accuracy", "tail_loss"])
def test_rules_say_what_they_cannot_take(rule, args, message):
    y, log_proba = map(np.array, args)
    with pytest.raises(ValueError, match=message):
        selection.RULES[rule](y, log_proba, np.arange(len(y)))


def test_the_part_of_tail_loss_is_a_part():
    for fraction in (0, 1.5, np.nan, "a"):
        with pytest.raises(ValueError, match="'fraction' parameter of"):
            selection.tail_loss(np.array([0]), np.zeros((1, 2)), fraction=fraction)


OVERFLOW = [
    heads.CVaRDROClassifier(lr=10.0, l2=1e5, epochs=60, random_state=0),
    heads.GroupDROClassifier(lr=10.0, l2=1e5, epochs=60, random_state=0),
    heads.LISAClassifier(lr=10.0, l2=1e5, epochs=60, random_state=0),
    heads.SELFClassifier(lr=1e300, random_state=0),
    heads.LfFClassifier(lr=1e300, l2=1e10, random_state=0),
    heads.CLPClassifier(lr=1e3, l2=1e4, epochs=3, random_state=0),
]


@pytest.mark.filterwarnings("ignore:The first head gets every sample")
@pytest.mark.parametrize("clf", OVERFLOW, ids=lambda c: type(c).__name__)
def test_heads_that_overflow_are_never_kept(clf):
    X, y = rows(60)
    groups = np.arange(60) % 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clf.fit(X, y, groups=groups)
        except ValueError as error:
            assert "finite" in str(error)  # noqa: PT017
        else:
            assert np.isfinite(clf.coef_).all()
            assert np.isfinite(clf.predict_proba(X)).all()
    assert not [w for w in caught if w.category is RuntimeWarning]


def test_one_setting_that_overflows_leaves_the_others():
    X, y = rows(60)
    clf = heads.CVaRDROClassifier(lr=(1e-3, 10.0), l2=1e5, alpha=0.3, epochs=60, random_state=0)
    with pytest.warns(ConvergenceWarning, match="1 of 2 settings stopped being finite"):
        clf.set_params(l2=0.0, lr=(1e-3, 1e308)).fit(X, y)
    assert clf.best_params_["lr"] == 1e-3


@pytest.mark.parametrize("eta", [1.0, 1000.0])
@pytest.mark.parametrize("size_adjustment", [0.0, 1e5])
def test_group_weights_stay_finite(eta, size_adjustment):
    X, y = rows(60)
    params = {"eta": eta, "size_adjustment": size_adjustment, "epochs": 3, "random_state": 0}
    clf = heads.GroupDROClassifier(**params).fit(X, y, groups=np.arange(60) % 2)
    assert clf.group_weights_.sum() == pytest.approx(1)
    assert np.isfinite(clf.coef_).all()


@pytest.mark.parametrize("gamma", [0.0, 1.0, 1e4])
def test_weights_of_afr_sum_to_one(gamma):
    p, y = np.array([0.9, 0.8, 1.0, 0.7]), np.array([0, 0, 2, 2])
    mu = heads._afr.afr_weights(p, y, gamma, True)
    assert mu.sum() == pytest.approx(1)
    if gamma == 1.0:
        direct = np.exp(-p) * (4 / np.array([2, 2, 2, 2]))
        np.testing.assert_allclose(mu, direct / direct.sum())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_of_one_row_is_on_both_sides_of_afr(n_classes):
    for one in range(n_classes):
        X, y = rows(60, n_classes)
        keep = np.r_[np.flatnonzero(y != one), np.flatnonzero(y == one)[:1]]
        held = rows(30, n_classes, seed=1)
        for seed in range(3):
            clf = heads.AFRClassifier(steps=10, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                clf.fit(X[keep], y[keep], *held)
            assert np.isfinite(clf.coef_).all()
            assert 1 <= clf.effective_rows_ <= len(keep)


def test_global_generators_are_left_alone():
    X, y = rows(60)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for name in heads.__all__:
        if name in ("LabelUse", "HeadAverager"):
            continue
        clf = getattr(heads, name)()
        if "random_state" in clf.get_params():  # None is numpy's global generator
            clf.set_params(random_state=0)
        quick = {"epochs": 1, "steps": 2, "n_retrains": 1}
        clf.set_params(**{k: v for k, v in quick.items() if k in clf.get_params()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf.fit(X, y)
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("clf", [HSFMClassifier(**QUICK), heads.ClassBalancedClassifier()])
def test_features_beyond_what_numbers_hold(clf):
    X, y = rows(60)
    with pytest.raises(ValueError, match="Feature 0 of X has values up to"):
        clf.fit(X * 1e200, y)
    clf.fit(X * 1e-3, y)
    with pytest.raises(ValueError, match="in sample 7, whose logits are not finite"):
        clf.predict(np.where(np.arange(60)[:, None] == 7, 1e308 * np.sign(clf.coef_), X))


@pytest.mark.parametrize("known", ["nothing", "validation"])
@pytest.mark.parametrize("cls", [HSFMClassifier, HSFMClassifierCV])
@pytest.mark.filterwarnings("ignore:HSFMClassifier")
def test_features_so_small_that_the_type_of_x_holds_no_head(cls, known):
    (X, y), (X_val, y_val) = rows(60), rows(40, seed=1)
    X, X_val = ((1e-42 * part).astype(np.float32) for part in (X, X_val))
    given = (X, y, X_val, y_val) if known == "validation" else (X, y)
    with pytest.raises(ValueError, match=r"fitted on X is not finite: .* beyond what float32"):
        cls(**QUICK).fit(*given)


def test_a_support_that_the_type_of_x_does_not_hold():
    X, y = rows(60)
    X = (1e30 * X).astype(np.float32)
    clf = HSFMClassifier(outer_lr=1e9, dtype="float64", **QUICK)
    with pytest.raises(ValueError, match=r"support is beyond .* float32.* Lower outer_lr=1000"):
        clf.fit(X, y, X[:50], y[:50])


@pytest.mark.parametrize("cls", [HSFMClassifier, heads.ClassBalancedClassifier])
def test_labels_of_mixed_or_other_kinds(cls):
    X, y = rows(60)
    mixed = np.array(["a", 1] * 30, dtype=object)
    with pytest.raises(ValueError, match="y mixes values of the kinds int, str"):
        cls().fit(X, mixed)
    with pytest.raises(ValueError, match=r"y is missing .* in sample 3"):
        cls().fit(X, np.where(np.arange(60) == 3, None, y.astype(object)))
    X_val, y_val = rows(30, seed=1)
    with pytest.raises(ValueError, match=r"y_val has labels that y does not have: \['[01]'"):
        cls().fit(X, y, X_val, y_val.astype(str))


def test_halves_are_no_slice_of_a_search():
    X, y = rows(40)
    both = heads.ClassBalancedClassifier(), heads.JTTClassifier(C=0.1, upweight=4.0)
    clf = heads.HeadAverager(*both, validation_fraction=0.5, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.5


def test_a_batch_larger_than_the_rows_is_all_of_them():
    X, y = rows(40)
    large, all_rows = (
        heads.CLPClassifier(batch_size=n, lr=0.1, epochs=2, random_state=0).fit(X, y)
        for n in (2**40, 32)
    )
    np.testing.assert_array_equal(large.coef_, all_rows.coef_)


@pytest.mark.parametrize("weight", [np.nan, -1.0, "a", [1.0, 2.0], np.inf, [1.0] * 11 + [-1.0]])
def test_weights_of_extra_rows(weight):
    X, y = rows(40)
    more = rows(12, seed=1)
    with pytest.raises(ValueError, match="extra_weight"):
        heads.ExtraRowsClassifier().fit(X, y, X_extra=more[0], y_extra=more[1], extra_weight=weight)
    with pytest.raises(ValueError, match="In X_extra, y_extra"):
        heads.ExtraRowsClassifier().fit(X, y, X_extra=more[0][:, :2], y_extra=more[1])
