"""The README is short, its code runs as printed, and what it points at is there."""

import re
import runpy
from pathlib import Path

from sklearn_hsfm.__main__ import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_blocks_run(capsys):
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 1
    for block in blocks:
        exec(block, names)
    said = capsys.readouterr().out
    assert said.startswith("repaired. ")
    assert "average, group mean" in said


def test_it_is_short():
    assert len(README.splitlines()) <= 120


def test_it_points_at_files():
    links = re.findall(r"\]\(((?!http)[^)#]+)", README)
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_marks_of_ci_stand_before_commands():
    for mark in ("tests", "docs"):
        block = re.search(rf"^<!-- {mark} -->\n```\n(.*)\n```$", README, re.M)
        assert block[1].startswith("python3 -m venv .venv && ")


def test_the_table_is_that_of_the_command():
    part = README.split("one CPU thread:")[1].split("\n\n", 2)[1]
    cells = [[c.strip() for c in line.split("|")[1:3]] for line in part.splitlines()]
    assert cells[2:] == [[name, uses] for name, (uses, _) in METHODS.items()]


def test_its_links_hold_on_the_package_index():
    for_the_index = runpy.run_path(ROOT / "setup.py")["for_the_index"]
    assert re.findall(r"\]\((?!https?://)", for_the_index(README)) == []
    a_link, a_picture = "see [it](docs/a.md), [there](https://b.org)", "![a dog](docs/a.png)"
    assert for_the_index(a_link) == "see it, [there](https://b.org)"
    assert for_the_index(a_picture) == "*a dog*"
    at = "https://host/repo", "v1"
    assert for_the_index(a_link, *at).startswith("see [it](https://host/repo/blob/v1/docs/a.md),")
    assert for_the_index(a_picture, *at) == "![a dog](https://host/repo/raw/v1/docs/a.png)"
