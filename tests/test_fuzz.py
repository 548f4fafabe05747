"""Whatever comes in, what comes out is a finite result or an error that names its argument.

Hypothesis draws features, labels, groups, validation rows and parameters, sensible and not. CI
runs the profile "quick", a minute or so; ``pytest tests/test_fuzz.py --hypothesis-profile=long``
draws 10,000 examples for each estimator.
"""

import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, ValidationSet, heads, selection
from sklearn_hsfm.adapters import ContrastiveAdapter
from sklearn_hsfm.discovery import ShortcutFinder
from sklearn_hsfm.environments import EnvironmentAdaptiveClassifier, EnvironmentAdaptiveRegressor
from sklearn_hsfm.metrics import (
    group_scores,
    groups_from_attributes,
    macro_std_score,
    worst_class_accuracy_score,
    worst_group_accuracy,
    worst_group_accuracy_score,
)

# The words by which an error says what it is about.
NAMES = re.compile(
    r"\b(X|y|X_val|y_val|X_extra|y_extra|extra_weight|groups|groups_val|y_true|y_pred|y_proba"
    r"|train_groups|log_proba|fraction|param_grid|init_head|first|second|place|class|classes"
    r"|selection|scoring|images|features|times|alphas|concept|attributes|n_neighbors|causal|lr"
    r"|environments|environment_summary)\b"
    r"|'\w+' parameter of"
)
# scikit-learn's own checks of X and y, whose words are known from every estimator of it.
OF_SCIKIT_LEARN = (
    "Expected 2D array",
    "Found array with",
    "Found input variables",
    "could not convert string to float",  # of a regressor's y
)
NOT_DOCUMENTED = (RuntimeWarning, FutureWarning, DeprecationWarning)
ODD = [np.nan, np.inf, -1.0, 0.0, -1, 0, None, "a", (), (1.0, np.nan), True, 1e300, 1e-300, [2, 3]]


def outcome(call):
    """Return what a call returns, or None for an error that names what is wrong."""
    with warnings.catch_warnings():
        for category in NOT_DOCUMENTED:
            warnings.simplefilter("error", category)
        try:
            return call()
        except (ValueError, TypeError) as error:
            said = str(error)
        if not (NAMES.search(said) or said.startswith(OF_SCIKIT_LEARN)):
            pytest.fail(f"an error that names nothing: {said}")
        return None


# What is drawn.


