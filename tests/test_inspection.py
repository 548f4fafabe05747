"""Displays draw what the metrics say; edits are described as they were made."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, ValidationSet
from sklearn_hsfm.datasets import make_spurious_features
from sklearn_hsfm.heads import ClassBalancedClassifier, HeadAverager
from sklearn_hsfm.inspection import (
    FitHistoryDisplay,
    GroupAccuracyDisplay,
    HardSetDisplay,
    SupportEditDisplay,
    TradeOffDisplay,
    decode_edits,
    describe_edits,
)
from sklearn_hsfm.inspection._pictures import check_images, picture
from sklearn_hsfm.metrics import group_scores

matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib (extra 'plot')")
matplotlib.use("agg")
pytestmark = pytest.mark.filterwarnings("ignore:More than 20 figures")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def fitted(data):
    clf = HSFMClassifier(epochs=6, support_per_class=16, random_state=0)
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val)


def subplots(n):
    return matplotlib.pyplot.subplots(1, n, squeeze=False)[1][0]


def test_importing_draws_nothing():
    code = "import sys, sklearn_hsfm.inspection; print('matplotlib' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, fitted):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-hsfm\[plot\]"'):
        FitHistoryDisplay.from_estimator(fitted)


def test_bars_are_the_accuracies(data, fitted):
    erm = LogisticRegression().fit(data.X_train, data.y_train)
    methods = {"ERM": erm, "HSFM": fitted}
    display = GroupAccuracyDisplay.from_estimator(
        methods, data.X_test, data.y_test, data.groups_test
    )
    assert display.figure_ is display.ax_.figure
    for (name, model), text in zip(
        methods.items(), display.ax_.get_legend().get_texts(), strict=True
    ):
        scores = group_scores(data.y_test, model.predict(data.X_test), data.groups_test)
        bars = display.bars_[name]
        assert [bar.get_width() for bar in bars] == pytest.approx(scores.accuracy)
        hatched = [bool(bar.get_hatch()) for bar in bars]
        assert hatched == (scores.group == scores.worst_group).tolist()
        assert text.get_text() == (
            f"{name}: worst {scores.worst:.1%}, average {scores.average:.1%}"
        )
    errors = display.ax_.collections[0].get_segments()
    scores = display.scores["ERM"]
    assert [s[:, 0].tolist() for s in errors] == [
        pytest.approx(pair) for pair in zip(scores.low, scores.high, strict=True)
    ]


def test_of_many_groups_the_lowest_are_drawn(data, fitted):
    scores = group_scores(data.y_test, fitted.predict(data.X_test), data.groups_test)
    display = GroupAccuracyDisplay({"HSFM": scores}).plot(n_groups=2)
    drawn = [bar.get_width() for bar in display.bars_["HSFM"]]
    assert drawn == sorted(scores.accuracy)[:2]
    assert display.bars_["HSFM"][0].get_hatch()
    assert display.ax_.get_yticklabels()[0].get_text().startswith(f"{scores.worst_group}\n")


def test_bars_draw_on_given_axes_and_pass_options_on(data):
    (ax,) = subplots(1)
    display = GroupAccuracyDisplay.from_predictions(
        data.y_test, data.y_test, data.groups_test, confidence=0.5, ax=ax
    )
    assert display.ax_ is ax
    expected = group_scores(data.y_test, data.y_test, data.groups_test, confidence=0.5)
    assert display.scores["accuracy"].low == pytest.approx(expected.low)


def test_path_starts_and_ends_with_its_heads(data):
    first = LogisticRegression().fit(data.X_train, data.y_train)
    path = HeadAverager(first, ClassBalancedClassifier(), alpha=(0.25, 0.75), balance="none")
    path.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    display = TradeOffDisplay.from_estimator(
        path, data.X_test, data.y_test, data.groups_test, alphas=[0, 1]
    )
    assert display.alphas.tolist() == sorted([0, 1, path.alpha_])
    for at, model in ((0, first), (display.alphas.tolist().index(path.alpha_), path)):
        scores = group_scores(data.y_test, model.predict(data.X_test), data.groups_test)
        drawn = display.line_.get_xydata()[at]
        assert drawn == pytest.approx([scores.average, scores.worst])
    labels = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert labels[2].startswith(f"chosen: alpha = {path.alpha_:.2f}: worst")


def test_path_of_a_repair_with_three_classes():
    data = make_spurious_features(n_classes=3, random_state=0)
    clf = HSFMClassifier(epochs=2, random_state=0)
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    display = TradeOffDisplay.from_estimator(clf, data.X_test, data.y_test, data.groups_test)
    scores = group_scores(data.y_test, clf.predict(data.X_test), data.groups_test)
    assert display.worst[-1] == scores.worst
    edits = SupportEditDisplay.from_estimator(clf, data.X_test, data.y_test, data.groups_test)
    assert list(edits.arrows_) == [0, 1, 2]


def test_history_is_drawn_with_the_chosen_epoch(fitted):
    axes = subplots(2)
    display = FitHistoryDisplay.from_estimator(fitted, ax=axes)
    assert list(display.ax_) == list(axes)
    assert "worst_group" in display.lines_
    for name, line in display.lines_.items():
        assert line.get_ydata() == pytest.approx(fitted.history_[name], nan_ok=True)
    marks = [a.lines[-1].get_xdata()[0] for a in display.ax_]
    assert marks == [fitted.best_epoch_] * 2


def test_hard_rows_are_those_that_were_mined_most(data, fitted):
    images = np.linspace(0, 1, len(data.X_val) * 6).reshape(-1, 2, 3)
    display = HardSetDisplay.from_estimator(fitted, data.X_val, data.y_val, images=images, n_rows=5)
    mined, times = np.unique(fitted.hard_indices_, return_counts=True)
    assert display.times.tolist() == np.sort(times)[::-1][:5].tolist()
    assert set(display.rows) <= set(mined)
    proba = fitted.predict_proba(data.X_val[display.rows])
    loss = -np.log(proba[np.arange(5), data.y_val[display.rows]])
    assert display.loss == pytest.approx(loss)
    for row, drawn, ax in zip(display.rows, display.images_, display.ax_, strict=True):
        grey = np.round(images[row] * 255)
        assert (drawn.get_array() == grey[..., None]).all()
        label = data.y_val[row]
        assert ax.get_title().startswith(
            f"label {label}, predicted {fitted.predict(data.X_val)[row]}"
        )
        assert ax.get_title().endswith(f"mined in {display.times[0]}/6 epochs")


def test_hard_rows_of_any_classifier_are_those_of_largest_loss(data):
    erm = LogisticRegression().fit(data.X_train, data.y_train)
    proba = erm.predict_proba(data.X_test)
    display = HardSetDisplay.from_predictions(
        data.y_test, proba, features=data.X_test, n_rows=3, ax=subplots(3)
    )
    of_label = proba[np.arange(len(proba)), data.y_test]
    assert display.rows.tolist() == np.argsort(of_label)[:3].tolist()
    assert (display.images_[0].get_array() == data.X_test[display.rows[0]]).all()
    assert "mined" not in display.ax_[0].get_title()


def planted(data, step, epochs=1):
    """Return an HSFMClassifier whose edits are ``step(direction)`` of a known shortcut."""
    clf = HSFMClassifier(epochs=epochs, support_per_class=16, random_state=0)
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    mean = {g: data.X_test[data.groups_test == g].mean(axis=0) for g in range(4)}
    # Groups are 2 y + attribute, and the shortcut is that the attribute equals the class.
    undo = {0: mean[1] - mean[0], 1: mean[2] - mean[3]}
    clf.support_ = clf.support_init_ + np.array([step(undo[y]) for y in clf.support_y_])
    return clf


def test_planted_edits_are_found(data):
    attribute = np.array(["land", "water"])[data.groups_test % 2]
    known = {"groups": data.groups_test, "attributes": {"place": attribute}}
    edits = describe_edits(planted(data, lambda v: 1.5 * v), data.X_test, data.y_test, **known)
    # Features have about the same deviation, so standardising hardly turns the direction.
    assert edits.alignment.min() > 0.95
    assert [edits.shifts["group"].toward(c) for c in (0, 1)] == [1, 2]
    assert [edits.shifts["place"].toward(c) for c in (0, 1)] == ["water", "land"]
    assert edits.shifts["place"].after.sum(axis=1) == pytest.approx([1, 1])
    assert "moved toward place water" in str(edits)
    assert "from 0 to 1, against the shortcut: cosine +" in str(edits)
    assert "from 3 to 2, against the shortcut: cosine +" in str(edits)
    back = describe_edits(planted(data, lambda v: -v), data.X_test, data.y_test, **known)
    assert back.alignment.max() < -0.95


def test_random_edits_are_not_aligned(data):
    rng = np.random.RandomState(0)
    clf = planted(data, lambda v: rng.normal(size=len(v)))
    edits = describe_edits(clf, data.X_test, data.y_test, groups=data.groups_test)
    assert abs(edits.alignment.mean()) < 4 * edits.chance / np.sqrt(len(edits.alignment))
    assert edits.alignment.std() == pytest.approx(edits.chance, rel=0.5)


def test_without_groups_slices_stand_in(data):
    clf = planted(data, lambda v: v, epochs=20)  # slices need a head that is repaired
    edits = describe_edits(clf, data.X_test, data.y_test)
    assert edits.alignment.min() > 0.5
    assert edits.shifts["slice"].toward(0) == "0, shortcut hurts"


def test_nearest_rows_are_rows_of_the_bank(data):
    clf = planted(data, lambda v: 0 * v)
    bank = np.vstack([clf.support_init_, data.X_test])
    edits = describe_edits(clf, bank, np.r_[clf.support_y_, data.y_test], n_neighbors=1)
    assert edits.before[:, 0].tolist() == list(range(len(clf.support_)))
    assert (edits.before == edits.after).all()
    assert edits.length == pytest.approx(np.zeros(32))


def test_concepts_are_changes_of_the_cosine(data):
    clf = planted(data, lambda v: v)
    text = np.eye(32)[3]
    change = describe_edits(clf, data.X_test, data.y_test, concepts={"water": text})
    expected = [
        b[3] / np.linalg.norm(b) - a[3] / np.linalg.norm(a)
        for a, b in zip(clf.support_init_, clf.support_, strict=True)
    ]
    assert change.concepts["water"] == pytest.approx(expected)


def test_arrows_are_the_edits_in_the_plane(data):
    clf = planted(data, lambda v: v)
    display = SupportEditDisplay.from_estimator(clf, data.X_test, data.y_test, data.groups_test)
    moved = display.after - display.before
    assert (moved[:, 0] < -0.95 * np.linalg.norm(moved, axis=1)).all()  # to the hard group
    for c, arrows in display.arrows_.items():
        assert np.column_stack([arrows.U, arrows.V]) == pytest.approx(moved[clf.support_y_ == c])
        easy, hard = 3 * c, 1 + c  # of groups 2 y + attribute
        assert display.towards[c] == (easy, hard)
    center = display.bank[data.groups_test == 0].mean(axis=0)
    assert center[0] == pytest.approx(-display.bank[data.groups_test == 1, 0].mean())


class Unlike(ClassifierMixin, BaseEstimator):
    """Fitted, and nothing else."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda m, d: FitHistoryDisplay.from_estimator(m), "has no history_"),
        (lambda m, d: HardSetDisplay.from_estimator(m, d.X_val, d.y_val), "from_predictions"),
        (lambda m, d: describe_edits(m, d.X_val, d.y_val), "fit HSFMClassifier"),
        (
            lambda m, d: TradeOffDisplay.from_estimator(m, d.X_val, d.y_val, d.groups_val),
            "HeadAverager",
        ),
    ],
)
def test_other_classifiers_are_refused(data, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(Unlike().fit(data.X_train, data.y_train), data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((4, 3))}, "3 features, but HSFMClassifier is expecting 32"),
        ({"y": np.full(120, 7)}, r"labels that y does not have: \[7\]"),
        ({"y": np.zeros(120, dtype=int)}, r"no sample of the classes \[1\]"),
        ({"n_neighbors": 500}, "n_neighbors=500; the bank of 120 samples"),
        ({"concepts": {"sea": np.ones(3)}}, r"'sea' has shape \(3,\); the features want \(32,\)"),
        ({"attributes": {"place": ["land"]}}, "inconsistent numbers of samples"),
    ],
)
def test_bad_banks_are_refused(data, fitted, change, message):
    given = {"X": data.X_val, "y": data.y_val, "groups": data.groups_val} | change
    with pytest.raises(ValueError, match=message):
        describe_edits(fitted, **given)


