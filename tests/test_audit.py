"""An audit says whether there is a shortcut, and no head judges a sample that it saw."""

import re

import numpy as np
import pytest
import torch
from joblib import parallel_config
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.heads import ClassBalancedClassifier
from sklearn_hsfm.inspection import audit
from sklearn_hsfm.inspection._audit import _verdict
from sklearn_hsfm.inspection._inputs import head_and_features
from sklearn_hsfm.inspection._paired import balanced_gain, paired_differences
from sklearn_hsfm.metrics import group_scores
from tests.small_network import Small, extractor

QUICK = {"cv": 2, "n_repeats": 1, "random_state": 0}


@pytest.fixture(scope="module")
def dominoes():
    return load_digit_dominoes(random_state=0)


@pytest.fixture(scope="module")
def found(dominoes):
    known = dominoes.X_train, dominoes.y_train
    return audit(None, *known, groups=dominoes.groups_train, random_state=0)


def test_it_finds_the_lower_digit_and_says_that_the_repair_works(dominoes, found):
    assert found.verdict == "shortcut found"
    assert found.repair == "works"
    against = np.isin(dominoes.groups_train, ["y=0 lower=1", "y=1 lower=0"])
    assert against[found.hurt].mean() > 0.9  # 3 % of the samples
    assert against[found.telling(0)].all()
    assert found.cell_names.tolist()[:2] == ["class 0, hurt", "class 1, hurt"]
    assert found.chance > 0.99
    assert found.votes[1] == 6


def test_accuracies_are_those_of_the_predictions(dominoes, found):
    for method, said in found.predictions.items():
        names = found.cell_names[found.cell]
        expected = group_scores(dominoes.y_train, said, names)
        order = np.argsort(found.scores[method].group)
        assert found.scores[method].accuracy[order] == pytest.approx(expected.accuracy)
        assert found.scores[method].low[order] == pytest.approx(expected.low)
        assert found.scores[method].worst_group == expected.worst_group
        of_groups = group_scores(dominoes.y_train, said, dominoes.groups_train)
        assert found.group_scores[method].accuracy == pytest.approx(of_groups.accuracy)


def test_no_head_judges_a_sample_that_it_saw():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(200, 5)), rng.randint(2, size=200)
    memory = KNeighborsClassifier(1)  # is always right about what it saw
    said = audit(memory, X, y, random_state=0)
    right = said.predictions["KNeighborsClassifier"] == y
    assert 0.3 < right.mean() < 0.7
    assert said.verdict == "no shortcut found"


class Remembers(ClassifierMixin, BaseEstimator):
    """Says how many of the samples that it judges it was fitted on."""

    def fit(self, X, y):
        self.classes_, self.rows_ = np.unique(y), X[:, 0]
        return self

    def predict(self, X):
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def decision_function(self, X):
        return np.isin(X[:, 0], self.rows_).astype(float)


def test_every_sample_is_judged_once_a_repeat_and_by_others():
    X = np.arange(80.0)[:, None] + np.zeros((1, 3))
    y = np.arange(80) % 2
    said = audit(Remembers(), X, y, cv=4, n_repeats=2, random_state=0)
    assert said.margin == pytest.approx(np.zeros(80))  # nothing was recognised


@pytest.mark.parametrize("seed", range(2))
def test_without_a_shortcut_there_is_none(dominoes, seed):
    upper = audit(
        None, dominoes.X_train[:, :64], dominoes.y_train, **QUICK | {"random_state": seed}
    )
    assert (upper.verdict, upper.repair) == ("no shortcut found", "nothing to repair")
    assert "no proof that there is none" in " ".join(str(upper).split())
    mixed = np.random.RandomState(seed).permutation(dominoes.y_train)
    chance = audit(None, dominoes.X_train, mixed, **QUICK | {"random_state": seed})
    assert (chance.verdict, chance.repair) == ("no shortcut found", "nothing to repair")
    assert chance.cell_names.tolist() == ["class 0", "class 1"]


def test_few_samples_cannot_tell():
    X = np.random.RandomState(0).normal(size=(20, 4))
    said = audit(None, X, np.arange(20) % 2, random_state=0)
    assert said.verdict == "cannot tell"
    assert "10 to 10 samples" in said.reason
    assert "cannot tell" in str(said)
    pair = audit(None, X, np.r_[[0, 0], np.ones(18, dtype=int)], random_state=0)
    assert pair.verdict == "cannot tell"