@st.composite
def features(draw, n, d, *, odd=True):
    """Return features of many kinds: types, scales, constant columns, equal rows; odd ones."""
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    X = rng.normal(size=(n, d))
    X *= draw(st.sampled_from([1.0, 1.0, 1.0, 1e-3, 20.0, 1e4, 1e-12, 1e12]))
    X += draw(st.sampled_from([0.0, 0.0, 0.0, 1.0, 1e6]))
    kind = draw(st.sampled_from(["as is"] * 6 + ["constant", "one constant", "equal", "counts"]))
    if kind == "constant":
        X[:] = X[:1, :1]
    elif kind == "one constant":
        X[:, 0] = 0
    elif kind == "equal" and n:
        X[:] = X[rng.randint(max(1, n // 4), size=n)]
    elif kind == "counts":
        X = rng.randint(3, size=(n, d)).astype(float)
    X = X.astype(draw(st.sampled_from(["f8", "f8", "f4", "f4", "i8", object])))
    if odd and n:
        X = draw(st.sampled_from([X, X * 1e-30, X * 1e25, X * 1e160, X.tolist(), X.astype("f2")]))
        if isinstance(X, np.ndarray) and X.dtype.kind == "f" and draw(st.booleans()):
            X[rng.randint(n), rng.randint(d)] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return X


SOUND = {
    "int": np.array([3, 7, -2, 10]),
    "bool": np.array([False, True, False, True]),
    "text": np.array(["a", "$b$", "_c", "d\\"]),
    "object": np.array(["a", "b", "c", "d"], dtype=object),
    "float": np.array([0.0, 1.0, 2.0, 3.0]),
}
UNSOUND = {
    "fractions": np.array([0.5, 1.5, 2.5, 3.5]),
    "mixed": np.array(["a", 1, "c", 2], dtype=object),
    "missing": np.array([None, 1, 2, 3], dtype=object),
    "nan": np.array([np.nan, 1.0, 2.0, 3.0]),
    "bytes": np.array([b"a", b"b", b"c", b"d"]),
}


@st.composite
def labels(draw, n, n_classes, kind):
    """Return labels of one kind, balanced or not."""
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    share = draw(st.sampled_from(["even", "even", "random", "rare"]))
    if share == "even":
        index = rng.permutation(np.arange(n) % n_classes)
    elif share == "random":
        index = rng.randint(n_classes, size=n)
    else:
        index = np.where(np.arange(n) < 2 * n_classes, np.arange(n) % n_classes, 0)
    return {**SOUND, **UNSOUND}[kind][index]


@st.composite
def groups_of(draw, n, *, odd=True):
    """Return groups, disjoint or overlapping, or what is none."""
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    few = rng.randint(draw(st.integers(1, 4)), size=n)
    found = [None, few, few, few.astype(str), few.astype(float), np.arange(n), few.tolist()]
    if odd:
        share = draw(st.sampled_from([0.0, 0.1, 0.6]))
        found += [rng.uniform(size=(n, draw(st.integers(0, 3)))) < share] * 4
        found += [3, "abc", few[:-1], np.eye(n), [*few.tolist(), "a"], np.array(few, object)]
        found.append([few[:1].tolist(), *few[1:].tolist()])  # ragged
        found += [np.where(few == 0, missing, few) for missing in (np.nan, None)]
    return draw(st.sampled_from(found))


@st.composite
def problems(draw):
    """Return arguments of ``fit``: half of them fit together, the others may not."""
    odd = draw(st.booleans())
    d, n_classes = draw(st.integers(1, 6)), draw(st.integers(1 if odd else 2, 4))
    kind = draw(st.sampled_from([*SOUND, *(UNSOUND if odd else ())]))
    n = draw(st.sampled_from([0, 1, 2, 5, 12, 20, 40] if odd else [16, 40, 60]))
    given = {"X": draw(features(n, d, odd=odd)), "y": draw(labels(n, n_classes, kind))}
    if draw(st.booleans()):
        n_val = draw(st.sampled_from([0, 1, 3, 8, 15, 30, n] if odd else [9, 30, 50]))
        d_val = draw(st.sampled_from([d, d, d, d + 1] if odd else [d]))
        kind_val = draw(st.sampled_from([kind, kind, kind, "text"] if odd else [kind]))
        given["X_val"] = draw(features(n_val, d_val, odd=odd))
        given["y_val"] = draw(labels(n_val, n_classes, kind_val))
        given["groups_val"] = draw(groups_of(n_val, odd=odd))
        if odd and draw(st.integers(0, 4)) == 0:
            del given[draw(st.sampled_from(["X_val", "y_val"]))]
        elif draw(st.integers(0, 4)) == 0:
            parts = (given.pop(name) for name in ("X_val", "y_val", "groups_val"))
            given["X_val"] = ValidationSet(*parts)
    given["groups"] = draw(groups_of(n, odd=odd))
    return given


@st.composite
def init_heads(draw):
    """Return a head to start from, or what is none."""
    C = draw(st.integers(1, 4))
    coef = np.zeros((C, draw(st.integers(1, 6)))) + draw(st.sampled_from([0.0, 1.0, 1e30, np.nan]))
    some = st.sampled_from([LogisticRegression(), (coef, np.zeros(C)), (coef,), ("a", "b"), [1, 2]])
    return draw(st.one_of(st.none(), st.none(), st.none(), some))


QUICK = {"epochs": 2, "steps": 3, "n_retrains": 2, "n_repeats": 1, "KH": 2, "T": 2}
QUICK |= {"first_epochs": 2, "twin_epochs": 2, "n_draws": 2, "n_members": 2, "n_stages": 1}
QUICK["random_state"] = 0
RATES = {
    "lr",
    "l2",
    "inner_lr",
    "outer_lr",
    "eta",
    "gamma",
    "reg",
    "C",
    "upweight",
    "perturbation_lr",
}
KEPT = {"device", "n_jobs", "progress", "verbose", "random_state", "first", "second", "init_head"}


@st.composite
def changed(draw, estimator):
    """Return an estimator with a parameter or two that are unusual, or none at all."""
    names = sorted(set(estimator.get_params(deep=False)) - KEPT)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        name = draw(st.sampled_from(names))
        value = draw(st.sampled_from(ODD))
        if name in RATES and draw(st.booleans()):
            value = draw(st.sampled_from([1e-8, 1.0, 1e3, 1e8, (1e-3, 1e6)]))
        elif name in QUICK and isinstance(value, int):
            value = min(value, 3)
        estimator = clone(estimator).set_params(**{name: value})
    if "init_head" in estimator.get_params(deep=False):
        estimator = clone(estimator).set_params(init_head=draw(init_heads()))
    return estimator


def quick(estimator):
    own = estimator.get_params(deep=False)
    return estimator.set_params(**{k: v for k, v in QUICK.items() if k in own})


def estimators():
    both = LogisticRegression(), heads.ClassBalancedClassifier()
    for cls in (HSFMClassifier, HSFMClassifierCV):
        yield quick(cls())
    for name in heads.__all__:
        if name != "LabelUse":
            found = getattr(heads, name)(*(both if name == "HeadAverager" else ()))
            yield quick(
                found.set_params(
                    **({"random_state": 0} if "random_state" in found.get_params() else {})
                )
            )


def bits(value):
    return np.asarray(value).tobytes()


def global_state():
    """Return what no fit may move."""
    return {
        "generator of torch": bits(torch.get_rng_state()),
        "generator of numpy": str(np.random.get_state()),  # noqa: NPY002
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "denormals": torch.tensor([1e-310], dtype=torch.float64).mul(1).item(),
    }


def unmoved(call, **given):
    """Return the outcome of a call that must change neither what it is given nor global state."""
    before = {k: bits(v) for k, v in given.items() if isinstance(v, np.ndarray)}
    state = global_state()
    found = outcome(lambda: call(**given))
    now = global_state()
    moved = [name for name in state if state[name] != now[name]]
    assert not moved, f"global state has moved: {moved}"
    assert before == {k: bits(given[k]) for k in before}, "inputs were changed"
    return found


@pytest.mark.parametrize("estimator", list(estimators()), ids=lambda e: type(e).__name__)
@given(data=st.data())
def test_fits(estimator, data):
    problem, estimator = data.draw(problems()), data.draw(changed(estimator))
    if isinstance(estimator, HSFMClassifier):
        problem.pop("groups")
    if isinstance(estimator, heads.ExtraRowsClassifier):
        extra = {"X_extra": problem.get("X_val"), "y_extra": problem.get("y_val")}
        problem = {"X": problem["X"], "y": problem["y"], **extra}
        if isinstance(extra["X_extra"], ValidationSet):
            return
    fitted = unmoved(lambda **given: clone(estimator).fit(**given), **problem)
    if fitted is None:
        return
    for name, value in vars(fitted).items():
        if name in ("coef_", "intercept_", "init_coef_", "support_", "heads_", "best_score_", "C_"):
            assert np.isfinite(value).all(), f"{name} is not finite"
    proba = outcome(lambda: fitted.predict_proba(problem["X"]))
    assert proba is not None
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert set(fitted.predict(problem["X"]).tolist()) <= set(fitted.classes_.tolist())
    again = outcome(lambda: clone(estimator).fit(**problem))
    head = "coef_" if hasattr(fitted, "coef_") else "prototypes_"
    assert bits(getattr(again, head)) == bits(getattr(fitted, head)), "not the same bits again"


@given(data=st.data())
def test_finders(data):
    problem = data.draw(problems())
    finder = data.draw(changed(ShortcutFinder(random_state=0)))
    X, y = problem["X"], problem["y"]
    fitted = outcome(lambda: clone(finder).fit(X, y))
    if fitted is None:
        return
    n, n_classes = len(fitted.labels_), len(fitted.classes_)
    assert np.isfinite(fitted.scores_).all()
    assert fitted.cells_.shape == (n, 2 * n_classes)
    assert set(fitted.labels_ // 2) <= set(range(n_classes))
    assert 0 <= fitted.strength_ <= 1
    assert fitted.reason_
    new = outcome(lambda: fitted.predict(X, y))
    assert new is not None
    assert np.array_equal(new // 2, fitted.labels_ // 2)


@given(data=st.data())
def test_adapters(data):
    problem = data.draw(problems())
    adapter = data.draw(changed(quick(ContrastiveAdapter(n_hidden=4, cv=2))))
    X, y = problem["X"], problem["y"]
    fitted = unmoved(lambda X, y: clone(adapter).fit(X, y), X=X, y=y)
    if fitted is None:
        return
    mapped = outcome(lambda: fitted.transform(X))
    assert mapped is not None
    assert mapped.shape == np.shape(X)
    assert np.isfinite(mapped).all()
    again = outcome(lambda: clone(adapter).fit(X, y))
    assert bits(again.transform(X)) == bits(mapped), "not the same bits again"


@pytest.mark.parametrize("cls", [EnvironmentAdaptiveClassifier, EnvironmentAdaptiveRegressor])
@given(data=st.data())
def test_environments(cls, data):
    problem = data.draw(problems())
    X, y, ids = problem["X"], problem["y"], problem["groups"]
    if cls is EnvironmentAdaptiveRegressor and data.draw(st.booleans()):
        y = np.random.RandomState(0).normal(size=len(y)) * data.draw(
            st.sampled_from([1.0, 1e-12, 1e12, 1e160, 0.0])
        )
    start = cls(form=data.draw(st.sampled_from(["auto", "soft"])), hidden=4, warm_up=1)
    estimator = data.draw(changed(quick(start)))
    fit = {"X": X, "y": y, "environments": ids}
    fitted = unmoved(lambda **given: clone(estimator).fit(**given), **fit)
    if fitted is None:
        return
    assert np.isfinite(fitted.summaries_).all()
    # Together the rows are one environment, which may be one row.
    for of in (ids, None):
        read = outcome(lambda of=of: fitted.predict(X, environments=of))
        assert read is not None or min(np.unique(np.asarray(ids), return_counts=True)[1]) < 2
        if read is not None and cls is EnvironmentAdaptiveRegressor:
            assert np.isfinite(read).all()
        elif read is not None:
            assert set(read.tolist()) <= set(fitted.classes_.tolist())
            proba = outcome(lambda of=of: fitted.predict_proba(X, environments=of))
            assert np.isfinite(proba).all()
            np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    weights = outcome(lambda: fitted.covariate_weights(X))
    if weights is None:
        return
    assert ((weights >= 0) & (weights <= 1 + 1e-9)).all()
    again = outcome(lambda: clone(estimator).fit(**fit))
    assert bits(again.covariate_weights(X)) == bits(weights), "not the same bits again"


@st.composite
def predictions(draw):
    n, n_classes = draw(st.sampled_from([0, 1, 2, 5, 20])), draw(st.integers(1, 4))
    kind = draw(st.sampled_from([*SOUND, *SOUND, *UNSOUND]))
    y_true = draw(labels(n, n_classes, kind))
    n_pred = draw(st.sampled_from([n] * 9 + [n + 1]))
    y_pred = draw(labels(n_pred, n_classes, draw(st.sampled_from([kind] * 9 + ["text"]))))
    return y_true, y_pred, draw(groups_of(n))


@given(drawn=predictions(), data=st.data())
def test_metrics(drawn, data):
    y_true, y_pred, groups = drawn
    odd = st.sampled_from([*ODD, "wilson", "bootstrap", 0.9, 50])
    options = {}
    for name in ("interval", "confidence", "n_bootstrap", "random_state"):
        if data.draw(st.integers(0, 4)) == 0:
            value = data.draw(odd)
            too_many = name == "n_bootstrap" and isinstance(value, float) and value > 1e3
            options[name] = 10 if too_many else value
    train = data.draw(st.one_of(st.none(), groups_of(5)))
    scores = outcome(lambda: group_scores(y_true, y_pred, groups, train_groups=train, **options))
    if scores is not None:
        assert 0 <= scores.worst_low <= scores.worst_high <= 1
        assert 0 <= scores.worst <= scores.group_mean <= 1
        assert str(scores)
    worst = outcome(lambda: worst_group_accuracy_score(y_true, y_pred, groups))
    assert worst is None or 0 <= worst <= 1
    if worst is not None and scores is not None:
        assert worst == scores.worst
    lowest = outcome(lambda: worst_class_accuracy_score(y_true, y_pred))
    assert lowest is None or 0 <= lowest <= np.mean(y_true == y_pred)
    spread = outcome(lambda: macro_std_score(y_true, y_pred, groups))
    assert spread is None or 0 <= spread <= 0.5
    ids = outcome(lambda: groups_from_attributes(y_true, place=groups))
    assert ids is None or len(ids) == len(y_true)


class _Says:
    def __init__(self, y):
        self.y = y

    def predict(self, X):
        return self.y


@given(drawn=predictions())
def test_scorers(drawn):
    y_true, y_pred, groups = drawn
    scored = outcome(lambda: worst_group_accuracy(_Says(y_pred), None, y_true, groups=groups))
    assert scored is None or 0 <= scored <= 1


@given(drawn=predictions(), data=st.data())
def test_rules(drawn, data):
    y, _, groups = drawn
    n = len(y)
    if data.draw(st.booleans()) and n:
        y = np.unique([str(label) for label in y], return_inverse=True)[1]
    shape = data.draw(st.sampled_from([(n, 4), (n, 4), (n, 2), (n,), (n + 1, 4), (n, 0)]))
    log_proba = np.log(np.random.RandomState(0).dirichlet(np.ones(max(1, shape[-1])), n + 1))
    log_proba = np.resize(log_proba, shape)
    if data.draw(st.integers(0, 4)) == 0 and log_proba.size:
        log_proba.flat[0] = data.draw(st.sampled_from([np.nan, -np.inf, np.inf]))
    for rule in selection.RULES.values():
        value = outcome(lambda rule=rule: rule(y, log_proba, groups))
        assert value is None or not np.isnan(value)
