"""CnC on features: its loss, its batches, its limits, and its place before any head."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import skops.io
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.adapters import ContrastiveAdapter
from sklearn_hsfm.adapters import _contrastive_loss as of_cnc
from sklearn_hsfm.adapters._contrastive import contrastive_steps
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.metrics import worst_group_accuracy_score


@pytest.fixture(scope="module")
def digits():
    return load_digit_dominoes(random_state=0)


# On the checks' tiny sets ERM is often right about everything.
@pytest.mark.filterwarnings("ignore:No class has both samples")
@parametrize_with_checks([ContrastiveAdapter(), ContrastiveAdapter(8, activation="relu", epochs=2)])
def test_sklearn_api(estimator, check):
    check(estimator)


def loss_by_hand(Z, y, predicted, n_sides, t):
    """Return the loss of the paper, one anchor and one positive after another."""
    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    of_anchors = []
    for i in range(n_sides):
        others = range(len(y))
        positives = [j for j in others if y[j] == y[i] and predicted[j] != predicted[i]]
        negatives = [j for j in others if y[j] != y[i] and predicted[j] == predicted[i]]
        if not positives:
            continue
        total = sum(np.exp(unit[i] @ unit[j] / t) for j in [*positives, *negatives])
        logs = [np.log(np.exp(unit[i] @ unit[j] / t) / total) for j in positives]
        of_anchors.append(-np.mean(logs))
    return np.mean(of_anchors)


@pytest.mark.parametrize("t", [0.1, 1.0])
def test_the_loss_is_the_papers(t):
    rng = np.random.RandomState(0)
    y, predicted = rng.randint(3, size=(2, 24))
    Z = rng.normal(size=(24, 5))
    found = of_cnc.contrastive_loss(*map(torch.from_numpy, (Z, y, predicted)), 14, t)
    assert float(found) == pytest.approx(loss_by_hand(Z, y, predicted, 14, t))


def test_two_anchors_by_hand():
    Z = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
    y, predicted = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    # The anchor (0, 0) has cosine 0 with its positive and 1 with its negative; that positive as
    # an anchor has the first one and no negative, so all of its share.
    found = of_cnc.contrastive_loss(Z, y, predicted, 2, 1.0)
    assert float(found) == pytest.approx(np.log(1 + np.e) / 2)


def test_the_gradient_is_that_of_differences():
    rng = np.random.RandomState(1)
    y, predicted = (torch.from_numpy(a) for a in rng.randint(2, size=(2, 10)))
    Z = torch.from_numpy(rng.normal(size=(10, 3))).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda Z: of_cnc.contrastive_loss(Z, y, predicted, 6, 0.5), (Z,)
    )


def test_batches_hold_anchors_positives_and_both_kinds_of_negatives():
    rng = np.random.RandomState(0)
    y, predicted = rng.randint(3, size=(2, 400))
    steps = contrastive_steps(y, predicted, 3)
    params = {"n_anchors": 8, "n_negatives": 5}
    seen = []
    for n_sides, batch in of_cnc.batches(y, predicted, steps, params, rng):
        n = n_sides // 2
        anchors, positives = batch[:n], batch[n:n_sides]
        own = y[anchors[0]]
        assert (y[anchors] == own).all()
        assert (predicted[anchors] == own).all()
        assert (y[positives] == own).all()
        assert (predicted[positives] != own).all()
        of_anchors, of_positives = batch[n_sides : n_sides + 5], batch[n_sides + 5 :]
        assert (y[batch[n_sides:]] != own).all()
        assert (predicted[of_anchors] == own).all()
        assert np.isin(predicted[of_positives], predicted[positives]).all()
        assert len(of_positives) == 5
        seen.extend(anchors)
    assert sorted(seen) == np.flatnonzero(y == predicted).tolist()  # each anchor once


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_transform_is_the_learnt_map_in_the_units_of_X(digits, activation):
    X = digits.X_train * 20 + 3
    adapter = ContrastiveAdapter(8, activation=activation, epochs=2, random_state=0)
    adapter.fit(X, digits.y_train)
    scaler = StandardScaler().fit(X)
    Z = torch.from_numpy(scaler.transform(digits.X_test * 20 + 3))
    scale = torch.from_numpy(scaler.scale_)
    V = torch.from_numpy(adapter.hidden_weight_) * scale
    b = torch.from_numpy(adapter.hidden_bias_ + adapter.hidden_weight_ @ scaler.mean_)
    U = torch.from_numpy(adapter.weight_) / scale[:, None]
    c = torch.from_numpy(adapter.bias_) / scale
    out = scaler.inverse_transform(of_cnc.mapped(Z, V, b, U, c, activation).numpy())
    got = adapter.transform(digits.X_test * 20 + 3)
    np.testing.assert_allclose(got, out, rtol=1e-8, atol=1e-8)
    assert np.abs(got - (digits.X_test * 20 + 3)).max() > 0.1  # it has moved


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_what_is_learnt_on_standardised_features_is_what_transform_does(
    digits, activation, monkeypatch
):
    learnt, learn = [], of_cnc.learnt_map

    def watched(Z, y, predicted, start, *rest):
        parts, losses = learn(Z, y, predicted, start, *rest)
        learnt.append((start, parts))
        return parts, losses

    monkeypatch.setattr(of_cnc, "learnt_map", watched)
    X = digits.X_train * 20 + 3
    adapter = ContrastiveAdapter(8, activation=activation, epochs=2, random_state=0)
    got = adapter.fit(X, digits.y_train).transform(X)
    scaler = StandardScaler().fit(X)
    ((start, parts),) = learnt
    out = of_cnc.mapped(*map(torch.from_numpy, (scaler.transform(X), *parts)), activation)
    np.testing.assert_allclose(got, scaler.inverse_transform(out.numpy()), rtol=1e-8, atol=1e-6)
    V, *others = start
    assert np.abs(V).max() == pytest.approx(1 / np.sqrt(X.shape[1]), rel=0.01)
    assert V.mean() == pytest.approx(0, abs=0.01)  # hidden units start apart
    assert not any(part.any() for part in others)  # as the identity


def test_a_rate_of_nothing_is_the_identity(digits):
    adapter = ContrastiveAdapter(epochs=1, lr=1e-12, random_state=0)
    out = adapter.fit(digits.X_train, digits.y_train).transform(digits.X_test)
    np.testing.assert_allclose(out, digits.X_test, atol=1e-6)
    assert adapter.losses_[0, 1] == pytest.approx(np.log(2))  # a head of zeros on two classes


def test_where_erm_is_always_right_nothing_is_contrasted_and_that_is_said():
    y = np.arange(40) % 2
    X = np.column_stack([y + 0.0, np.random.RandomState(0).normal(size=40)])
    adapter = ContrastiveAdapter(C=1.0, random_state=0)
    with pytest.warns(UserWarning, match="there is nothing to contrast"):
        out = adapter.fit_transform(X, y)
    np.testing.assert_allclose(out, X)
    assert adapter.losses_.shape == (0, 2)


def test_a_class_that_erm_reads_without_error_gives_no_anchors():
    y, predicted = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    ((anchors, positives),) = contrastive_steps(y, predicted, 2)
    assert (anchors.tolist(), positives.tolist()) == ([0, 1], [2])
    params = {"n_anchors": 4, "n_negatives": 3}
    ((n_sides, batch),) = of_cnc.batches(y, predicted, [(anchors, positives)], params, np.random)
    assert n_sides == 4
    assert np.isin(batch[4:], [3, 4]).all()  # of the positive alone: the anchors have none
    assert len(batch) == 7


def test_the_loss_falls_and_the_worst_group_gains(digits):
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    with_cnc = make_pipeline(
        StandardScaler(), ContrastiveAdapter(random_state=0), LogisticRegression(C=0.01)
    )
    worst = []
    for pipe in (plain, with_cnc):
        pipe.fit(digits.X_train, digits.y_train)
        pred = pipe.predict(digits.X_test)
        worst.append(worst_group_accuracy_score(digits.y_test, pred, digits.groups_test))
    losses = with_cnc[1].losses_[:, 0]
    assert losses[-1] < losses[0] - 0.05
    assert worst[1] > worst[0] + 0.05


@pytest.mark.usefixtures("routing")
def test_it_comes_before_hsfm_and_validation_samples_pass_through_it(digits):
    adapter = ContrastiveAdapter(epochs=2, random_state=0)
    head = HSFMClassifierCV(n_repeats=1, epochs=2, random_state=0)
    steps = [("scale", StandardScaler()), ("adapter", adapter), ("head", head)]
    pipe = Pipeline(steps, transform_input=["X_val"])
    pipe.fit(digits.X_train, digits.y_train, X_val=digits.X_val, y_val=digits.y_val)
    assert pipe.score(digits.X_test, digits.y_test) > 0.8


def test_a_head_that_is_given_predicts(digits):
    X, y = digits.X_train, digits.y_train
    head = LogisticRegression(C=1e-3).fit(digits.X_val, digits.y_val)  # not what ERM would say
    adapter = ContrastiveAdapter(epochs=1, init_head=head, random_state=0).fit(X, y)
    np.testing.assert_array_equal(adapter.erm_predictions_, head.predict(X))
    alone = ContrastiveAdapter(epochs=1, random_state=0).fit(X, y)
    assert (alone.erm_predictions_ != head.predict(X)).mean() > 0.02
    again = ContrastiveAdapter(epochs=1, init_head=(head.coef_, head.intercept_), random_state=0)
    np.testing.assert_allclose(again.fit(X, y).transform(X), adapter.transform(X), atol=1e-6)


def test_one_seed_one_result_and_persistence(digits):
    X, y = digits.X_train, np.array(["even", "odd"])[digits.y_train]
    adapter = ContrastiveAdapter(epochs=1, random_state=3).fit(X, y)
    out = adapter.transform(X)
    np.testing.assert_array_equal(
        ContrastiveAdapter(epochs=1, random_state=3).fit(X, y).transform(X), out
    )
    assert not np.allclose(ContrastiveAdapter(epochs=1, random_state=4).fit(X, y).transform(X), out)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(adapter)).transform(X), out)
    blob = skops.io.dumps(adapter)
    unknown = skops.io.get_untrusted_types(data=blob)
    assert all(name.startswith("sklearn_hsfm.") for name in unknown)
    np.testing.assert_array_equal(skops.io.loads(blob, trusted=unknown).transform(X), out)


def test_applying_it_needs_no_torch(digits, tmp_path):
    adapter = ContrastiveAdapter(epochs=1, random_state=0).fit(digits.X_train, digits.y_train)
    (tmp_path / "adapter.pickle").write_bytes(pickle.dumps((adapter, digits.X_test)))
    code = (
        "import pickle, sys; adapter, X = pickle.load(open(sys.argv[1], 'rb')); "
        "adapter.transform(X); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "adapter.pickle")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_values_that_the_map_takes_beyond_numbers_are_refused(digits):
    adapter = ContrastiveAdapter(n_hidden=4, epochs=1, random_state=0)
    adapter.fit(digits.X_train[:200], digits.y_train[:200])
    adapter.weight_ = np.full_like(adapter.weight_, 2.0)
    far = np.where(np.arange(3)[:, None] == 2, 1e308, digits.X_test[:3])
    with pytest.raises(ValueError, match=r"X has values up to 1e\+308 in sample 2, which the map"):
        adapter.transform(far * np.sign(adapter.hidden_weight_[0]))


def test_a_rate_that_is_too_large_is_said(digits):
    adapter = ContrastiveAdapter(lr=1e30, epochs=2, random_state=0)
    with pytest.raises(ValueError, match="not finite in epoch"):
        adapter.fit(digits.X_train, digits.y_train)