def test_other_bad_input_is_refused(data, fitted):
    with pytest.raises(ValueError, match=r"classes \[0, 1\] have no two groups"):
        SupportEditDisplay.from_estimator(fitted, data.X_val, data.y_val, data.y_val)
    with pytest.raises(ValueError, match=r"was mined, but X has 3 samples"):
        HardSetDisplay.from_estimator(fitted, data.X_val[:3], data.y_val[:3])
    with pytest.raises(ValueError, match="There are 2 images for 120 samples"):
        HardSetDisplay.from_estimator(fitted, data.X_val, data.y_val, images=np.zeros((2, 4, 4)))
    proba = fitted.predict_proba(data.X_val)
    with pytest.raises(ValueError, match="pass images, or features"):
        HardSetDisplay.from_predictions(data.y_val, proba)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        HardSetDisplay.from_predictions(data.y_val, proba, features=data.X_val, times=[1])
    with pytest.raises(ValueError, match="one column a class"):
        HardSetDisplay.from_predictions(data.y_val, np.ones((120, 3)), features=data.X_val)
    with pytest.raises(ValueError, match=r"has shape \(3,\); 120 labels of 2 classes"):
        TradeOffDisplay.from_predictions(data.y_val, [1, 2, 3], data.y_val, data.groups_val)
    with pytest.raises(ValueError, match="ax holds 1 axes; 2 are needed"):
        FitHistoryDisplay.from_estimator(fitted, ax=subplots(1))