def test_a_fitted_classifier_leans_on_what_does_not_hold_in_the_test(dominoes):
    erm = LogisticRegression(C=0.01, max_iter=1000).fit(dominoes.X_train, dominoes.y_train)
    said = audit(erm, dominoes.X_test, dominoes.y_test, **QUICK)
    assert said.verdict == "reads worse than it could"
    assert said.audited == "LogisticRegression"
    assert list(said.predictions) == [
        "ERM", "class-balanced", "LogisticRegression", "HSFMClassifierCV (cross-fitted)",
    ]  # fmt: skip
    assert (said.predictions["LogisticRegression"] == erm.predict(dominoes.X_test)).all()
    against = np.isin(dominoes.groups_test, ["y=0 lower=1", "y=1 lower=0"])
    assert against[said.hurt].mean() > 0.9
    assert said.compared == ("LogisticRegression", "HSFMClassifierCV (cross-fitted)")


def test_a_fitted_classifier_that_leans_on_nothing_is_let_off():
    dominoes = load_digit_dominoes(random_state=1)
    half = np.arange(len(dominoes.y_test)) % 2 == 0
    sober = LogisticRegression(C=0.01, max_iter=1000)
    sober.fit(dominoes.X_test[half], dominoes.y_test[half])
    said = audit(sober, dominoes.X_test[~half], dominoes.y_test[~half], **QUICK)
    assert said.verdict == "no shortcut found"


def test_a_fitted_repair_is_audited_as_it_is(dominoes):
    clf = HSFMClassifierCV(n_repeats=1, epochs=10, random_state=0)
    clf.fit(dominoes.X_train, dominoes.y_train, dominoes.X_val, dominoes.y_val)
    known = {"groups": dominoes.groups_test, **QUICK}
    said = audit(clf, dominoes.X_test, dominoes.y_test, **known)
    assert list(said.predictions) == ["ERM", "class-balanced", "HSFMClassifierCV"]
    assert (said.predictions["HSFMClassifierCV"] == clf.predict(dominoes.X_test)).all()
    assert said.spread == pytest.approx(clf.decision_spread(dominoes.X_test))
    sure = np.abs(clf.decision_function(dominoes.X_test)) / said.spread
    assert said.disputed.tolist() == np.argsort(sure, kind="stable").tolist()
    in_steps = make_pipeline(StandardScaler().fit(dominoes.X_test), clf)
    with pytest.raises(ValueError, match="was fitted on the classes"):
        audit(in_steps, dominoes.X_test, dominoes.y_test + 1, **QUICK)


@pytest.mark.parametrize(
    ("votes", "found", "gain", "verdict"),
    [
        ([True, True, False, False], True, (np.nan, np.nan), "shortcut found"),
        ([True, False, False, False], True, (np.nan, np.nan), "cannot tell"),
        ([True, False, None, False], False, (np.nan, np.nan), "no shortcut found"),
        ([True, True, False, False], False, (np.nan, np.nan), "cannot tell"),
        ([False], None, (np.nan, np.nan), "cannot tell"),
        ([False], False, (0.05, 0.01), "reads worse than it could"),
        ([False], False, (0.03, 0.01), "cannot tell"),
        ([False], False, (0.01, 0.01), "no shortcut found"),
        ([False], True, (0.05, 0.01), "shortcut found"),
    ],
)
def test_verdicts(votes, found, gain, verdict):
    finder = type("Finder", (), {"found_": found})
    assert _verdict(finder, votes, gain) == verdict


def test_the_same_seed_says_the_same_with_any_number_of_jobs(dominoes):
    X, y = dominoes.X_train[:300], dominoes.y_train[:300]
    with parallel_config(backend="threading"):
        one, two = (audit(None, X, y, n_jobs=n, **QUICK) for n in (None, 2))
    assert str(one) == str(two)
    assert one.margin == pytest.approx(two.margin)


def test_steps_in_front_make_features_without_labels(dominoes):
    X, y = dominoes.X_train[:200], dominoes.y_train[:200]
    steps = make_pipeline(StandardScaler(), PCA(10, random_state=0))
    head, features, images = head_and_features(make_pipeline(*steps, LogisticRegression()), X)
    assert type(head) is LogisticRegression
    assert features == pytest.approx(steps.fit_transform(X))
    assert not images
    said = audit(make_pipeline(*steps, ClassBalancedClassifier()), X, y, **QUICK)
    assert list(said.predictions)[-1] == "ClassBalancedClassifier"
    alone = audit(steps, X, y, **QUICK)
    assert list(alone.predictions)[-1] == "HSFMClassifierCV"
    with pytest.raises(ValueError, match="No label may reach the features"):
        audit(make_pipeline(SelectKBest(k=3), LogisticRegression()), X, y, **QUICK)


