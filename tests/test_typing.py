"""A type checker sees what the package offers, and finds the mistakes of its users."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")

USER = Path(__file__).with_name("typed_user.py")
# Of other libraries a checker sees names at most; torch alone would take half a minute.
CONFIGURATION = """
[mypy]
follow_imports = silent
ignore_missing_imports = True
[mypy-torch.*,matplotlib.*,pandas.*]
follow_imports = skip
"""


def test_mistakes_are_found_and_no_others(tmp_path):
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", "--no-pretty"]
    command += ["--cache-dir", tmp_path / "cache", "--python-executable", sys.executable, USER]
    run = subprocess.run(command, capture_output=True, text=True, cwd=USER.parents[1])
    found = re.findall(r"typed_user\.py:(\d+): error: .*\[([\w-]+)\]$", run.stdout, re.M)
    assert {int(line): code for line, code in found} == {
        number: line.split("  # wrong: ")[1]
        for number, line in enumerate(USER.read_text().splitlines(), 1)
        if "  # wrong: " in line
    }, run.stdout + run.stderr
