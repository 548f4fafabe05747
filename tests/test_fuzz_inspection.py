"""Whatever the names and values are, a display is drawn as they are or says what is wrong."""

import html

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.inspection import (
    FitHistoryDisplay,
    GroupAccuracyDisplay,
    HardSetDisplay,
    SupportEditDisplay,
    TradeOffDisplay,
    describe_edits,
    report,
)
from tests.test_fuzz import ODD, groups_of, outcome

plt = pytest.importorskip("matplotlib.pyplot", reason="displays draw with matplotlib")
plt.switch_backend("agg")

N = 24
RNG = np.random.RandomState(0)
INDEX = np.arange(N) % 2
X = RNG.normal(size=(N, 4)) + 2 * INDEX[:, None]
NAMES = [
    "$",
    "$x$",
    "_",
    "__",
    "a_b",
    "\\",
    "\\frac",
    "$\\frac",
    "<b>",
    "&amp;",
    "%d",
    "{0}",
    "a\nb",
    "é",
]
NAMES += ["earns <$50k$", "100$", "", " ", "#010203", "'", '"', "</svg>", "x^2", "y"]


@st.composite
def names(draw):
    return np.array(draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True)))


def drawn(make):
    """Draw a display to the end, and close it."""
    try:
        display = outcome(make)
        if display is None:
            return None
        display.figure_.canvas.draw()
        return [text.get_text() for text in display.figure_.findobj(plt.Text)]
    finally:
        plt.close("all")


def fitted(y):
    model = HSFMClassifier(epochs=1, KH=1, T=1, random_state=0)
    return model.fit(X, y, X[: N - 4], y[: N - 4])


def value(draw, *sensible):
    return draw(st.sampled_from([*sensible, *sensible, *ODD]))


@settings(max_examples=max(5, settings.default.max_examples // 6))
@given(y=names().map(lambda n: n[INDEX]), data=st.data())
def test_displays(y, data):
    model, draw = fitted(y), data.draw
    known = data.draw(names())[np.arange(N) // 2 % 2]
    groups = draw(st.sampled_from([known, known, draw(groups_of(N))]))
    scores = {draw(st.sampled_from(NAMES)): model.predict(X), "other": y}
    texts = drawn(lambda: GroupAccuracyDisplay.from_predictions(y, scores, groups))
    if texts is not None and groups is known:
        for name in np.unique(known):
            assert any(t.replace(r"\$", "$").strip("\u200b").startswith(name) for t in texts)
    drawn(lambda: GroupAccuracyDisplay.from_estimator(model, X, y, groups))
    n_groups = value(draw, None, 1, 5)
    drawn(lambda: GroupAccuracyDisplay.from_predictions(y, scores, known).plot(n_groups=n_groups))
    alphas = value(draw, None, [0, 1], 0.5)
    drawn(lambda: TradeOffDisplay.from_estimator(model, X, y, groups, alphas=alphas))
    drawn(lambda: FitHistoryDisplay.from_estimator(model))
    drawn(lambda: SupportEditDisplay.from_estimator(model, X, y, groups))
    n_rows = value(draw, 3, 12, 100)
    images = draw(st.sampled_from([None, None, X.reshape(N, 2, 2), np.ones((N, 2, 2)), X > 0]))
    proba = draw(st.sampled_from([model.predict_proba(X), X, X[:, :2], y, 3 * INDEX]))
    features = draw(st.sampled_from([X, X, X * np.nan, y, None]))
    times = draw(st.sampled_from([None, INDEX, "a", INDEX[:3]]))
    of_rows = {"images": images, "features": features, "times": times, "n_rows": n_rows}
    drawn(lambda: HardSetDisplay.from_predictions(y, proba, **of_rows))
    held = {"images": None if images is None else images[:-4], "n_rows": n_rows}
    drawn(lambda: HardSetDisplay.from_estimator(model, X[:-4], y[:-4], **held))


@given(y=names().map(lambda n: n[INDEX]), data=st.data())
def test_edits_in_words(y, data):
    model, draw = fitted(y), data.draw
    vectors = st.sampled_from(
        [np.ones(4), np.zeros(4), np.full(4, np.nan), np.ones(3), "a", 1e200 * np.ones(4)]
    )
    found = outcome(
        lambda: describe_edits(
            model,
            X * draw(st.sampled_from([1.0, 1e-6, 1e6, 0.0])),
            y,
            groups=draw(groups_of(N)),
            attributes=draw(st.sampled_from([None, {"place": draw(groups_of(N))}, 3])),
            concepts=draw(st.sampled_from([None, {"water": draw(vectors)}, "a"])),
            n_neighbors=value(draw, 1, 5),
        )
    )
    if found is not None:
        assert np.isfinite(found.length).all()
        assert all(np.isfinite(change).all() for change in found.concepts.values())
        assert str(found)


@settings(max_examples=max(3, settings.default.max_examples // 20))
@given(y=names().map(lambda n: n[INDEX]), data=st.data())
def test_reports(y, data):
    pytest.importorskip("jinja2", reason="reports need jinja2 (extra 'report')")
    draw = data.draw
    model = draw(st.sampled_from([fitted(y), LogisticRegression().fit(X, y)]))
    given_ = {
        "groups": draw(st.sampled_from([None, np.where(INDEX, "$a$", "<b>"), draw(groups_of(N))])),
        "images": draw(st.sampled_from([None, np.ones((N, 2, 2)), X.reshape(N, 2, 2)])),
        "title": draw(st.sampled_from(NAMES)),
    }
    page = outcome(lambda: report(model, X, y, **given_))
    assert plt.get_fignums() == []
    if page is not None:
        assert "<b>" not in page.html
        assert given_["title"] in html.unescape(page.html)
