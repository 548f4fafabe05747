"""The code of the README runs as printed, block after block."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.usefixtures("routing")
def test_the_blocks_run(capsys):
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert "average, group mean" in capsys.readouterr().out
    assert names["search"].best_params_.keys() == names["grid"].keys()
