"""BANG in HeadAverager: smoothed labels and mixed rows before the average."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import NearestCentroid
from torch.nn.functional import cross_entropy

from sklearn_hsfm import heads
from sklearn_hsfm.heads._averaging import softened


def averager(**params):
    first, second = LogisticRegression(C=0.1), LogisticRegression(C=1.0, max_iter=5000, tol=1e-8)
    return heads.HeadAverager(first, second, balance="bang", random_state=0, **params)


def test_soft_rows_are_torchs_smoothed_and_mixed_loss():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(30, 4)), rng.randint(3, size=30)
    A, label, weight = softened(X, y, 3, 0.15, 0.4, np.random.RandomState(1))
    again = np.random.RandomState(1)
    share, other = again.beta(0.4, 0.4, size=30)[:, None], again.permutation(30)
    W = rng.normal(size=(3, 4))
    ours = -weight @ log_softmax(A @ W.T, axis=1)[np.arange(len(A)), label]
    mixed = torch.tensor((share * X + (1 - share) * X[other]) @ W.T)
    options = {"label_smoothing": 0.15, "reduction": "none"}
    parts = [cross_entropy(mixed, torch.tensor(t), **options) for t in (y, y[other])]
    theirs = share[:, 0] @ parts[0].numpy() + (1 - share[:, 0]) @ parts[1].numpy()
    assert ours == pytest.approx(theirs)
    assert weight.sum() == pytest.approx(30)


def test_nothing_soft_is_the_plain_average(data):
    bang = averager(label_smoothing=0.0, mixup=0.0)
    plain = averager().set_params(balance="none")
    for model in (bang, plain):
        model.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    np.testing.assert_allclose(bang.coef_, plain.coef_, atol=1e-5)


def test_smoothing_is_the_minimum_of_the_smoothed_loss(data):
    X, y = data.X_train[:, :3], data.y_train
    bang = averager(alpha=1.0, label_smoothing=0.2, mixup=0.0).fit(
        X, y, data.X_val[:, :3], data.y_val
    )
    target = np.where(np.eye(2)[y] > 0, 0.9, 0.1)

    def loss(w):
        z = X @ w[:3] + w[3]
        log_p = log_softmax(np.column_stack([np.zeros_like(z), z]), axis=1)
        return -(target * log_p).sum() + w[:3] @ w[:3] / 2

    best = minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(np.r_[bang.coef_[0], bang.intercept_], best, atol=1e-3)


def test_bang_is_less_sure_than_wise_ft(data):
    bang = averager(alpha=1.0).fit(data.X_train, data.y_train, data.X_val, data.y_val)
    plain = averager(alpha=1.0).set_params(balance="none")
    plain.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    sure = [m.predict_proba(data.X_test).max(axis=1).mean() for m in (bang, plain)]
    assert sure[0] < sure[1] - 0.02


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (heads.ClassBalancedClassifier(), "takes no sample_weight"),
        (NearestCentroid(), "takes no sample_weight"),
        ((np.zeros((2, 32)), np.zeros(2)), "is a head already"),
        (Perceptron().fit([[0.0] * 32, [1.0] * 32], [0, 1]), "is a head already"),
    ],
)
def test_what_cannot_be_softened_is_refused(data, second, message):
    model = averager().set_params(second=second)
    with pytest.raises(ValueError, match=message):
        model.fit(data.X_train, data.y_train, data.X_val, data.y_val)
