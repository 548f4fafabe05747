"""From a network to a repaired network, to ONNX, to a process without this package."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "plot_b_network.py"


@pytest.mark.slow
def test_the_example_goes_the_whole_way():
    for needed in ("skl2onnx", "onnxscript", "onnxruntime", "skops"):
        pytest.importorskip(needed, reason="a part of the way")
    names = runpy.run_path(str(EXAMPLE))
    plt.close("all")
    before, after = (names["worst_group"](names[when]) for when in ("before", "after"))
    assert before < 0.4
    assert after > 0.75  # from class labels alone
    assert float(names["served"]) == pytest.approx(after, abs=0.01)
    assert list(names["differences"]) == [
        "to_torch", "the repaired network", "skops", "ONNX, the head", "ONNX, the network",
    ]  # fmt: skip
    assert names["differences"].pop("skops") == 0
    assert max(names["differences"].values()) < 1e-4
