"""Plant faults in the package, one at a time, and see whether the tests notice.

``python -m tests.mutation metrics -n 20`` plants 20 faults in ``sklearn_hsfm/metrics``, in a copy
of the checkout, and prints those that no test notices, and the share of the others.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What is part of what, and the tests that are to notice.
PARTS = {
    "core": (["_core"], ["core", "recursion", "classifier"]),
    "metrics": (["metrics"], ["metrics", "routing"]),
    "choosing": (
        ["selection.py", "_choosing", "_reweighting.py"],
        ["selection", "cells", "values", "candidates", "reweighting", "classifier_cv"],
    ),
    "discovery": (["discovery"], ["discovery", "reweighting", "cells"]),
    "classifier": (
        [
            *("_classifier.py", "_linear_head.py", "_init_head.py", "_labels.py"),
            *("_param_grid.py", "_looks_alike.py"),
        ],
        ["classifier", "init_head", "values", "validation_set", "looks_alike", "classifier_cv"],
    ),
    "deployment": (["deployment"], ["repaired", "deploy"]),
    "heads": (["heads"], ["heads", "group_free", "bang", "values"]),
    "adapters": (["adapters"], ["adapters"]),
    "environments": (["environments"], ["environments"]),
    "inspection": (
        ["inspection"],
        ["inspection", "report", "decoding", "audit", "regions", "masked", "patches"],
    ),
    "extraction": (
        ["extraction"],
        [
            *("images", "extraction", "extraction_text", "last_layer", "cache", "identity"),
            *("saliency", "shards", "weights_files", "extraction_hf"),
        ],
    ),
    "datasets": (
        ["datasets"],
        ["datasets", "image_sets", "image_tables", "hugging_face", "other_libraries"],
    ),
    "finetuning": (["finetuning"], ["finetuning", "masktune", "dac", "generated", "diffusion"]),
}
NO_CPU = ("recursion_triton.py",)  # needs a GPU
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.MatMult: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.USub: ast.UAdd,
}  # fmt: skip
TWINS = {"min": "max", "argmin": "argmax", "any": "all", "mean": "sum", "zeros": "ones"}
TWINS |= {other: name for name, other in TWINS.items()}


def main():
    """Plant the faults that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all by default")
    parser.add_argument("-n", type=int, default=20, help="faults in each, 20 by default")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for part in args.parts or PARTS:
        noticed = [n for n in plant(part, args.n, args.seed) if n is not None]
        print(f"{part}: {sum(noticed)} of {len(noticed)} noticed", flush=True)


def plant(part, n, seed):
    """Yield whether the tests notice, of ``n`` faults in a part."""
    places, tests = PARTS[part]
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "checkout"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", ".venv", "benchmarks"))
        tests = [f"tests/test_{name}.py" for name in tests]
        found = [(file, *fault) for file in files(copied, places) for fault in faults(file)]
        assert not run(copied, tests), f"tests of {part} fail without a fault"
        for file, line, what, source in random.Random(seed).sample(found, min(n, len(found))):
            original = file.read_text()
            file.write_text(source)
            noticed = run(copied, tests)
            file.write_text(original)
            if not noticed:
                print(f"  unnoticed: {file.relative_to(copied)}:{line}: {what}", flush=True)
            yield noticed


def files(root, places):
    """Return the source files of a part."""
    package = root / "sklearn_hsfm"
    found = [f for p in places for f in sorted((package / p).glob("*.py")) or [package / p]]
    return [f for f in found if f.name not in NO_CPU]


def faults(file):
    """Yield a line, a description and the faulty source of every fault that a file can have."""
    tree = ast.parse(file.read_text())
    nodes = list(ast.walk(tree))
    for k, node in enumerate(nodes):
        for what, change in changes(node):
            faulty = copy.deepcopy(tree)
            change(list(ast.walk(faulty))[k])
            yield node.lineno, what, ast.unparse(faulty)


def changes(node):
    """Yield a description and a function that makes the change, of what a node can be."""
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.AugAssign):
        new = SWAPS.get(type(node.op))
        if new:
            yield f"{ast.unparse(node)}: {new.__name__}", lambda n: setattr(n, "op", new())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        new = SWAPS[type(node.ops[0])]
        yield f"{ast.unparse(node)}: {new.__name__}", lambda n: n.ops.__setitem__(0, new())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"not {node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield f"{node.value} + 1", lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.Attribute) and node.attr in TWINS:
        twin = TWINS[node.attr]
        yield f"{ast.unparse(node)}: {twin}", lambda n: setattr(n, "attr", twin)
    elif isinstance(node, ast.If):
        yield (
            f"not {ast.unparse(node.test)}",
            lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test)),
        )


def run(root, tests):
    """Return whether a test fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    options = ["-x", "-q", "-m", "not slow and not real_data", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    try:
        ended = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, timeout=1200
        )
    except subprocess.TimeoutExpired:  # an endless loop is noticed, too
        return True
    return ended.returncode != 0


if __name__ == "__main__":
    main()