@pytest.fixture(scope="module")
def pictures():
    """Bright and dark pictures."""
    y = np.arange(60) % 2
    images = (
        np.random.RandomState(0).uniform(size=(60, 3, 16, 16)) * 0.5 + 0.3 * y[:, None, None, None]
    )
    return images.astype(np.float32), y


def test_images_go_through_an_extractor_and_stay_to_be_seen(pictures):
    said = audit(extractor(Small()), *pictures, **QUICK)
    assert len(said.material.images) == 60
    assert list(said.predictions) == ["ERM", "class-balanced", "HSFMClassifierCV"]


def test_images_of_one_channel_are_audited_and_shown(pictures):
    network = Small()
    network.stem = torch.nn.Conv2d(1, 8, 3, stride=2)
    images, y = pictures
    said = audit(extractor(network, preprocess=None), 2000 * images[:, :1] - 1000, y, **QUICK)
    assert said._repr_html_().count("data:image/png") > 10


def test_the_decisions_of_a_network_are_audited(pictures):
    images, y = pictures
    torch.manual_seed(0)
    network, inputs = Small().eval(), torch.from_numpy(images)
    adam = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(60):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), torch.from_numpy(y)).backward()
        adam.step()
    with torch.no_grad():
        logits = network(inputs)
    assert (logits.argmax(1).numpy() == y).mean() > 0.9
    said = audit(network, images, y, **QUICK)
    assert said.audited == "Small"
    sure = (logits[:, 1] - logits[:, 0]).abs().numpy() > 0.1  # lower precision may turn others
    assert (said.predictions["Small"] == logits.argmax(1).numpy())[sure].all()
    assert len(said.material.images) == 60
    with pytest.raises(
        ValueError, match=r"For its features alone pass FeatureExtractor\(network\)"
    ):
        audit(network, images, np.random.RandomState(0).permutation(y), **QUICK)
    others = audit(network, images, np.arange(60) % 3, **QUICK)
    assert list(others.predictions) == ["ERM", "class-balanced", "HSFMClassifierCV"]


def test_texts_are_shown_as_text():
    pytest.importorskip("jinja2", reason="pages need jinja2 (extra 'report')")
    pytest.importorskip("matplotlib", reason="pages need matplotlib (extra 'report')").use("agg")
    rng = np.random.RandomState(0)
    words = np.array(["sea", "land", "<b>bird</b>", "dog", "x" * 400])
    texts = [" ".join(rng.choice(words, size=4)) for _ in range(80)]
    y = np.array([int("dog" in text) for text in texts])
    steps = make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0), LogisticRegression())
    page = audit(steps, texts, y, **QUICK).to_html()
    assert "&lt;b&gt;bird" in page
    assert "<b>bird" not in page
    assert "x" * 301 not in page


def test_text_has_40_lines_at_most_with_many_classes():
    rng = np.random.RandomState(0)
    y = np.arange(600) % 15
    X = rng.normal(size=(600, 8)) + 3 * np.eye(15)[y][:, :8]
    groups = rng.randint(30, size=600)
    said = audit(None, X, y, groups=groups, **QUICK)
    assert len(str(said).splitlines()) <= 40
    assert "... and 7 more" in str(said)


def test_text_names_verdict_cells_labels_and_samples(found):
    text = str(found)
    assert text.startswith("shortcut found. A second population")
    for part in ("Repair: works. HSFMClassifierCV reads", "class 0, hurt", "95 % interval"):
        assert part in text
    assert f"Most telling of class 0, hurt: {found.telling(0)[0]}" in text
    assert re.search(r"Labels that are likely wrong: \d+", text)
    assert "Groups of the" in text
    found_in, asked = found.votes
    assert f"found in {found_in} of {asked} training parts" in text
    assert max(map(len, text.splitlines())) < 110
    assert repr(found) == "<Audit of 719 samples: shortcut found; repair: works>"


