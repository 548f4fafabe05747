"""The code of the guide runs as printed, page by page; the README's picture has its command."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
PAGES = {p.name: BLOCK.findall(p.read_text()) for p in sorted((ROOT / "docs").glob("*.md"))}
ELSEWHERE = {"deploy.md", "start.md"}  # test_deploy.py runs the first, and a test below the other


@pytest.mark.parametrize("page", sorted({n for n in PAGES if PAGES[n]} - ELSEWHERE))
def test_the_blocks_run(page):
    names = {}
    for block in PAGES[page]:
        exec(block, names)


def test_every_place_to_start_from_ends_in_a_repair(capsys):
    names = {}
    for block in PAGES["start.md"]:
        exec(block, names)
    said = capsys.readouterr().out
    summaries = 5  # a network, features, a table without and with a column named, groups
    assert said.count("repaired. ") == said.count("Labels used: ") == summaries
    assert isinstance(names["fixed"], names["nn"].Module)
    sections = re.findall(r"^## (.*)", (ROOT / "docs" / "start.md").read_text(), re.M)
    anchors = [f"(#{section.lower().replace(' ', '-')})" for section in sections[:-1]]
    assert len(anchors) == 4
    for place in anchors:
        assert f"start.md{place[1:]}" in (ROOT / "docs" / "index.md").read_text()
        assert place in (ROOT / "docs" / "start.md").read_text()


def test_the_guide_has_code():
    guide = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "user_guide.md").read_text())
    assert len(guide) > 5
    without = [name for name in guide if not PAGES[name]]
    assert without == ["glossary.md", "gpus.md"]  # words; and what needs a GPU


def test_the_picture_stands_beside_its_command():
    readme = (ROOT / "README.md").read_text()
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", readme)
    assert (ROOT / picture).stat().st_size < 200_000
    assert f'images" / "{Path(picture).name}' in (ROOT / "docs" / "picture.py").read_text()
    assert "`python docs/picture.py`" in readme.split(picture)[1].split("\n## ")[0]
