"""The report says what the metrics say, and a real browser shows all of it."""

import html
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.heads import ClassBalancedClassifier
from sklearn_hsfm.inspection import Report, TradeOffDisplay, audit, report
from sklearn_hsfm.inspection._embedding import inline_svg
from sklearn_hsfm.metrics import group_scores

pytest.importorskip("jinja2", reason="reports need jinja2 (extra 'report')")
pytest.importorskip("matplotlib", reason="reports need matplotlib (extra 'report')").use("agg")


@pytest.fixture(scope="module")
def dominoes():
    return load_digit_dominoes(random_state=0)


@pytest.fixture(scope="module")
def fitted(dominoes):
    clf = HSFMClassifier(epochs=10, random_state=0)
    return clf.fit(dominoes.X_train, dominoes.y_train, dominoes.X_val, dominoes.y_val)


@pytest.fixture(scope="module")
def page(dominoes, fitted):
    return report(
        fitted,
        dominoes.X_test,
        dominoes.y_test,
        groups=dominoes.groups_test,
        images=dominoes.X_test.reshape(-1, 16, 8),
        X_val=dominoes.X_val,
        y_val=dominoes.y_val,
        images_val=dominoes.X_val.reshape(-1, 16, 8),
    )


@pytest.fixture(scope="module")
def audited(dominoes):
    known = dominoes.X_train[:400], dominoes.y_train[:400]
    return audit(
        None,
        *known,
        groups=dominoes.groups_train[:400],
        images=dominoes.X_train[:400].reshape(-1, 16, 8),
        cv=2,
        n_repeats=1,
        random_state=0,
    )


