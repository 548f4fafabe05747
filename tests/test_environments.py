"""EACS: its equations written down once more, its limits, and scikit-learn's checks."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_hsfm.environments import (
    EnvironmentAdaptiveClassifier,
    EnvironmentAdaptiveRegressor,
    environment_summary,
)
from sklearn_hsfm.environments._tasks import Classification

ONE = "ignore:fit got no environments"
BOTH = pytest.mark.parametrize(
    "make", [EnvironmentAdaptiveRegressor, EnvironmentAdaptiveClassifier]
)


def simulated(rng, shift, level, n=100):
    """Return the published simulation: c2, x and y; c1, a cause, is not seen."""
    c1, c2 = rng.normal(size=(2, n))
    if shift == "c1":
        c1 = c1 + level
    elif shift == "c2":
        c2 = c2 + level * rng.normal(size=n)
    y = c1 + c2 + rng.normal(size=n)
    x = c1 - c2 + rng.normal(size=n)
    if shift == "x":
        x = x + level * rng.normal(size=n)
    return np.column_stack([c2, x]), y


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    pairs = list(itertools.product(["c1", "c2", "x"], np.linspace(0, 4, 12)))
    parts = [simulated(rng, *pair) for pair in pairs]
    X, y = (np.concatenate(part) for part in zip(*parts, strict=True))
    return X, y, np.repeat(np.arange(len(pairs)), 100)


def targets(make, y):
    return y > np.median(y) if make is EnvironmentAdaptiveClassifier else y


def test_summary_by_hand():
    X = np.random.RandomState(0).normal(size=(40, 3)) @ [[1, 0.5, 0], [0, 1, 0.7], [0, 0, 1]]
    drawn = min(0.3, 3 / 40)
    cov = (1 - drawn) * np.cov(X.T) + drawn * np.diag(np.var(X, axis=0, ddof=1))
    P = np.linalg.inv(cov)
    partial = [-P[i, j] / np.sqrt(P[i, i] * P[j, j]) for i, j in [(0, 1), (0, 2), (1, 2)]]
    expected = [*X.mean(axis=0), *X.std(axis=0, ddof=1), *partial]
    np.testing.assert_allclose(environment_summary(X), expected)
    np.testing.assert_allclose(environment_summary(X / 100)[6:], partial)  # whatever the units
    plain = environment_summary(X, "plain")[6:]
    np.testing.assert_allclose(plain, (1 - drawn) * np.corrcoef(X.T)[np.triu_indices(3, 1)])
    X[:, 1] = 5.0
    assert environment_summary(X)[[6, 8]].tolist() == [0, 0]


def test_discrete_is_the_published_recipe(data):
    X, y, env = data
    model = EnvironmentAdaptiveRegressor(correlations="plain", choice="hard").fit(X, y, env)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    subsets = [[], [0], [1], [0, 1]]
    predictions = [np.full(len(y), y.mean())]
    heads = [LinearRegression().fit(Z[:, s], y) for s in subsets[1:]]
    predictions += [head.predict(Z[:, s]) for head, s in zip(heads, subsets[1:], strict=True)]
    losses = [[np.mean((y - p)[env == e] ** 2) for p in predictions] for e in range(36)]
    best = np.argmin(losses, axis=1)
    U = np.array([environment_summary(Z[env == e], "plain") for e in range(36)])
    units = U.mean(axis=0), U.std(axis=0)
    selector = LogisticRegression(max_iter=2000).fit((U - units[0]) / units[1], best)
    masks = np.array([[j in s for j in (0, 1)] for s in subsets])
    np.testing.assert_array_equal(model.best_subset_, masks[best])
    assert set(best) == {1, 3}  # c2 alone, or both

    for shift, level in itertools.product(["c1", "c2", "x"], [0.5, 3.5]):
        A, _ = simulated(np.random.RandomState(7), shift, level)
        B = (A - X.mean(axis=0)) / X.std(axis=0)
        u = (environment_summary(B, "plain") - units[0]) / units[1]
        s = int(selector.predict(u[None])[0])
        expected = heads[s - 1].predict(B[:, subsets[s]]) if s else np.full(len(A), y.mean())
        np.testing.assert_allclose(model.predict(A), expected, atol=1e-6)
        weights = selector.predict_proba(u[None])[0] @ masks[selector.classes_]
        mixture = EnvironmentAdaptiveRegressor(correlations="plain", choice="mixture")
        mixture.fit(X, y, env)
        np.testing.assert_allclose(mixture.covariate_weights(A), weights, atol=1e-6)


def test_the_inner_choice_leaves_environments_out(data):
    X, y, env = data
    model = EnvironmentAdaptiveRegressor(selector_C=(1e-6, 1.0), random_state=0).fit(X, y, env)
    loss = model.cv_results_["loss"]
    assert len(loss) == 4
    assert loss[0] > loss[2]  # a selector that is drawn to nothing
    best = model.cv_results_["params"][int(np.argmin(loss))]
    assert best["selector_C"] == model._form.C
    assert model._form.mixture == (best["choice"] == "mixture")
    np.testing.assert_allclose(loss[:2], losses_without_a_selector(X, y, env), rtol=1e-3)


def losses_without_a_selector(X, y, env):
    """Return those of the commonest subset, and of all subsets by how often each is the best."""
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    subsets, found = [[], [0], [1], [0, 1]], np.zeros(2)
    folds = KFold(3, shuffle=True, random_state=np.random.RandomState(0).randint(2**31 - 1))
    for kept, left in folds.split(np.arange(36)):
        rows = np.isin(env, kept)
        outputs = [np.full(len(y), y[rows].mean())]
        outputs += [LinearRegression().fit(X[rows][:, s], y[rows]).predict(X[:, s])
                    for s in subsets[1:]]  # fmt: skip
        best = [np.argmin([np.mean((y - o)[env == e] ** 2) for o in outputs]) for e in kept]
        share = np.bincount(best, minlength=4) / len(kept)
        for k, out in enumerate((outputs[share.argmax()], share @ np.array(outputs))):
            found[k] += ((y - out)[np.isin(env, left)] ** 2).sum() / len(y) / y.var()
    return found


@BOTH
@pytest.mark.parametrize("form", ["discrete", "soft"])
def test_causes_stay_in_every_environment(data, make, form):
    X, y, env = data
    model = make(form=form, causal=[0], choice="mixture", epochs=60, warm_up=10, random_state=0)
    model.fit(X, targets(make, y), env)
    weights = [model.covariate_weights(X[env == e]) for e in (0, 12, 35)]
    np.testing.assert_allclose(np.array(weights)[:, 0], 1.0)
    if form == "discrete":
        assert model.subsets_[:, 0].all()


def test_causes_by_name_and_mask(data):
    pd = pytest.importorskip("pandas", reason="named columns are pandas'")
    X, y, env = data
    frame = pd.DataFrame(X, columns=["c2", "x"])
    named = EnvironmentAdaptiveRegressor(causal=["c2"]).fit(frame, y, env)
    masked = EnvironmentAdaptiveRegressor(causal=[True, False]).fit(X, y, env)
    np.testing.assert_array_equal(named.subsets_, masked.subsets_)
    with pytest.raises(ValueError, match="causal names"):
        EnvironmentAdaptiveRegressor(causal=["weight"]).fit(frame, y, env)
    with pytest.raises(ValueError, match="beyond the 2 columns"):
        EnvironmentAdaptiveRegressor(causal=[2]).fit(X, y, env)


def test_the_gate_is_the_published_network(data):
    """One epoch after the warm-up, against torch's own layers."""
    import torch

    X, y, env = data
    settings = {"form": "soft", "hidden": 5, "epochs": 2, "warm_up": 1, "random_state": 3}
    model = EnvironmentAdaptiveRegressor(**settings).fit(X, y, env)

    rng = np.random.RandomState(3)

    def drawn(n_in, n_out):
        layer, bound = torch.nn.Linear(n_in, n_out).double(), n_in**-0.5
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(rng.uniform(-bound, bound, (n_out, n_in))))
            layer.bias.copy_(torch.tensor(rng.uniform(-bound, bound, n_out)))
        return layer

    head, a, b, c = drawn(2, 1), drawn(5, 5), drawn(5, 5), torch.nn.Linear(5, 2).double()
    torch.nn.init.zeros_(c.weight)
    torch.nn.init.zeros_(c.bias)
    gate = torch.nn.Sequential(a, torch.nn.ReLU(), b, torch.nn.ReLU(), c)
    Z = torch.tensor((X - X.mean(axis=0)) / X.std(axis=0))
    t = torch.tensor((y - y.mean()) / y.std())
    U = torch.tensor(np.array([environment_summary(Z[env == e].numpy()) for e in range(36)]))
    U = (U - U.mean(dim=0)) / U.std(dim=0, unbiased=False)
    parameters = [*head.parameters(), *gate.parameters()]
    groups = [{"params": head.parameters(), "lr": 5e-2}, {"params": gate.parameters()}]
    adam = torch.optim.Adam(groups, lr=1e-3)
    for epoch in range(2):
        loss = 0.0
        for e in range(36):
            z = torch.sigmoid(gate(U[e]) / 0.2) if epoch else 1.0
            rows = torch.tensor(env == e)
            loss = loss + ((head(Z[rows] * z)[:, 0] - t[rows]) ** 2).mean() / 36
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        adam.step()
    with torch.no_grad():
        z = torch.sigmoid(gate(U[0]) / 0.2)
        expected = (head(Z[:100] * z)[:, 0] * y.std() + y.mean()).numpy()
    np.testing.assert_allclose(model.covariate_weights(X[:100]), z.numpy(), atol=1e-9)
    np.testing.assert_allclose(model.predict(X[:100]), expected, atol=1e-8)


