"""The kernels of the inner steps: in Triton's interpreter, as compiled, and on a GPU."""

import re
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from fake_gpu import fake_gpu_or_skip
from oracle import autograd_hsfm
from torch._subclasses.fake_tensor import FakeTensorMode

from sklearn_hsfm import _core
from sklearn_hsfm._core import metagradient as metagradient_module
from sklearn_hsfm._core.link import link_of
from sklearn_hsfm._core.problem import Problem
from sklearn_hsfm._core.recursion import Recursion, choose_recursion
from sklearn_hsfm._core.rows import ResidentRows, augment
from sklearn_hsfm._core.solve import solve

EPS = torch.finfo(torch.float32).eps


def kernels():
    """Return the module of the kernels; where its imports are absent or too old, skip."""
    triton = pytest.importorskip("triton", reason="triton is not installed")
    from sklearn_hsfm._core import recursion_triton

    if not recursion_triton.compiler_is_known():
        pytest.skip(
            f"the kernels are for triton {recursion_triton.OLDEST}, not {triton.__version__}"
        )
    return recursion_triton


def test_older_compilers_are_not_asked(monkeypatch):
    recursion_triton = kernels()
    monkeypatch.setattr(recursion_triton.triton, "__version__", "3.7.2")
    H, Y = torch.zeros(1, 16, 8), torch.zeros(16, 1)
    assert not recursion_triton.can_run(H, Y)


@pytest.fixture(scope="module")
def interpreter():
    """Return a way to call a function in a process whose kernels run in Triton's interpreter."""
    kernels()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            pool.submit(int).result()  # the process starts, and keeps the variable
        yield lambda function, *args: pool.submit(function, *args).result()


def inputs(n, C, steps, *, device="cpu"):
    """Return H, Y, K, Z, V and settings, in float32, of a problem for each number of steps."""
    g, link = torch.Generator().manual_seed(n), link_of(C)
    Y = link.targets(torch.arange(n) % C).float()
    B, T = len(steps), max(steps)
    H, Z, V = (torch.randn(B, n, d, generator=g) for d in (24, Y.shape[1], Y.shape[1]))
    live = (torch.arange(T)[:, None] < torch.tensor(steps))[..., None, None].float()
    live = live.to(device) if min(steps) < T else None
    tensors = (t.to(device) for t in (H, Y, H @ H.mT / -n, Z, V))
    return *tensors, {"T": T, "link": link, "live": live}


def run(form, H, Y, K, Z, V, settings):
    """Return what a form of the recursions returns: R and S."""
    recursion = form(H, Y, **settings)
    return [out.clone() for out in (recursion.errors(K, Z.clone()), recursion.adjoints(K, V))]


def in_double(H, Y, K, Z, V, settings):
    live = settings["live"]
    live = live if live is None else live.double()
    return *(t.double() for t in (H, Y, K, Z, V)), {**settings, "live": live}


def run_kernels(*args):
    return run(kernels().KernelRecursion, *args)


SHAPES = [(7, 2, [1]), (33, 2, [9, 9]), (20, 2, [5, 1, 3]), (12, 3, [4, 2]), (25, 5, [1, 6])]


@pytest.mark.parametrize(("n", "C", "steps"), SHAPES, ids=str)
def test_kernels_equal_torch(n, C, steps, interpreter):
    args = inputs(n, C, steps)
    expected = run(Recursion, *in_double(*args))
    for found, exact in zip(interpreter(run_kernels, *in_double(*args)), expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)
    for found, exact in zip(interpreter(run_kernels, *args), expected, strict=True):
        assert found.dtype == torch.float32
        atol = 4 * EPS * exact.abs().max().item()
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=atol)


RATES = {"inner_lr": 0.05, "outer_lr": 0.1}


def supports(C, B, dtype):
    """Return B small problems, as the oracle takes them: H, y, W, b, X_val, y_val."""
    g = torch.Generator().manual_seed(C)
    H, W, b = (torch.randn(B, *s, generator=g, dtype=dtype) for s in ((5 * C, 6), (C, 6), (C,)))
    X_val = torch.randn(40, 6, generator=g, dtype=dtype)
    return H, torch.arange(C).repeat_interleave(5), W, b, X_val, torch.arange(40) % C


def fit(arrays, steps, epochs, device="cpu"):
    H, y, W, b, X_val, y_val = (a.to(device) for a in arrays)
    W = augment(W, b)
    head = W[:, 1:] - W[:, :1] if W.shape[1] == 2 else W
    mined = torch.ones(len(H), len(y_val), dtype=torch.bool, device=device)
    problem = Problem(augment(H), y, head, ResidentRows(augment(X_val)), y_val, mined)
    rates = {name: [rate] * len(H) for name, rate in RATES.items()}
    return solve(
        problem, T=steps, KH=2, Khard=[4] * len(H), **rates, clip_norm=10.0, epochs=epochs,
        score=lambda epoch, logits: [0.0] * len(logits),
    )  # fmt: skip


def fit_with_kernels(*args):
    metagradient_module.choose_recursion = kernels().KernelRecursion
    return fit(*args)