def test_long_names_keep_their_ends():
    rng = np.random.RandomState(0)
    names = np.array(["a" * 60 + "x", "a" * 60 + "y"])
    y = rng.randint(2, size=100)
    text = str(audit(None, rng.normal(size=(100, 3)) + y[:, None], names[y], **QUICK))
    assert re.search("class 'a+…a+x'", text)
    assert re.search("class 'a+…a+y'", text)
    assert max(map(len, text.splitlines())) < 130


def test_tables(found):
    pytest.importorskip("pandas", reason="tables need pandas")
    cells, samples, classes = (found.to_frame(w) for w in ("cells", "samples", "classes"))
    assert cells["kind"].tolist() == ["cell"] * 4 + ["group"] * 4
    assert cells["ERM, accuracy"][:4].tolist() == found.scores["ERM"].accuracy.tolist()
    assert len(samples) == 719
    assert samples["doubtful"].sum() == len(found.doubtful)
    assert samples["hurt"].sum() == classes["n_hurt"].sum()
    with pytest.raises(ValueError, match="which='rows'; the tables are"):
        found.to_frame("rows")


def test_flipped_labels_rank_first(dominoes):
    rng = np.random.RandomState(0)
    X, y = dominoes.X_test, dominoes.y_test
    wrong = rng.permutation(len(y))[:40]
    flipped = y.copy()
    flipped[wrong] = 1 - y[wrong]
    said = audit(None, X, flipped, random_state=0)
    assert said.doubtful.tolist() == np.argsort(-said.label_scores, kind="stable")[
        : (said.label_scores > 0).sum()
    ].tolist()  # fmt: skip
    assert np.isin(said.doubtful[:30], wrong).mean() > 0.7


def test_differences_are_those_of_pairs():
    before = np.array([1, 1, 0, 0, 0, 1], dtype=bool)
    after = np.array([1, 1, 1, 1, 1, 0], dtype=bool)
    member = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=bool).T
    difference, low, high = paired_differences(before, after, member)
    assert difference == pytest.approx([0.5, 0])
    # Of the first cell 2.5 pairs were won and 0.5 lost, of 6; of the second 1.5 and 1.5, of 4.
    error = np.sqrt([3 - 4 / 6, 3]) / [6, 4]
    assert low == pytest.approx(np.array([2 / 6, 0]) - 1.959964 * error)
    assert high[1] == pytest.approx(1.959964 * error[1])
    two = np.zeros(2, dtype=bool), np.ones(2, dtype=bool)
    assert paired_differences(*two, np.ones((2, 1), dtype=bool))[2] == 1  # and not beyond


def test_the_interval_of_a_difference_covers_it():
    rng = np.random.RandomState(0)
    covered = 0
    for _ in range(400):
        before, after = rng.uniform(size=(2, 60)) < [[0.6], [0.8]]
        _, low, high = paired_differences(before, after, np.ones((60, 1), dtype=bool))
        covered += low[0] <= 0.2 <= high[0]
    assert 0.92 < covered / 400 < 0.98


def test_the_gain_of_one_classifier_weighs_classes_alike():
    y = np.array([0] * 8 + [1] * 2)
    before, after = np.full((10, 1), -1.0), np.where(y == 1, 1.0, -1.0)[:, None]
    assert balanced_gain(y, before, after) == (0.5, 0.0)


class SaysNothing(ClassifierMixin, BaseEstimator):
    """Predicts, and does not say how sure it is."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1]}, r"X, y have inconsistent numbers of samples: \[40, 2\]"),
        ({"y": np.r_[0, np.ones(39, dtype=int)]}, "class 0 has 1 sample; no head can leave it out"),
        ({"y": np.zeros(40)}, "y has one class"),
        ({"X": csr_array(np.eye(40))}, "sparse matrix; put TruncatedSVD in front"),
        ({"X": np.full((40, 3), np.nan)}, "contains NaN"),
        ({"estimator": SaysNothing()}, "SaysNothing has neither decision_function nor"),
        ({"estimator": "dfr"}, "'dfr' is no classifier"),
        ({"groups": ["a"]}, "groups has 1 rows, but there are 40 labels"),
        ({"images": np.zeros((3, 4, 4))}, "There are 3 images for 40 samples"),
        ({"cv": 1}, "'cv' parameter"),
        ({"n_repeats": 0}, "'n_repeats' parameter"),
    ],
)
def test_bad_input_is_refused(change, message):
    X = np.random.RandomState(0).normal(size=(40, 3))
    given = {"estimator": None, "X": X, "y": np.arange(40) % 2} | change
    with pytest.raises(ValueError, match=message):
        audit(**given)