@pytest.mark.parametrize("form", ["discrete", "soft"])
def test_the_proxy_is_used_where_it_helps_and_left_where_it_does_not(data, form):
    X, y, env = data
    model = EnvironmentAdaptiveRegressor(form=form, epochs=400, gate_lr=3e-3, random_state=0)
    model.fit(X, y, env)
    whole = LinearRegression().fit(X, y)
    rng = np.random.RandomState(1)
    helped, hurt = [], []
    for shift, level, side in [("c1", 3.0, helped), ("x", 4.0, hurt)]:
        for _ in range(10):
            A, t = simulated(rng, shift, level)
            ours, theirs = (np.mean((m.predict(A) - t) ** 2) for m in (model, whole))
            side.append([model.covariate_weights(A)[1], ours, theirs])
    helped, hurt = np.mean(helped, axis=0), np.mean(hurt, axis=0)
    assert helped[0] > hurt[0] + 0.3
    assert hurt[1] < hurt[2]
    assert helped[1] < helped[2] * 1.05


@BOTH
@pytest.mark.parametrize("form", ["discrete", "soft"])
def test_one_environment_is_one_head(data, make, form):
    X, y, _ = data
    with pytest.warns(UserWarning, match="fit got no environments"):
        model = make(form=form, epochs=20, random_state=0).fit(X, targets(make, y))
    whole, first = model.predict(X), model.predict(X[:1])  # of which no summary is needed
    np.testing.assert_allclose(whole[:1], first)
    other = model.covariate_weights(X[:100] + 5)
    np.testing.assert_allclose(other, model.covariate_weights(X))


