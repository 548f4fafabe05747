"""What makes an object the one that it is: its state and its code, alike in every process."""

import copyreg
import dis
import enum
import hashlib
import importlib.util
import os
import sys
import sysconfig
import threading
import types
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

_LEAVES = (type(None), bool, int, float, complex, type(...), type(NotImplemented), range, slice)
_READS = ("LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
_HEAP_TYPE = 1 << 9  # of classes, all but those that C defines for good
_LOCKS = (type(threading.Lock()), type(threading.RLock()))  # they hold no value
# What a class has beside its code and its values.
_INCIDENTAL = {
    *("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__annotate__"),
    *("__annotate_func__", "__annotations_cache__", "__abstractmethods__", "_abc_impl"),
    *("__firstlineno__", "__static_attributes__", "__qualname__"),
}
_INSTALLED = tuple(
    os.path.join(os.path.realpath(sysconfig.get_path(name)), "")
    for name in ("stdlib", "purelib", "platlib")
)


class Identity(NamedTuple):
    """A digest of an object, and what of it no digest can hold."""

    digest: str
    gaps: tuple  # of str: what was left out, and why


def identify(*parts):
    """Return the `Identity` of objects: equal only if they do the same to the same input.

    What pickle would save of an object is its state; functions and classes of the user's own are
    their code, with defaults, closures and the globals that the code reads, in turn; those of
    installed packages are their names. ``gaps`` lists what has no such state, as an open file:
    objects with gaps must not be taken for one another, whatever their digests.
    """
    walk = _Walk()
    return Identity(walk(parts).hex(), tuple(walk.gaps))


class _Walk:
    """One traversal: an object that is met again is known, one that holds itself ends there."""

    def __init__(self):
        self.known, self.inside, self.gaps = {}, [], []
        self.kept = []  # alive, for the addresses above are those of living objects

    def __call__(self, part):
        if type(part) in _LEAVES:
            return _hash(type(part).__name__, repr(part))
        address = id(part)
        if address in self.known:
            return self.known[address]
        if address in self.inside:
            return _hash("again", str(len(self.inside) - self.inside.index(address)))
        self.inside.append(address)
        try:
            digest = self.of(part)
        except Exception as error:  # whatever pickling an object of somebody else's may raise
            self.gaps.append(f"{type(part).__qualname__} ({str(error).splitlines()[0][:100]})")
            digest = _hash("gap", type(part).__qualname__)
        finally:
            self.inside.pop()
        self.known[address] = digest
        self.kept.append(part)
        return digest

    def of(self, part):
        kind = type(part)
        if kind is str:
            return _hash("str", part)
        if kind in (bytes, bytearray):
            return _hash("bytes", bytes(part))
        if kind in (list, tuple):
            return _hash(kind.__name__, *map(self, part))
        if kind in (set, frozenset):
            return _hash("set", *sorted(map(self, part)))
        if kind in (dict, types.MappingProxyType):
            return _hash("dict", *(self(x) for item in part.items() for x in item))
        if isinstance(part, np.ndarray):
            data = list(part.ravel()) if part.dtype.hasobject else part.tobytes()
            return _hash("array", self(str(part.dtype)), self(part.shape), self(data))
        if isinstance(part, torch.Tensor):
            return _hash("tensor", *tensor_bytes(part))
        if isinstance(part, nn.Module):
            return self.module(part)
        if isinstance(part, types.FunctionType):
            return self.function(part)
        if isinstance(part, types.CodeType):
            return self.code(part)
        if isinstance(part, types.CellType):
            return self.cell(part)
        if isinstance(part, type):
            return self.klass(part)
        if isinstance(part, types.ModuleType):
            return _hash("module", part.__name__)
        return self.object(part)

    def object(self, part):
        if isinstance(part, types.MethodType | types.BuiltinMethodType | types.MethodWrapperType):
            owner, function = part.__self__, getattr(part, "__func__", None)
            if isinstance(owner, types.ModuleType) and not _installed(owner.__name__):
                raise TypeError("compiled code, which shows nothing of itself")
            return _hash("method", part.__name__, self(owner), self(function))
        if isinstance(part, staticmethod | classmethod):
            return _hash(type(part).__name__, self(part.__func__))
        if isinstance(part, property):
            return _hash("property", *map(self, (part.fget, part.fset, part.fdel)))
        if isinstance(part, enum.Enum):
            return _hash("enum", self(type(part)), part.name)
        if isinstance(part, _LOCKS):
            return _hash("lock")
        if hasattr(part, "__wrapped__") and callable(part):  # as of functools.cache
            return _hash("wrapped", self(type(part)), self(part.__wrapped__))
        reduce = copyreg.dispatch_table.get(type(part))
        state = part.__reduce_ex__(4) if reduce is None else reduce(part)
        if isinstance(state, str):  # found by name
            if not _installed(getattr(part, "__module__", None) or "builtins"):
                raise TypeError("compiled code, which shows nothing of itself")
            return _hash("name", str(getattr(part, "__module__", "")), state)
        made, args, *rest = state
        rest = [list(x) if i > 0 and x is not None else x for i, x in enumerate(rest[:3])]
        made = None if made is copyreg.__newobj__ else made
        return _hash("object", *map(self, (type(part), made, args, *rest)))

    def module(self, part):
        """Return the digest of a network: code, parameters, buffers, attributes and hooks."""
        if hasattr(part, "_orig_mod"):  # compiled: the same network, faster
            return self(part._orig_mod)
        try:
            state = dict(part.__reduce_ex__(4)[2])
        except RuntimeError:  # as parametrized ones, which torch does not pickle
            state = dict(vars(part))
        hooks = [list(state.get(f"_forward_{k}", {}).values()) for k in ("hooks", "pre_hooks")]
        for name in list(state):  # numbers of handles, which differ, and what changes no forward
            if name == "training" or (name.startswith("_") and "hook" in name):
                del state[name]
        state.pop("_non_persistent_buffers_set", None)
        return _hash("network", self(type(part)), self(state), self(hooks))

    def function(self, part):
        if _found_in_a_package(part):
            return _hash("name", part.__module__, part.__qualname__)
        values = part.__defaults__, part.__kwdefaults__, part.__dict__, part.__closure__
        reads = {} if _installed(part.__globals__.get("__name__", "")) else self.reads(part)
        return _hash("function", self(part.__code__), *map(self, values), self(reads))

    def reads(self, function):
        """Return the globals that a function reads, and of modules of the user's what it names."""
        found, around = {}, function.__globals__
        for code in _with_inner(function.__code__):
            steps = list(dis.get_instructions(code))
            for i, step in enumerate(steps):
                if step.opname == "IMPORT_NAME":  # after the level of a relative import
                    name = "." * steps[i - 2].argval + step.argval
                    found[name] = _imported(name, around.get("__package__"))
                elif step.opname in _READS and step.argval in around:
                    found[step.argval] = around[step.argval]
            for name, module in list(found.items()):
                if isinstance(module, types.ModuleType) and not _installed(module.__name__):
                    named = [n for n in code.co_names if hasattr(module, n)]
                    found |= {f"{name}.{n}": getattr(module, n) for n in named}
        return found

    def code(self, part):
        text = part.co_code, part.co_names, part.co_varnames, part.co_freevars, part.co_consts
        return _hash("code", *map(self, text))

    def cell(self, part):
        try:
            return _hash("cell", self(part.cell_contents))
        except ValueError:
            return _hash("cell")

    def klass(self, part):
        of_c = not part.__flags__ & _HEAP_TYPE
        if _found_in_a_package(part) or (of_c and _installed(part.__module__)):
            return _hash("name", part.__module__, part.__qualname__)
        if of_c:
            raise TypeError("compiled code, which shows nothing of itself")
        slots = types.MemberDescriptorType, types.GetSetDescriptorType
        body = {
            name: value
            for name, value in vars(part).items()
            if name not in _INCIDENTAL and not isinstance(value, slots)
        }
        return _hash("class", part.__name__, self(part.__bases__), self(body))


def tensor_bytes(tensor):
    """Return what a tensor is made of, to be hashed: type, shape, numbers."""
    flat = tensor.detach().cpu().resolve_conj().contiguous().reshape(-1)
    return str(tensor.dtype), str(tuple(tensor.shape)), flat.view(torch.uint8).numpy().tobytes()


def _hash(*pieces):
    """Return the digest of pieces, each with its length, so that none runs into the next."""
    digest = hashlib.sha256()
    for piece in pieces:
        piece = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.digest()


def _with_inner(code):
    """Return a code object and those of the functions that are defined in it."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [code, *(deeper for c in inner for deeper in _with_inner(c))]


def _found_in_a_package(part):
    """Return whether a function or class is what an installed package has under its name."""
    if not _installed(part.__module__ or ""):
        return False
    found = sys.modules.get(part.__module__)
    for name in part.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is part


def _imported(name, package):
    """Return a module that code imports as it runs; of packages, and absent ones, the name."""
    name = importlib.util.resolve_name(name, package)
    if _installed(name):
        return name
    spec = importlib.util.find_spec(name.partition(".")[0])
    if spec is None or _in_a_package_folder(spec.origin or ""):
        return name
    return importlib.import_module(name)


def _installed(module):
    """Return whether a module belongs to Python or an installed package, not to the user."""
    top = module.partition(".")[0]
    if top in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    if top in ("", "__main__"):
        return False
    if file is None:  # a namespace package, or compiled into Python
        return top in sys.stdlib_module_names
    return _in_a_package_folder(file)


def _in_a_package_folder(file):
    path = os.path.realpath(file)
    of_packages = {"site-packages", "dist-packages"} & set(path.split(os.sep))  # also of a user
    return bool(of_packages) or path.startswith(_INSTALLED)