@pytest.fixture(scope="module")
def searched(data):
    clf = HSFMClassifierCV(epochs=4, n_repeats=1, random_state=0)
    return clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val)


def edited(clf):
    """Make the best setting of a search one that edits, whichever won."""
    setting = next(s for s in clf.cv_results_["params"] if s["inner_lr"] is not None)
    clf.best_params_ = {**setting, "epoch": 4}
    return clf


def test_one_fit_of_a_search_is_what_displays_take(data, searched):
    clf = edited(searched)
    one = clf.refit_best(data.X_train, data.y_train, data.X_val, data.y_val)
    setting = clf.best_params_
    assert (one.inner_lr, one.outer_lr) == (setting["inner_lr"], setting["outer_lr"])
    assert (one.T, one.KH, one.Khard, one.epochs) == (clf.T, clf.KH, clf.Khard, clf.epochs)
    erm = LogisticRegression(C=setting["C"], max_iter=1000)
    scaler = StandardScaler().fit(data.X_train)
    erm.fit(scaler.transform(data.X_train), data.y_train)
    expected = erm.decision_function(scaler.transform(data.X_test))
    said = data.X_test @ one.init_coef_[0] + one.init_intercept_[0]
    assert said == pytest.approx(expected, abs=0.05)  # which has been warmer started
    as_set = clf.refit_best(data.X_train, data.y_train, ValidationSet(data.X_val, data.y_val))
    assert as_set.coef_ == pytest.approx(one.coef_)
    X, y, groups = data.X_test, data.y_test, data.groups_test
    assert len(FitHistoryDisplay.from_estimator(one).history["epoch"]) == 5
    assert HardSetDisplay.from_estimator(one, data.X_val, data.y_val, n_rows=2).n_epochs == 4
    assert len(SupportEditDisplay.from_estimator(one, X, y, groups).before) == 32
    assert describe_edits(one, X, y, groups=groups).length.min() > 0