@pytest.mark.parametrize("epochs", [2, 3])
def test_gates_that_no_epoch_has_learnt_stay_open(data, epochs):
    X, y, env = data
    soft = EnvironmentAdaptiveClassifier(form="soft", epochs=epochs, warm_up=3, hidden=4)
    weights = soft.fit(X, y > np.median(y), env).covariate_weights(X[env == 0])
    assert (weights == 1).all()


@BOTH
def test_batches_by_environment_and_by_summary(data, make):
    X, y, env = data
    model = make(random_state=0).fit(X, targets(make, y), env)
    both = np.concatenate([X[env == 35], X[env == 0]])
    order = np.random.RandomState(0).permutation(len(both))
    ids = np.repeat(["calm", "rough"], 100)
    apart = np.concatenate([model.predict(X[env == 35]), model.predict(X[env == 0])])
    np.testing.assert_allclose(model.predict(both[order], environments=ids[order]), apart[order])
    summary = model.summarize(X[env == 0])
    single = model.predict(X[:1], environment_summary=summary)
    np.testing.assert_allclose(single, apart[100:101])
    np.testing.assert_allclose(
        model.covariate_weights(environment_summary=summary), model.covariate_weights(X[env == 0])
    )
    with pytest.raises(ValueError, match="1 sample has no deviation"):
        model.predict(X[:1])
    with pytest.raises(ValueError, match="environment_summary has shape"):
        model.predict(X, environment_summary=summary[:-1])
    with pytest.raises(ValueError, match="Pass one of them"):
        model.predict(X, environments=env, environment_summary=summary)
    with pytest.raises(ValueError, match="Pass either X"):
        model.covariate_weights()


@BOTH
def test_what_fit_refuses(data, make):
    X, y, env = data
    y = targets(make, y)
    with pytest.raises(ValueError, match="environments has 5 ids"):
        make().fit(X, y, env[:5])
    alone = env.copy()
    alone[0] = 99
    with pytest.raises(ValueError, match="1 sample has no deviation"):
        make().fit(X, y, alone)
    wide = np.random.RandomState(0).normal(size=(100, 13))
    with pytest.raises(ValueError, match="13 of them may be left out"):
        make(form="discrete").fit(wide, y[:100], env[:100] + np.arange(100) % 2)
    assert make(epochs=2).fit(wide, y[:3500:35], np.arange(100) % 2).form_ == "soft"