@pytest.mark.parametrize("C", [2, 3, 5])
def test_a_fit_with_kernels_equals_autograd(C, interpreter):
    H, y, W, b, X_val, y_val = arrays = supports(C, 2, torch.float64)
    steps = [3, 1]
    found = interpreter(fit_with_kernels, arrays, steps, 2)
    for i, T in enumerate(steps):
        settings = {"T": T, "KH": 2, "Khard": 4, "epochs": 2, **RATES}
        *_, (_, _, H_ref) = autograd_hsfm(H[i], y, W[i], b[i], X_val, y_val, **settings)
        torch.testing.assert_close(found.H[i, :, :6], H_ref, rtol=0, atol=1e-9)


@pytest.fixture
def fake_gpu(monkeypatch):
    """Let tensors be on a GPU without one: they have shapes and no numbers."""
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    with FakeTensorMode():
        fake_gpu_or_skip()
        yield "cuda"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.usefixtures("fake_gpu")
def test_without_triton_torch_runs(device, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "sklearn_hsfm._core.recursion_triton", raising=False)
    monkeypatch.delattr(_core, "recursion_triton", raising=False)
    H, Y, *_, settings = inputs(7, 2, [1], device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(choose_recursion(H, Y, **settings)) is Recursion


def test_a_compiler_that_fails_is_said(fake_gpu, monkeypatch):
    def fail(*args):
        raise OSError("no C compiler")

    monkeypatch.setattr(kernels(), "can_run", fail)
    H, Y, *_, settings = inputs(7, 2, [1], device=fake_gpu)
    with pytest.warns(UserWarning, match="OSError: no C compiler"):
        assert type(choose_recursion(H, Y, **settings)) is Recursion


TOOLS = ("ptxas", "cuobjdump")
LARGEST = [(128, 1), (128, 8), (64, 16), (32, 32)]


def test_no_size_that_fits_is_larger_than_those_compiled():
    sizes = [(n, C) for n in range(1, 300) for C in range(1, n + 1)]
    fit = {size for size in sizes if kernels().fit_registers(*size)}
    assert set(LARGEST) <= fit
    assert all(any(n <= N and most >= C for N, most in LARGEST) for n, C in fit)


@pytest.mark.parametrize("name", ["errors_kernel", "adjoints_kernel"])
@pytest.mark.parametrize(("n", "C"), LARGEST)
@pytest.mark.parametrize("capability", [80, 90])
def test_compiled_kernels_spill_nothing(name, n, C, capability, tmp_path):
    recursion_triton = kernels()
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    if missing := [tool for tool in TOOLS if not (tools / tool).is_file()]:
        pytest.skip(f"triton comes without {missing} here")
    kernel = getattr(recursion_triton, name)
    sizes = recursion_triton.launch_sizes(n, C)
    options = {"num_warps": sizes.pop("num_warps"), "enable_fp_fusion": True}
    constants = {**sizes, "LOGISTIC": C == 1}
    types = {
        **dict.fromkeys(constants, "constexpr"),
        **dict.fromkeys(recursion_triton.SIZES, "i32"),
    }
    signature = {arg: types.get(arg, "*fp32") for arg in kernel.arg_names}
    source = ASTSource(kernel, signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert compiled.metadata.shared < 48 * 1024  # what every card has
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    usage = subprocess.check_output([tools / "cuobjdump", "-res-usage", binary], text=True)
    assert re.findall(r"(STACK|LOCAL):(\d+)", usage) == [("STACK", "0"), ("LOCAL", "0")]


@pytest.mark.gpu
@pytest.mark.parametrize(("n", "C", "steps"), [*SHAPES, (128, 2, [15]), (120, 8, [3])], ids=str)
def test_kernels_equal_torch_on_a_gpu(n, C, steps):
    kernels()
    H, Y, *_, settings = args = inputs(n, C, steps, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(choose_recursion(H, Y, **settings)) is kernels().KernelRecursion
    expected = run(Recursion, *in_double(*args))
    for found, exact in zip(run_kernels(*args), expected, strict=True):
        atol = 16 * EPS * exact.abs().max().item()
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=atol)


@pytest.mark.gpu
def test_kernels_run_in_a_graph():
    H, Y, K, Z, V, settings = inputs(20, 3, [5, 2], device="cuda")
    recursion = kernels().KernelRecursion(H, Y, **settings)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recursion.errors(K, Z)
        recursion.adjoints(K, V)
    Z.mul_(2)
    graph.replay()
    for found, expected in zip(
        (recursion.R, recursion.S), run(Recursion, H, Y, K, Z, V, settings), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("C", [2, 3])
def test_a_captured_fit_with_kernels_equals_one_on_a_cpu(C, monkeypatch):
    taken = []

    def choose(*args, **settings):
        taken.append(choose_recursion(*args, **settings))
        return taken[-1]

    arrays = supports(C, 2, torch.float32)
    expected = fit(arrays, [3, 1], 2)
    monkeypatch.setattr(metagradient_module, "choose_recursion", choose)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit(arrays, [3, 1], 2, "cuda")
    assert [type(recursion) for recursion in taken] == [kernels().KernelRecursion]
    torch.testing.assert_close(found.W.cpu(), expected.W, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.H.cpu(), expected.H, rtol=0, atol=1e-3)