def test_the_path_of_a_search_starts_from_the_head_without_a_repair(data, searched):
    known = data.X_test, data.y_test, data.groups_test
    display = TradeOffDisplay.from_estimator(searched, *known, alphas=[0, 1])
    unrepaired = data.X_test @ searched.init_coef_[0] + searched.init_intercept_[0]
    for at, said in ((0, (unrepaired > 0).astype(int)), (1, searched.predict(data.X_test))):
        scores = group_scores(data.y_test, said, data.groups_test)
        assert display.worst[at] == pytest.approx(scores.worst)


@pytest.mark.parametrize(
    "draw",
    [
        lambda m, d: FitHistoryDisplay.from_estimator(m),
        lambda m, d: HardSetDisplay.from_estimator(m, d.X_val, d.y_val),
        lambda m, d: SupportEditDisplay.from_estimator(m, d.X_val, d.y_val),
        lambda m, d: describe_edits(m, d.X_val, d.y_val),
        lambda m, d: decode_edits(m, "name"),
    ],
)
def test_a_search_says_which_fit_can_be_drawn(data, searched, draw):
    with pytest.raises(ValueError, match=r"HSFMClassifierCV averages .* clf.refit_best\(X, y"):
        draw(searched, data)


def test_regressions_have_no_edits_to_refit(data):
    clf = HSFMClassifierCV(random_state=0)
    clf.fit(data.X_train, data.y_train, groups=data.groups_train)
    with pytest.raises(ValueError, match="kept regressions on reweighted samples"):
        clf.refit_best(data.X_train, data.y_train, data.X_val, data.y_val)


