"""Regions: the metrics are those of a count by hand; it points to the shortcut or to nothing."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.heads import ExtraRowsClassifier
from sklearn_hsfm.inspection import RegionDisplay, find_regions
from sklearn_hsfm.inspection._region_scores import gaps, p_values, presence, score_clusters
from sklearn_hsfm.metrics import worst_group_accuracy_score
from tests.small_network import to_float
from tests.where import Shares, halves

QUICK = {"grid": (2, 1), "random_state": 0, "progress": False, "n_permutations": 199}


@pytest.fixture(scope="module")
def setting():
    """Return extractor, head, and images that were not seen and in which the shortcut fails."""
    images, y, _ = halves(400, 0.95, 0)
    extractor = Shares()
    head = LogisticRegression(C=100).fit(extractor.transform(images), y)
    return extractor, head, *halves(300, 0.5, 1)


@pytest.fixture(scope="module")
def found(setting):
    extractor, head, images, y, _ = setting
    return find_regions(extractor, images, y, head, **QUICK)


def lower(found, cluster):
    return np.mean(found.boxes[found.cluster == cluster][:, 1] >= 8)


def test_it_points_to_the_shortcut(setting, found):
    extractor, head, images, y, held = setting
    hit = head.predict(extractor.transform(images)) == y
    assert hit[held].mean() > hit[~held].mean() + 0.3  # or there would be nothing to find
    assert found.found_ is True
    assert found.pointed[0]
    assert [lower(found, k) for k in np.flatnonzero(found.pointed)] == [1.0] * found.pointed.sum()
    assert found.p_value[0] == pytest.approx(1 / 200)
    assert "mislead" in str(found)


def test_shuffled_labels_point_nowhere(setting):
    extractor, _, images, y, _ = setting
    train, y_train, _ = halves(400, 0.95, 0)
    for seed in range(6):
        rng = np.random.RandomState(seed)
        head = LogisticRegression(C=100).fit(extractor.transform(train), rng.permutation(y_train))
        shuffled = find_regions(extractor, images, rng.permutation(y), head, **QUICK)
        assert shuffled.found_ is None
        assert not shuffled.pointed.any()
        assert "chance" in shuffled.reason_


def test_one_that_reads_the_shortcut_alone_must_be_trusted(setting):
    extractor, head, images, y, _ = setting
    blind = LogisticRegression()
    blind.classes_, blind.intercept_ = head.classes_, np.zeros(1)
    blind.coef_ = head.coef_ * [0, 0, 1, 1]
    assert find_regions(extractor, images, y, blind, **QUICK).found_ is None
    trusted = find_regions(extractor, images, y, blind, trusted=True, **QUICK)
    assert trusted.found_
    assert lower(trusted, 0) == 1


def test_a_classifier_without_the_shortcut_is_not_blamed_on_it(setting):
    extractor, _, images, y, _ = setting
    head = LogisticRegression(C=100).fit(extractor.transform(images), y)
    head.coef_[:, 2:] = 0  # reads the upper half alone
    fair = find_regions(extractor, images, y, head, **QUICK)
    assert all(lower(fair, k) == 0 for k in np.flatnonzero(fair.pointed))


def test_the_gap_is_that_of_a_count_by_hand():
    rng = np.random.RandomState(0)
    y, hit = rng.randint(3, size=60), rng.uniform(size=60) < 0.6
    there = rng.uniform(size=(60, 4)) < 0.4
    *_, accuracy_with, accuracy_without, gap = gaps(hit, y, there, 3)
    for k in range(4):
        for c in range(3):
            a = [h for h, label, t in zip(hit, y, there[:, k], strict=True) if label == c and t]
            b = [h for h, label, t in zip(hit, y, there[:, k], strict=True) if label == c and not t]
            assert accuracy_with[k, c] == pytest.approx(np.mean(a))
            assert accuracy_without[k, c] == pytest.approx(np.mean(b))
            weight = 2 * min(len(a), len(b)) / (len(a) + len(b))
            assert gap[k, c] == pytest.approx(weight * (np.mean(a) - np.mean(b)))


def test_the_influence_is_that_of_a_count_by_hand():
    rng = np.random.RandomState(1)
    n, k = 80, 4
    of_image = np.repeat(np.arange(n), 3)
    cluster = rng.randint(k, size=3 * n)
    y, y_pred = rng.randint(2, size=n), rng.randint(2, size=n)
    proba = rng.dirichlet([1, 1], size=3 * n)
    scores = score_clusters(cluster, of_image, y, y_pred, proba, k, 2, 0.95)
    for j in range(k):
        shares = []
        for c in (0, 1):
            blamed = []
            for i in range(n):
                rows = np.flatnonzero(of_image == i)
                if y[i] == c and y_pred[i] != c and j in cluster[rows]:
                    blamed.append(cluster[rows[proba[rows, y_pred[i]].argmax()]] == j)
            if scores.gap[j, c] < 0 and blamed:
                shares.append(np.mean(blamed))
        assert scores.influence[j] == pytest.approx(max(shares)) if shares else np.isnan
        if shares:
            assert scores.influence_low[j] <= scores.influence[j] <= scores.influence_high[j]


def test_p_values_are_level_where_nothing_is():
    rng = np.random.RandomState(0)
    smallest = []
    for _ in range(60):
        y, hit = np.arange(80) % 2, rng.uniform(size=80) < 0.7
        there = presence(rng.randint(4, size=160), np.repeat(np.arange(80), 2), 80, 4)
        smallest.append(p_values(hit, y, there, 2, 99, rng).min())
    # of 60, three are expected at 0.05 and six at 0.1
    assert np.mean(np.array(smallest) <= 0.05) < 0.15
    assert 0.25 < np.mean(smallest) < 0.75


def test_too_few_errors_say_nothing(setting):
    extractor, head, images, y, held = setting
    easy = find_regions(extractor, images[held][:60], y[held][:60], head, **QUICK)
    assert easy.found_ is None
    assert "misread" in easy.reason_
    assert str(easy).startswith("Cannot tell.")


def test_boxes_are_the_grid_where_they_say_the_same(setting, found):
    extractor, head, images, y, _ = setting
    boxes = [[(0, 0, 8, 8), (0, 8, 8, 16)]] * len(y)
    again = find_regions(extractor, images, y, head, boxes=boxes, **QUICK)
    assert again.score == pytest.approx(found.score)
    some = [box if i % 2 else [] for i, box in enumerate(boxes)]
    fewer = find_regions(extractor, images, y, head, boxes=some, **QUICK)
    assert set(fewer.image % 2) == {1}


@pytest.mark.parametrize(
    ("box", "word"), [((0, 0, 9, 8), "8 x 16"), ((4, 0, 4, 8), "whole"), ((0.5, 0, 2, 2), "whole")]
)
def test_boxes_outside_are_refused(setting, box, word):
    extractor, head, images, y, _ = setting
    with pytest.raises(ValueError, match=f"boxes of image 0 .*{word}"):
        find_regions(extractor, images, y, head, boxes=[[box]] * len(y), **QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (17, 1)}, "no grid of 17 x 1"),
        ({"grid": 2}, "two numbers"),
        ({"y": [0, 1]}, "300 images for 2 samples"),
        ({"y": ["a"] * 300}, "labels that y does not have"),
        ({"boxes": [[(0, 0, 8, 8)]]}, "inconsistent"),
        ({"boxes": [[]] * 300}, "no region"),
        ({"n_clusters": 500}, "too few for 500"),
        ({"view": "whole"}, "view"),
    ],
)
def test_what_does_not_fit_is_refused(setting, change, message):
    extractor, head, images, y, _ = setting
    given = {"y": y, **QUICK, **change}
    with pytest.raises(ValueError, match=message):
        find_regions(extractor, images, estimator=head, **given)


def test_every_form_of_images_gives_the_same(setting, found, tmp_path):
    extractor, head, images, y, _ = setting
    paths = []
    for i, image in enumerate(images):
        paths.append(tmp_path / f"{i:03}.png")
        Image.fromarray(image).save(paths[-1])
    floats = torch.as_tensor(images.transpose(0, 3, 1, 2) / np.float32(255))
    for form in (paths, floats, [Image.fromarray(image) for image in images]):
        again = find_regions(extractor, form, y, head, **QUICK)
        assert again.score == pytest.approx(found.score)
        assert again.to_frame()["pointed"].tolist() == found.to_frame()["pointed"].tolist()


def test_the_rest_may_be_masked_instead(setting):
    extractor, head, images, y, _ = setting
    masked = find_regions(extractor, images, y, head, view="rest masked", **QUICK)
    assert masked.found_
    assert lower(masked, 0) == 1


def test_the_table_has_a_row_for_each_cluster_and_class(found):
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    table = found.to_frame()
    assert len(table) == 2 * len(found.score)
    assert (table.n_with + table.n_without).tolist() == [150] * len(table)
    assert table.groupby("cluster").n_regions.first().sum() == 600


def test_regions_come_nearest_first(found):
    rows = found.regions(0)
    assert set(rows) == set(np.flatnonzero(found.cluster == 0))
    assert (np.diff(found.closeness[rows]) <= 1e-12).all()
    with pytest.raises(ValueError, match="counted from 0"):
        found.regions(99)


@pytest.mark.filterwarnings("ignore:X_extra")
@pytest.mark.parametrize("how", ["swapped", "regions"])
def test_extra_rows_undo_the_shortcut(setting, found, how):
    extractor, _, images, y, held = setting
    train, y_train, _ = halves(400, 0.95, 0)
    features = extractor.transform(train)
    given = {"how": how, "grid": (2, 1), "random_state": 0}
    X, labels, weight = found.extra_rows(extractor, train, y_train, **given)
    # Regions: the upper halves once, the lower ones with either class.
    assert len(X) == (400 + 2 * 400 if how == "regions" else 400)
    assert weight.sum() == pytest.approx(400)
    plain = ExtraRowsClassifier(C=100).fit(features, y_train)
    repaired = ExtraRowsClassifier(C=100).fit(
        features, y_train, X_extra=X, y_extra=labels, extra_weight=10 * weight
    )
    worst = [
        worst_group_accuracy_score(y, clf.predict(extractor.transform(images)), held)
        for clf in (plain, repaired)
    ]
    assert worst[1] > worst[0] + 0.1


def test_swapped_and_masked_change_these_regions_alone(setting, found):
    _, _, images, y, _ = setting

    class Seen(Shares):
        def transform(self, X):
            self.last = X
            return super().transform(X)

    seen, given = Seen(), {"grid": (2, 1), "random_state": 0}
    assert found.pointed[found.cluster[1::2]].all()  # all of the lower halves
    found.extra_rows(seen, images, y, how="masked", **given)
    assert np.array_equal(seen.last[:, :8], images[:, :8])
    assert len(np.unique(seen.last[:, 8:].reshape(-1, 3), axis=0)) == 1
    found.extra_rows(seen, images, y, how="swapped", **given)
    assert np.array_equal(seen.last[:, :8], images[:, :8])
    changed = (seen.last[:, 8:] != images[:, 8:]).any(axis=(1, 2, 3))
    assert 0.3 < changed.mean() < 0.7  # half of the others have the same colour
    with pytest.raises(ValueError, match="how='mixed'"):
        found.extra_rows(seen, images, y, how="mixed", **given)


def test_nothing_to_undo_is_said(setting):
    extractor, head, images, y, held = setting
    nothing = find_regions(extractor, images[held][:60], y[held][:60], head, **QUICK)
    with pytest.raises(ValueError, match="nothing to undo"):
        nothing.extra_rows(extractor, images, y, grid=(2, 1))


def test_the_display_frames_the_regions(setting, found):
    matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
    matplotlib.use("agg")
    _, _, images, _, _ = setting
    display = RegionDisplay.from_regions(found, images, n_clusters=2, n_pictures=3)
    assert len(display.images_) == 6
    assert np.array_equal(display.images_[0].get_array(), images[found.image[found.regions(0)[0]]])
    frame = display.ax_[0].lines[0].get_ydata()
    assert (frame.min(), frame.max()) == (7.5, 15.5)
    assert display.ax_[0].get_title(loc="left").startswith("cluster 0, misleads")
    matplotlib.pyplot.close("all")


@pytest.mark.slow
def test_on_digit_dominoes_it_points_to_the_lower_digit():
    data = load_digit_dominoes(random_state=0)

    def as_images(X):
        return np.repeat(np.round(X.reshape(-1, 16, 8, 1) * 255).astype(np.uint8), 3, axis=-1)

    torch.manual_seed(0)
    body = [torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU()]
    body += [torch.nn.Conv2d(16, 32, 3, stride=2, padding=1), torch.nn.ReLU()]
    body += [torch.nn.Conv2d(32, 64, 3, stride=2, padding=1), torch.nn.ReLU()]
    pool = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    network = torch.nn.Sequential(*body, *pool, torch.nn.Linear(64, 2))
    x = torch.stack([to_float(Image.fromarray(i)) for i in as_images(data.X_train)])
    y = torch.as_tensor(data.y_train)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(20):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    extractor = FeatureExtractor(
        network.eval(), preprocess=to_float, precision="float32", progress=False
    )
    features = extractor.fit_transform(as_images(data.X_train))
    head = LogisticRegression(max_iter=1000).fit(features, data.y_train)
    images, y = as_images(data.X_test), data.y_test
    digits = find_regions(extractor, images, y, head, n_clusters=8, **QUICK)
    assert digits.found_
    assert lower(digits, 0) > 0.7  # of all regions it is one half
    shuffled = np.random.RandomState(0).permutation(y)
    assert find_regions(extractor, images, shuffled, head, **QUICK).found_ is None
