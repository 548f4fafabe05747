"""Every public object is documented as numpydoc asks, and has its place in the API reference."""

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import FunctionType

import pytest

import sklearn_hsfm

validate = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed").validate

API = Path(__file__).parents[1] / "docs" / "api.rst"
IGNORED = {
    "ES01": "a method or a plain function is said in one line",
    "SA01": "a pointer is given where there is something to point at",
}
IN_EXAMPLE_OF_CLASS = "EX01"  # what a method does is shown where its class is
IMAGE_SETS = ("cars", "celeba", "cub", "dominoes", "flowers", "metashift", "waterbirds")
NEEDS_THE_IMAGES = {f"load_{name}" for name in IMAGE_SETS}
MADE_BY_OTHERS = {
    "GenerationReport",
    "Audit",
    "EditDescription",
    "GroupScorer",
    "GroupScores",
    "MaskedSensitivity",
    "PatchProbe",
    "RegionClusters",
}  # their makers have the example
FIELDS_ARE_ATTRIBUTES = "PR01"  # records are read, not called


def public_modules():
    names = (m.name for m in pkgutil.iter_modules(sklearn_hsfm.__path__))
    return ["sklearn_hsfm", *(f"sklearn_hsfm.{n}" for n in names if not n.startswith("_"))]


def public_objects():
    """Return the dotted names of all public classes and functions, and of their methods."""
    for module in public_modules():
        for name in importlib.import_module(module).__all__:
            thing = getattr(importlib.import_module(module), name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{module}.{name}", thing, None
            for base in getattr(thing, "__mro__", ()):
                if not base.__module__.startswith("sklearn_hsfm"):
                    continue
                for method, value in vars(base).items():
                    documented = isinstance(value, classmethod | property | FunctionType)
                    if documented and not method.startswith("_"):
                        yield f"{module}.{name}.{method}", thing, method


@pytest.mark.parametrize(("path", "owner", "method"), list(public_objects()), ids=lambda v: str(v))
def test_docstring(path, owner, method):
    ignored = set(IGNORED)
    if method or owner.__name__ in NEEDS_THE_IMAGES | MADE_BY_OTHERS:
        ignored.add(IN_EXAMPLE_OF_CLASS)
    is_protocol = getattr(owner, "_is_protocol", False)  # what a function must look like
    if hasattr(owner, "__dataclass_fields__") or hasattr(owner, "_fields") or is_protocol:
        ignored.add(FIELDS_ARE_ATTRIBUTES)
    found = [f"{code}: {text}" for code, text in validate(path)["errors"] if code not in ignored]
    assert found == []


def test_validation_sees_what_is_missing():
    found = {code for code, _ in validate("sklearn_hsfm._choosing.cells.margins")["errors"]}
    assert {"EX01", "PR01", "RT01"} <= found


def test_the_reference_lists_every_public_object():
    listed = {word.removeprefix("sklearn_hsfm.") for word in API.read_text().split()}
    missing = [
        f"{module}.{name}"
        for module in public_modules()
        for name in importlib.import_module(module).__all__
        if not name.startswith("__")
        and f"{module}.{name}".removeprefix("sklearn_hsfm.") not in listed
    ]
    assert missing == []
