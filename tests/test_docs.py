"""The code of the guide runs as printed, page by page; the README's picture has its command."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
PAGES = {p.name: BLOCK.findall(p.read_text()) for p in sorted((ROOT / "docs").glob("*.md"))}
ELSEWHERE = {"deploy.md"}  # writes files, and is run by test_deploy.py


@pytest.mark.parametrize("page", sorted({n for n in PAGES if PAGES[n]} - ELSEWHERE))
def test_the_blocks_run(page):
    names = {}
    for block in PAGES[page]:
        exec(block, names)


def test_the_guide_has_code():
    guide = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "user_guide.md").read_text())
    assert len(guide) > 5
    without = [name for name in guide if not PAGES[name]]
    assert without == ["gpus.md"]  # what needs a GPU


def test_the_picture_stands_beside_its_command():
    readme = (ROOT / "README.md").read_text()
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", readme)
    assert (ROOT / picture).stat().st_size < 200_000
    assert f'images" / "{Path(picture).name}' in (ROOT / "docs" / "picture.py").read_text()
    assert "`python docs/picture.py`" in readme.split(picture)[1].split("\n## ")[0]
