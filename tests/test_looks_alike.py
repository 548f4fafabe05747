"""X_val that has missed a step of the pipeline is told from honest shift."""

import warnings
from itertools import product

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, ValidationSet, heads
from sklearn_hsfm._looks_alike import how_unlike, warn_unlike

SETS = [
    "adult_sex",
    "cub50_efflite2",
    "dominoes_efflite0",
    "dominoes_erm_efflite0",
    "faces_gender_efflite0",
    "waterbirds_efflite2",
    "waterbirds_erm_efflite0",
]
STEPS = {
    "standardised": StandardScaler(),
    "robust": RobustScaler(),
    "unit norm": Normalizer(),
    "PCA": PCA(),
    "whitened": PCA(whiten=True),
    "standardised, then PCA": make_pipeline(StandardScaler(), PCA()),
}
# Adult is one-hot and standardised: to standardise it is to do nothing, and so is to divide nearly
# all columns by a quartile range of 0, which scikit-learn leaves out.
NOTHING_MISSED = [("adult_sex", "standardised", 1), ("adult_sex", "robust", 1)]
NOTHING_MISSED += [("adult_sex", "robust", 20)]
MISSED = [c for c in product(SETS, STEPS, (1, 20)) if c not in NOTHING_MISSED]
ESTIMATORS = [
    HSFMClassifier(epochs=2),
    HSFMClassifierCV(epochs=2, n_repeats=1),
    heads.AFRClassifier(steps=5),
    heads.CLPClassifier(epochs=1),
    heads.ClassBalancedClassifier(),
    heads.CVaRDROClassifier(epochs=1),
    heads.DFRClassifier(balance="class", n_retrains=1, Cs=(0.1,)),
    heads.GroupDROClassifier(epochs=1),
    heads.HeadAverager(LogisticRegression(), heads.ClassBalancedClassifier()),
    heads.JTTClassifier(C=0.1),
    heads.LISAClassifier(epochs=1),
    heads.LfFClassifier(epochs=1),
    heads.SELFClassifier(steps=2),
]
OTHER_WORDS = pytest.mark.filterwarnings("ignore:fit got no groups")


def said(fit):
    """Return whether a fit warns that rows do not look like X."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return any("does not look like X" in str(w.message) for w in caught)


@OTHER_WORDS
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_every_estimator_says_that_a_step_was_missed(data, estimator):
    X, X_val = (100 * part + 50 for part in (data.X_train, data.X_val))
    pipe = Pipeline([("scale", StandardScaler()), ("head", estimator)])
    with pytest.warns(UserWarning, match=r"X_val does not look like X: .*transform_input"):
        pipe.fit(X, data.y_train, head__X_val=X_val, head__y_val=data.y_val)
    assert not said(lambda: estimator.fit(X, data.y_train, X_val, data.y_val))


def test_a_validation_set_and_extra_rows_are_looked_at_too(data):
    X, X_val = StandardScaler().fit_transform(data.X_train), 100 * data.X_val
    held = ValidationSet(X_val, data.y_val)
    assert said(lambda: HSFMClassifier(epochs=1).fit(X, data.y_train, held))
    made = {"X_extra": X_val, "y_extra": data.y_val}
    with pytest.warns(UserWarning, match="X_extra does not look like X"):
        heads.ExtraRowsClassifier().fit(X, data.y_train, **made)


def test_it_says_what_differs():
    rng = np.random.RandomState(0)
    X, others = rng.normal(size=(400, 20)), rng.normal(size=(100, 20))
    assert how_unlike(X, others) is None
    assert "lie 5 standard deviations of X off" in how_unlike(X, others + 5)
    few_far = others + 9 * (np.arange(20) < 6)
    assert "a quarter 8" in how_unlike(X, few_far)
    assert "spreads 9.9 times as far" in how_unlike(X, 10 * others)
    assert "spreads 0.099 times as far" in how_unlike(X, 0.1 * others)
    still = np.where(np.arange(20) < 12, 0.0, others)
    assert "12 of 20 features are constant" in how_unlike(X, still)
    together = others + 2 * rng.normal(size=(100, 1))
    assert "as after PCA" in how_unlike(X, together / together.std(axis=0))


def test_a_spread_is_told_of_five_rows_and_a_shift_of_one_feature():
    rng = np.random.RandomState(0)
    X, others = rng.normal(size=(400, 20)), rng.normal(size=(100, 20))
    assert "times as far" in how_unlike(X, 10 * others[:5])
    assert "standard deviations of X off" in how_unlike(X, 10 * others[:4])
    assert how_unlike(X[:, :1], others[:, :1] + 1.4) is None
    assert "lie 2.3 standard deviations" in how_unlike(X[:, :1], others[:, :1] + 2.2)


def test_rare_values_may_be_missing_from_few_rows():
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(2000, 30)) < 0.02).astype(float)
    assert how_unlike(X, X[:10]) is None
    assert how_unlike(X[:, :1] * 0, X[:10, :1]) is None  # nothing varies, nothing is known


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_few_features_may_all_be_those_that_a_group_moves(n_features):
    rng = np.random.RandomState(0)
    for n_val in (1, 3, 5, 20):
        for _ in range(50):
            X = rng.normal(size=(100, n_features))
            others = rng.normal(size=(n_val, n_features)) + 0.4
            assert how_unlike(X, others) is None


@pytest.mark.real_data
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("scale", [1, 20])
def test_real_shift_is_honest(real_features, name, scale):
    """The rows as given, those of one group, class or place alone, and few of either."""
    found = real_features(name)
    X, (X_val, groups) = scale * found.X_train, _held(found)
    X_val = scale * X_val
    rng = np.random.RandomState(0)
    subsets = [np.arange(len(X_val))]
    for size in (1, 2, 3, 5, 10, 30, 100):
        subsets += [rng.choice(len(X_val), size) for _ in range(10)]
    for g in np.unique(groups)[:4]:
        members = np.flatnonzero(groups == g)
        subsets += [members, *(rng.choice(members, size) for size in (10, 20, 20, 50))]
    # Skewed, as the training rows are the other way round.
    subsets.append(rng.choice(len(X_val), 300, p=_skew(groups)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in subsets:
            warn_unlike(X, X_val[rows], "X_val")


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "step", "scale"), MISSED)
def test_a_missed_step_is_seen_on_real_rows(real_features, name, step, scale):
    found = real_features(name)
    X, X_val = scale * found.X_train[:3000], scale * _held(found)[0]
    if len(X) < X.shape[1] and ("PCA" in step or step == "whitened"):
        pytest.skip(f"PCA of {len(X)} rows has fewer than {X.shape[1]} columns: fit refuses X_val")
    Z = STEPS[step].fit_transform(X)
    with pytest.warns(UserWarning, match="X_val does not look like X"):
        warn_unlike(Z, X_val, "X_val")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["dominoes_efflite0", "waterbirds_efflite2"])
def test_scaling_to_a_range_is_seen_on_real_rows(real_features, name):
    found = real_features(name)
    Z = MinMaxScaler().fit_transform(found.X_train)
    with pytest.warns(UserWarning, match="X_val does not look like X"):
        warn_unlike(Z, found.X_val, "X_val")


def _held(found):
    """Return rows that were not trained on, and their groups or classes."""
    if found.X_val is None:
        return found.X_test, found.y_test
    return found.X_val, found.groups_val


def _skew(groups):
    index = np.unique(groups, return_inverse=True)[1]
    weight = np.where(index % 2, 19.0, 1.0)
    return weight / weight.sum()