@pytest.mark.parametrize("name", ["$", "$x$", "earns <$50k$", "100$ \\d", "_hidden", "\\$"])
def test_names_are_drawn_as_they_are(name):
    scores = {name: [0, 1, 1, 0], "other": [0, 1, 0, 0]}
    display = GroupAccuracyDisplay.from_predictions([0, 1, 0, 1], scores, [name, "b", name, "b"])
    display.figure_.canvas.draw()  # which is where mathematics would be parsed
    shown = [t for t in display.figure_.findobj(matplotlib.text.Text) if t.get_text()]
    assert not any(matplotlib.cbook.is_math_text(t.get_text()) for t in shown)
    texts = [t.get_text().replace(r"\$", "$").removeprefix("\u200b") for t in shown]
    assert any(t.startswith(f"{name}: worst") for t in texts)  # of the legend
    assert any(t.startswith(f"{name}\n2 samples") for t in texts)  # of a tick


def test_values_that_nothing_can_be_drawn_of(data):
    clf = HSFMClassifier(epochs=1, random_state=0)
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    X, y, proba = data.X_test, data.y_test, clf.predict_proba(data.X_test)
    rows, edits = HardSetDisplay.from_predictions, describe_edits
    path = TradeOffDisplay.from_estimator
    for call, message in (
        (lambda: rows(y, proba, features=X, n_rows=0), "'n_rows' parameter"),
        (lambda: rows(y, proba * np.nan, features=X), "y_proba .* finite"),
        (lambda: rows(y, 3 * proba, features=X), "between 0 and 1"),
        (lambda: rows(y, proba, features=X, times=[1]), "y_true, times have inconsistent"),
        (lambda: rows(y, proba, images=X.reshape(len(X), 4, -1)), "between 0 and 1"),
        (lambda: path(clf, X, y, y, alphas=[]), "alphas=.* one or more finite"),
        (lambda: path(clf, X, y, y, alphas=[np.nan]), "alphas=.* one or more finite"),
        (lambda: edits(clf, X, y, concepts={"z": 0 * X[0]}), "concept 'z' has length 0"),
        (lambda: edits(clf, X, y, concepts={"z": np.nan * X[0]}), "concept 'z' has length nan"),
        (lambda: edits(clf, X, y, n_neighbors=0), "'n_neighbors' parameter"),
        (lambda: edits(clf, X, y, attributes={"place": ["a"]}), "place.* inconsistent"),
        (lambda: GroupAccuracyDisplay.from_estimator({}, X, y, y), "no scores to draw"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float32])
def test_grey_images_of_any_type(dtype):
    white = 255 if np.issubdtype(dtype, np.integer) else 1
    images = np.array([[[0, white]]]).astype(dtype)
    np.testing.assert_array_equal(picture(check_images(images, 1), 0)[0, :, 0], [0, 255])
    if dtype is np.int64:
        with pytest.raises(ValueError, match="images of dtype int64"):
            check_images(images + 1, 1)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_floats_that_were_preprocessed_can_still_be_seen(channels):
    """X-rays of one channel, satellites of five: stretched, and in grey."""
    dark_to_light = np.linspace(-1024, 1024, 12).reshape(1, 1, 3, 4)
    images = np.repeat(dark_to_light, channels, axis=1).astype(np.float32)
    shown = picture(check_images(images, 1), 0)
    assert shown.shape == (3, 4, 3)
    np.testing.assert_array_equal(shown[..., 2].ravel(), np.round(np.linspace(0, 255, 12)))
    np.testing.assert_array_equal(picture(check_images(0 * images + 7, 1), 0), 0)
    units = np.clip(images, 0, 1)
    assert set(picture(check_images(units, 1), 0).ravel()) == {0, 255}
