"""What makes an object the one that it is."""

import cmath
import copy
import functools
import math
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models, transforms

from sklearn_hsfm.extraction._identity import identify

SCALE = 1.0


def reads_a_global(x):
    return x * SCALE


def calls(x):
    return [reads_a_global(value) for value in x]  # the global is two functions away


def digest(*parts):
    found = identify(*parts)
    assert not found.gaps
    return found.digest


def closure(k):
    return lambda x: x * k


def default(k):
    def scaled(x, *, k=k):
        return x * k

    return scaled


class State:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return x * self.k


class Slots:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


def attribute(k):
    def scaled(x):
        return x * scaled.k

    scaled.k = k
    return scaled


def made_class(k):
    class Made:
        def __call__(self, x):
            return x * k

    return Made()


def network(k):
    made = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        made[0].weight.fill_(k)
        made[0].bias.fill_(0)
    return made


def hooked(k):
    made = network(1)
    made[0].register_forward_hook(lambda module, args, output: output * k)
    return made


def with_attribute(k):
    made = network(1)
    made.k = k
    return made


@pytest.mark.parametrize(
    "make",
    [
        closure,
        default,
        State,
        Slots,
        attribute,
        made_class,
        network,
        hooked,
        with_attribute,
        lambda k: functools.partial(State(k)),
        lambda k: functools.partial(max, k),
        lambda k: State(k).__call__,
        lambda k: functools.cache(closure(k)),
        lambda k: transforms.Compose([transforms.Lambda(closure(k))]),
        lambda k: transforms.Normalize((0.5,) * 3, (k,) * 3),
        lambda k: np.full(3, k),
        lambda k: np.array([k, None], dtype=object),
        lambda k: torch.full((3,), float(k)),
        lambda k: torch.full((3,), float(k), dtype=torch.bfloat16),
        lambda k: {"a": [k, {k}]},
        lambda k: re.compile("a" * k),
        lambda k: np.random.RandomState(k),
        lambda k: types.SimpleNamespace(k=k),
        lambda k: torch.float32 if k == 1 else torch.float64,
        lambda k: b"a" * k,
    ],
)
def test_what_does_something_else_is_something_else(make):
    assert digest(make(1)) == digest(make(1))
    assert digest(make(1)) != digest(make(2))


def test_globals_count_where_code_reads_them(monkeypatch):
    before = [digest(part) for part in (reads_a_global, calls, closure(1))]
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    after = [digest(part) for part in (reads_a_global, calls, closure(1))]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]


def test_modules_of_the_users_count_by_what_is_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_settings.py").write_text("GAIN, OTHER = 1, 1\n")
    namespace = {}
    code = """
        import own_settings
        def outside(x): return x * own_settings.GAIN
        def inside(x):
            from own_settings import GAIN
            return x * GAIN
    """
    exec(textwrap.dedent(code), namespace)
    parts = [namespace["outside"], namespace["inside"]]
    before = [digest(part) for part in parts]
    namespace["own_settings"].OTHER = 2
    assert [digest(part) for part in parts] == before
    namespace["own_settings"].GAIN = 2
    assert all(digest(part) != old for part, old in zip(parts, before, strict=True))


def test_packages_that_are_imported_as_code_runs_are_names():
    def lazily(x):
        import sqlite3.dump

        import no_such_module

        return sqlite3.dump, no_such_module

    sys.modules.pop("sqlite3.dump", None)
    assert len(digest(lazily)) == 64
    assert "sqlite3.dump" not in sys.modules


def test_code_of_another_body_is_other_code():
    assert digest(lambda x: x + 1) != digest(lambda x: x + 2)
    assert digest(lambda x: x + 1) == digest(lambda x: x + 1)
    assert digest(State) != digest(Slots)


def test_functions_of_one_name_are_two():
    assert digest(math.sin) != digest(cmath.sin)
    assert digest([].append) != digest([1].append)
    assert digest(str.join) != digest(bytes.join)


def test_copies_and_pickles_are_the_same():
    for part in (models.resnet18(), transforms.ToTensor(), State({"a": np.arange(3)})):
        assert digest(copy.deepcopy(part)) == digest(part)
        assert digest(pickle.loads(pickle.dumps(part))) == digest(part)
    trained = models.resnet18()
    assert digest(copy.deepcopy(trained).eval().requires_grad_(False)) == digest(trained.train())


def test_it_is_the_same_in_another_process():
    """Sets and addresses differ from one to the next."""
    code = """
        import sys
        from tests.test_identity import State, closure, digest, hooked, transforms
        words = {"some", "words", "in", "a", "set"}
        part = State([words, frozenset(words), lambda x: x in {"other", "words"}, closure(words)])
        transform = transforms.Compose([transforms.Lambda(lambda x: words)])
        print(digest(part, hooked(1), transform))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    root = Path(__file__).parents[1]
    run = functools.partial(subprocess.run, command, cwd=root, capture_output=True, text=True)
    first, second = (run(check=True).stdout for _ in range(2))
    assert first == second
    assert len(first) == 65


def test_what_has_no_state_is_a_gap():
    with open(__file__) as file:
        found = identify(State(file))
    assert len(found.gaps) == 1
    assert "TextIOWrapper" in found.gaps[0]
    assert identify(x for x in range(3)).gaps
    assert not identify(State(threading.Lock())).gaps  # which holds no value


def test_compiled_code_of_the_users_is_a_gap(monkeypatch):
    monkeypatch.setattr("sklearn_hsfm.extraction._identity._installed", lambda module: False)
    for compiled in (len, np.sin, np.ndarray):
        assert "compiled code" in identify(compiled).gaps[0]


def test_state_that_a_class_leaves_out_is_left_out():
    class Counting(State):
        def __getstate__(self):
            return {"k": self.k}

    one, other = Counting(1), Counting(1)
    other.n_calls = 5
    assert digest(one) == digest(other)


def test_what_holds_itself_ends():
    one, other = State(1), State(1)
    one.k, other.k = [one], [other]
    assert digest(one) == digest(other)
    assert digest(one) != digest(State([State(1)]))