def words(page):
    """Return the text of a page as one line."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page.html, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_it_says_what_the_metrics_say(dominoes, fitted, page):
    scores = group_scores(dominoes.y_test, fitted.predict(dominoes.X_test), dominoes.groups_test)
    said = words(page)
    assert (
        f"HSFMClassifier gets {scores.average:.1%} right, and {scores.worst:.1%} of the worst"
        in (said)
    )
    logits = dominoes.X_test @ fitted.init_coef_[0] + fitted.init_intercept_[0]
    initial = group_scores(dominoes.y_test, (logits > 0).astype(int), dominoes.groups_test)
    assert f"and {initial.worst:.1%} of its worst group, {initial.worst_group}" in said
    assert f"{100 * (scores.worst - initial.worst):+.1f} points in the worst group" in said
    for group, before, now, n in zip(
        scores.group, initial.accuracy, scores.accuracy, scores.count, strict=True
    ):
        row = rf"{group}( \(worst\))? {now:.1%} [\d.]+–[\d.]+% {before:.1%} {n} "
        assert re.search(row, said), row
    assert "epochs 10 " in said
    assert "T 15 (default)" in said


def test_it_has_all_its_parts_and_loads_nothing(page):
    assert page.html.count("<svg") == 4
    # Samples of the groups, hard rows, pairs of edits.
    assert page.html.count('src="data:image/png') == 4 * 6 + 12 + 2 * 6
    addresses = re.findall(r'(?:src|href)="([^"]{1,30})', page.html)
    assert all(a.startswith(("data:", "#")) for a in addresses), addresses
    assert "<script" not in page.html
    assert "Validation rows that were mined most often" in words(page)


def test_it_saves_and_shows_in_notebooks(page, tmp_path):
    assert page.save(tmp_path / "report.html").read_text(encoding="utf-8") == page.html
    frame = page._repr_html_()
    assert html.unescape(re.search('srcdoc="(.*?)"', frame, re.S)[1]) == page.html
    assert "KiB" in repr(page)


def test_a_pipeline_in_a_search_without_groups(dominoes):
    pipe = make_pipeline(StandardScaler(), HSFMClassifier(epochs=2, random_state=0))
    search = GridSearchCV(pipe, {"hsfmclassifier__Khard": [16]}, cv=2)
    search.fit(dominoes.X_train, dominoes.y_train)
    said = words(report(search, dominoes.X_test, dominoes.y_test))
    assert "No groups were given, so classes are reported" in said
    assert "The test rows of largest loss" in said
    assert "moved toward slice" in said
    assert "Khard 16 " in said


def test_a_cross_fitted_search_shows_its_settings(dominoes):
    clf = HSFMClassifierCV(n_repeats=1, epochs=4, random_state=0)
    clf.fit(dominoes.X_train, dominoes.y_train, dominoes.X_val, dominoes.y_val)
    erm = LogisticRegression().fit(dominoes.X_train, dominoes.y_train)
    said = words(report(clf, dominoes.X_test, dominoes.y_test, baseline=erm))
    assert "baseline, LogisticRegression" in said
    assert "heads in the mean" in said
    assert said.count("±") >= len(clf.cv_results_["params"])
    assert "keeps no single edited support" in said
    assert "refit_best of HSFMClassifierCV makes one" in said


def test_methods_stand_side_by_side_in_every_cell(dominoes):
    clf = HSFMClassifierCV(random_state=0).fit(dominoes.X_train, dominoes.y_train)
    erm = LogisticRegression(max_iter=1000).fit(dominoes.X_train, dominoes.y_train)
    balanced = ClassBalancedClassifier().fit(dominoes.X_train, dominoes.y_train)
    named = {"ERM": erm, "<class-balanced>": balanced}
    images = dominoes.X_test.reshape(-1, 16, 8)
    page = report(clf, dominoes.X_test, dominoes.y_test, images=images, baseline=named)
    said = words(page)
    assert "The cells were inferred" in said
    assert "<class-balanced>" in said
    assert "<class-balanced>" not in page.html
    labels = clf.finder_.predict(dominoes.X_test, dominoes.y_test)
    for c in (0, 1):
        for k, part in enumerate(("helped", "hurt")):
            rows = labels == 2 * c + k
            right = [
                np.mean(m.predict(dominoes.X_test[rows]) == dominoes.y_test[rows])
                for m in (erm, balanced, clf)
            ]
            shown = zip(("ERM", "<class-balanced>", "HSFMClassifierCV"), right, strict=True)
            shown = " ".join(f"{name} {accuracy:.1%}" for name, accuracy in shown)
            assert f"class {c}, {part} {rows.sum()} samples {shown}" in said
    order = [said.index(f"class {c}, {part} ") for part in ("hurt", "helped") for c in (0, 1)]
    assert max(order[:2]) < min(order[2:])
    # What is shown of the hurt are those that the finder is surest of.
    scores = clf.finder_.score_samples(dominoes.X_test, dominoes.y_test)
    surest = np.flatnonzero(labels == 1)[np.argsort(-scores[labels == 1], kind="stable")][:6]
    card = page.html.split("class 0, hurt")[2].split("</article>")[0]
    assert [int(row) for row in re.findall(r'alt="sample (\d+)"', card)] == surest.tolist()


def test_a_baseline_cannot_take_the_name_of_the_classifier(dominoes, fitted):
    with pytest.raises(ValueError, match="the name of the classifier, 'HSFMClassifier'"):
        report(fitted, dominoes.X_test, dominoes.y_test, baseline={"HSFMClassifier": fitted})


def test_an_audit_has_its_page(audited, tmp_path):
    page = audited.to_html(title="<i>t</i>")
    assert "<script" not in page
    assert "<i>t" not in page
    addresses = re.findall(r'(?:src|href)="([^"]{1,30})', page)
    assert all(a.startswith(("data:", "#")) for a in addresses), addresses
    said = words(Report(page))
    assert audited.verdict.capitalize() in said
    for method, scores in audited.scores.items():
        for accuracy in scores.accuracy:
            assert f"{method} {accuracy:.1%}" in said
    assert audited.save(tmp_path / "audit.html").stat().st_size > 10_000
    assert "<iframe" in audited._repr_html_()


def test_a_browser_shows_an_audit_at_phone_and_desktop_width(audited, tmp_path):
    page = Report(audited.to_html())
    seen, console = browse(page, tmp_path)
    assert console == []
    n_images = page.html.count('src="data:image')
    for width, frame in zip(WIDTHS, seen, strict=True):
        assert frame["width"] <= width
        assert frame["shown"] == frame["images"] == n_images > 30
        assert len(frame["figures"]) == 1


def test_names_are_text_not_markup(dominoes, fitted):
    groups = np.where(dominoes.y_test == 1, "<script>alert(1)</script>", "b & c")
    page = report(fitted, dominoes.X_test, dominoes.y_test, groups=groups, title="<b>x</b>")
    assert "<script" not in page.html
    assert "<b>x</b>" not in page.html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": [0, 1]}, "inconsistent numbers of samples"),
        ({"y_test": np.full(479, 5)}, r"y_test has labels that y does not have: \[5\]"),
        ({"groups": ["a", "b"]}, "groups has 2 rows, but there are 479 labels"),
        ({"images": np.zeros((3, 16, 8))}, "There are 3 images for 479 samples"),
        ({"X_val": np.zeros((3, 128))}, "X_val and y_val come together"),
        ({"images_val": np.zeros((3, 16, 8))}, "and images_val with them; one is None"),
    ],
)
def test_bad_input_is_refused(dominoes, fitted, change, message):
    given = {"X_test": dominoes.X_test, "y_test": dominoes.y_test} | change
    with pytest.raises(ValueError, match=message):
        report(fitted, **given)


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_what_is_missing_is_said(monkeypatch, dominoes, fitted, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ImportError, match=rf'{missing} is not installed; pip install "sklearn-hsfm\[report\]"'
    ):
        report(fitted, dominoes.X_test, dominoes.y_test)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDTHS = (390, 1280)
# Frames of the width of a phone and of a desktop, and what is in them when all has loaded.
MEASURE = """<!doctype html><body><script>
onload = () => setTimeout(() => {
  const seen = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, images = [...page.images];
    return {
      width: page.documentElement.scrollWidth,
      shown: images.filter(i => i.complete && i.naturalWidth > 0 && i.width > 0).length,
      images: images.length,
      figures: [...page.querySelectorAll("svg")].map(s => s.getBoundingClientRect().width),
      paper: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
      ink: frame.contentWindow.getComputedStyle(page.querySelector("svg text")).fill,
    };
  });
  document.body.innerHTML = "<pre>" + JSON.stringify(seen) + "</pre>";
}, 500);
</script>%s"""


def browse(page, folder, *options):
    """Return what a browser shows at each width, and what it writes to its console."""
    if CHROMIUM is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    frames = "".join(
        f'<iframe style="width:{w}px;height:800px;border:0" srcdoc="{html.escape(page.html)}">'
        "</iframe>"
        for w in WIDTHS
    )
    (folder / "frames.html").write_text(MEASURE % frames, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", *options]
    done = subprocess.run(
        [*command, "--dump-dom", (folder / "frames.html").as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    seen = json.loads(html.unescape(re.search("<pre>(.*?)</pre>", done.stdout, re.S)[1]))
    return seen, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_shows_it_at_phone_and_desktop_width(page, tmp_path):
    seen, console = browse(page, tmp_path)
    assert console == []
    for width, frame in zip(WIDTHS, seen, strict=True):
        assert frame["width"] <= width  # nothing sticks out to the side
        assert frame["shown"] == frame["images"] == 48
        assert len(frame["figures"]) == 4
        assert all(0.25 * width < w <= width for w in frame["figures"])


def test_a_browser_sees_an_error_where_there_is_one(page, tmp_path):
    broken = type(page)(
        page.html.replace("</body>", '<img src="data:image/png;base64,AA">'
        '<div style="width:2000px">-</div><script>boom()</script></body>')
    )  # fmt: skip
    seen, console = browse(broken, tmp_path)
    assert "boom is not defined" in console[0]
    assert seen[0]["width"] > 390
    assert seen[0]["shown"] == seen[0]["images"] - 1


@pytest.mark.parametrize("kind", ["report", "audit"])
def test_dark_mode_turns_paper_and_ink_around(page, audited, kind, tmp_path):
    page = page if kind == "report" else Report(audited.to_html())

    def lightness(color):
        return sum(map(int, re.findall(r"\d+", color)[:3])) / 3

    for scheme, dark in (("0", True), ("1", False)):
        (tmp_path / scheme).mkdir()
        option = f"--blink-settings=preferredColorScheme={scheme}"
        (frame, _), _ = browse(page, tmp_path / scheme, option)
        assert (lightness(frame["paper"]) < 60) == dark
        assert (lightness(frame["ink"]) > 200) == dark


def test_a_report_that_fails_leaves_no_figure_open(dominoes, fitted, monkeypatch):
    import matplotlib.pyplot as plt

    def draw_and_fail(self, ax=None):
        plt.figure()
        raise ZeroDivisionError

    mine = plt.figure()
    monkeypatch.setattr(TradeOffDisplay, "plot", draw_and_fail)
    with pytest.raises(ZeroDivisionError):
        report(fitted, dominoes.X_test, dominoes.y_test)
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


def test_colours_are_replaced_in_styles_alone():
    def draw():
        import matplotlib.pyplot as plt

        figure = plt.figure()
        figure.text(0, 0, "#010203")
        return SimpleNamespace(figure_=figure)

    svg = inline_svg(draw)
    assert ">#010203</text>" in svg
    assert "currentColor" in svg