def test_values_whose_squares_overflow_are_refused_by_name():
    X, y, ids = np.random.RandomState(0).normal(size=(20, 2)), np.arange(20.0), np.arange(20) % 4
    with pytest.raises(ValueError, match=r"y has values up to 1.9e.201, whose spread"):
        EnvironmentAdaptiveRegressor().fit(X, 1e200 * y, ids)
    with pytest.raises(ValueError, match=r"X has values up to .*e.200, whose spread"):
        environment_summary(1e200 * X)


@BOTH
def test_rates_that_overflow_and_rows_beyond_numbers_are_refused(make):
    X, ids = np.random.RandomState(0).normal(size=(40, 2)), np.arange(40) % 4
    y, soft = (X[:, 0] > 0).astype(int), {"form": "soft", "epochs": 3, "warm_up": 1, "hidden": 4}
    for rates in ({"lr": 1e308}, {"gate_lr": 1e308}):
        with pytest.raises(ValueError, match=r"soft form is not finite.*lower lr="):
            make(**soft, **rates).fit(X, y, ids)
    for form in ({"form": "discrete"}, soft):
        fitted = make(**form, random_state=0).fit(100 * X, y, ids)
        summary = fitted.summarize(100 * X)
        far = np.where(np.arange(40)[:, None] == 7, 1.7e308 * np.sign(X), X)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read = fitted.predict(far, environment_summary=summary)
            except ValueError as error:
                assert "Sample 7 of X" in str(error)  # noqa: PT017
            else:
                assert np.isfinite(read).all()
            with pytest.raises(ValueError, match="X has values up to"):
                fitted.predict(far)


def test_three_classes_of_which_a_fold_lacks_one(data):
    X, y, env = data
    y = np.digitize(y, [-1, 1])
    y[env < 12] = np.minimum(y[env < 12], 1)
    rows = (env < 12) | (env == 35)
    model = EnvironmentAdaptiveClassifier(random_state=0).fit(X[rows], y[rows], env[rows])
    proba = model.predict_proba(X[env == 35])
    assert proba.shape == (100, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    for some in ([0, 2], [0, 1, 2]):  # a fold knows what its own regression knows
        rows = np.isin(y, some)
        coef, intercept = Classification(3, 1.0).fitted(X[rows], y[rows])
        outputs = softmax(X @ coef.T + intercept, axis=1)
        alone = LogisticRegression(max_iter=1000).fit(X[rows], y[rows])
        np.testing.assert_allclose(outputs[:, some], alone.predict_proba(X), atol=1e-8)


@BOTH
@pytest.mark.parametrize("form", ["discrete", "soft"])
def test_it_survives_pickle_and_needs_no_torch_to_predict(data, make, form):
    X, y, env = data
    model = make(form=form, epochs=5, random_state=0).fit(X, targets(make, y), env)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X[:100]), model.predict(X[:100]))
    assert b"torch" not in pickle.dumps(model)


def test_a_search_passes_environments_on(data):
    X, y, env = data
    search = GridSearchCV(EnvironmentAdaptiveRegressor(), {"choice": ["hard", "mixture"]}, cv=2)
    search.fit(X, y, environments=env)
    assert len(search.best_estimator_.environments_) == 36


class Halves(EnvironmentAdaptiveRegressor):
    """Told of two environments, for checks that call ``fit(X, y)``."""

    def fit(self, X, y, environments=None):
        n_rows = 0 if y is None else np.asarray(y).size
        return super().fit(X, y, np.arange(n_rows) % 2 if n_rows > 3 else None)


def _fails(estimator):
    """Name what a method that reads batches cannot pass."""
    if not get_tags(estimator).transductive or type(estimator) is not Halves:
        return {}
    reason = "predictions depend on the other rows of the call, as the tag transductive says"
    return {"check_methods_subset_invariance": reason}


@pytest.mark.filterwarnings(ONE)
@parametrize_with_checks(
    [
        EnvironmentAdaptiveRegressor(),
        EnvironmentAdaptiveClassifier(),
        EnvironmentAdaptiveRegressor(form="soft", epochs=60),
        EnvironmentAdaptiveClassifier(form="soft", epochs=60),
        Halves(choice="mixture"),
        Halves(form="soft", epochs=60),
    ],
    expected_failed_checks=_fails,
)
def test_sklearn_api(estimator, check):
    check(estimator)
