"""The core against automatic differentiation, finite differences and hand counts."""

import pickle
from functools import partial
from io import BytesIO

import numpy as np
import pytest
import torch
from fake_gpu import fake_gpu_or_skip
from oracle import autograd_hsfm
from sklearn.preprocessing import StandardScaler
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn.functional import one_hot
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sklearn_hsfm._core import hard_set as hard_set_module
from sklearn_hsfm._core import link as link_module
from sklearn_hsfm._core import metagradient as metagradient_module
from sklearn_hsfm._core import rows as rows_module
from sklearn_hsfm._core import solve as solve_module
from sklearn_hsfm._core.hard_set import HardSetMiner
from sklearn_hsfm._core.link import link_of
from sklearn_hsfm._core.metagradient import (
    GramMetagradient,
    PrimalMetagradient,
    choose_metagradient,
)
from sklearn_hsfm._core.problem import Problem
from sklearn_hsfm._core.recursion import Recursion
from sklearn_hsfm._core.rows import ResidentRows, StreamedRows, augment, head_logits, rows_of
from sklearn_hsfm._core.solve import Run, every_head, flush_denormals, solve

FORMS = [GramMetagradient, PrimalMetagradient]


def random_problem(C, per_class=6, d=20, N=60, B=1, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    H = torch.randn(B, per_class * C, d, generator=g, dtype=dtype)
    W = 0.3 * torch.randn(B, C, d, generator=g, dtype=dtype)
    b = torch.randn(B, C, generator=g, dtype=dtype)
    X_val = torch.randn(N, d, generator=g, dtype=dtype)
    y_val = torch.arange(N) % C
    return H, torch.arange(C).repeat_interleave(per_class), W, b, X_val, y_val


def head(W):
    """Two classes have one row, the difference."""
    return W[:, 1:] - W[:, :1] if W.shape[1] == 2 else W


def as_problem(H, y, W, b, X_val, y_val, mined=None):
    if mined is None:
        mined = torch.ones(len(H), len(y_val), dtype=torch.bool)
    return Problem(augment(H), y, head(augment(W, b)), ResidentRows(augment(X_val)), y_val, mined)


def never(epoch, logits):
    return [0.0] * len(logits)


class MetaGradient(torch.autograd.Function):
    """The closed form as a function that gradcheck can differentiate."""

    @staticmethod
    def forward(ctx, H, form, args, options):
        Y, *args = args
        alpha = torch.full((len(H), 1, 1), 0.7)
        loss, gradient = form(augment(H), Y, alpha=alpha, **options)(*args)
        ctx.save_for_backward(gradient[..., : H.shape[-1]])
        return loss.sum()

    @staticmethod
    def backward(ctx, upstream):
        return upstream * ctx.saved_tensors[0], None, None, None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("C", [2, 5])
@pytest.mark.parametrize("steps", [[1], [4], [2, 4]], ids=str)
def test_metagradient_passes_gradcheck(form, C, steps):
    B, T, link = len(steps), max(steps), link_of(C)
    H, y, W, b, X_val, y_val = random_problem(C, per_class=2, d=4, N=7, B=B)
    Y, Yq = link.targets(y).double(), link.targets(y_val).double().expand(B, -1, -1)
    weight = torch.rand(B, 7, 1, dtype=torch.float64)
    args = Y, head(augment(W, b)), augment(X_val).expand(B, -1, -1), Yq, weight
    live = (torch.arange(T)[:, None] < torch.tensor(steps))[..., None, None].double()
    options = {"T": T, "link": link, "live": live if B > 1 else None}
    assert torch.autograd.gradcheck(MetaGradient.apply, (H.requires_grad_(), form, args, options))


def test_the_form_is_chosen_by_size():
    assert choose_metagradient(n=32, R=1, D=2048, T=15) is GramMetagradient
    assert choose_metagradient(n=2048, R=1, D=2048, T=10) is PrimalMetagradient


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("C", [2, 5])
@pytest.mark.parametrize("clip_norm", [10.0, 1e-4, None])
def test_solve_equals_autograd_epoch_by_epoch(form, C, clip_norm, monkeypatch):
    monkeypatch.setattr(solve_module, "choose_metagradient", lambda *sizes: form)
    H, y, W, b, X_val, y_val = random_problem(C)
    rates = {"inner_lr": 0.05, "outer_lr": 0.1}
    settings = {"KH": 4, "clip_norm": clip_norm}
    sizes = {"T": 5, "Khard": 7}
    reference = autograd_hsfm(
        H[0], y, W[0], b[0], X_val, y_val, epochs=6, **settings, **sizes, **rates
    )
    listed = {name: [value] for name, value in {**sizes, **rates}.items()}
    for epoch, (W_ref, b_ref, H_ref) in enumerate(reference, start=1):
        found = solve(
            as_problem(H, y, W, b, X_val, y_val), **settings, **listed, epochs=epoch, score=never
        )
        assert found.best_epoch == [epoch]  # of equal scores the last wins
        expected = head(torch.column_stack([W_ref, b_ref])[None])
        torch.testing.assert_close(found.W[:, :, [*range(20), -1]], expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(found.H[0, :, :20], H_ref, rtol=0, atol=1e-9)


SAME = {"inner_lr": [0.05] * 3, "outer_lr": [0.1] * 3, "T": [4] * 3, "Khard": [15] * 3}
MIXED = {
    "inner_lr": [0.05, 0.01, 0.2], "outer_lr": [0.1, 1.0, 0.01],
    "T": [4, 1, 6], "Khard": [15, 30, 3],
}  # fmt: skip


APART = {**SAME, "inner_lr": [0.05, 0.2, 0.05]}  # equal rates that are no neighbours
MIXED_TWO = {name: values[:2] for name, values in MIXED.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("C", [2, 3])
@pytest.mark.parametrize("settings", [SAME, {**SAME, "T": MIXED["T"]}, APART, MIXED])
def test_a_batch_equals_its_problems_one_by_one(form, C, settings, monkeypatch):
    monkeypatch.setattr(solve_module, "choose_metagradient", lambda *sizes: form)
    H, y, W, b, X_val, y_val = random_problem(C, B=3)
    mined = torch.rand(3, 60, generator=torch.Generator().manual_seed(1)) < 0.6
    common = {"KH": 3, "clip_norm": 10.0, "epochs": 5, "score": never}
    together = solve(as_problem(H, y, W, b, X_val, y_val, mined), **common, **settings)
    for i in range(3):
        one = slice(i, i + 1)
        alone = solve(
            as_problem(H[one], y, W[one], b[one], X_val, y_val, mined[one]),
            **common, **{name: values[one] for name, values in settings.items()},
        )  # fmt: skip
        torch.testing.assert_close(together.W[one], alone.W, rtol=0, atol=1e-9)
        torch.testing.assert_close(together.H[one], alone.H, rtol=0, atol=1e-9)
        # The batch pads the rows of a problem that has fewer; the same rows count.
        hard = together.hard[:, i].sort().values
        assert set(alone.hard[0, 0].tolist()) <= set(hard[0].tolist())


def test_best_epoch_wins_and_the_last_of_equals():
    args = random_problem(2)
    scores = iter([9.0, 1.0, 3.0, 3.0, 2.0])  # the initial head is no candidate
    found = solve(
        as_problem(*args), T=[2], KH=1, Khard=[5], epochs=4, inner_lr=[0.1], outer_lr=[0.1],
        clip_norm=None, score=lambda epoch, logits: [next(scores)],
    )  # fmt: skip
    assert found.best_epoch == [3]
    shorter = solve(
        as_problem(*args), T=[2], KH=1, Khard=[5], epochs=3, inner_lr=[0.1], outer_lr=[0.1],
        clip_norm=None, score=never,
    )  # fmt: skip
    torch.testing.assert_close(found.W, shorter.W, rtol=0, atol=0)
    torch.testing.assert_close(found.H, shorter.H, rtol=0, atol=0)


def test_every_head_is_that_of_its_epoch():
    problem = as_problem(*random_problem(2, B=2))
    settings = {
        "T": [2] * 2,
        "KH": 2,
        "Khard": [5] * 2,
        "inner_lr": [0.1] * 2,
        "outer_lr": [0.1] * 2,
    }
    heads, support = every_head(problem, every=2, epochs=5, clip_norm=None, **settings)
    assert len(heads) == 3
    last = solve(problem, epochs=5, clip_norm=None, score=never, **settings)
    assert torch.equal(support, last.H)
    assert torch.equal(heads[0], problem.W)
    for i in (1, 2):
        alone = solve(problem, epochs=2 * i, clip_norm=None, score=never, **settings)
        assert torch.equal(heads[i], alone.W)


def test_a_problem_that_overflows_keeps_its_last_finite_head_and_disturbs_no_other():
    args = random_problem(2, B=2, dtype=torch.float32)
    settings = {"T": [2] * 2, "KH": 2, "Khard": [5] * 2, "clip_norm": None}
    calm = {"inner_lr": [0.1] * 2, "outer_lr": [0.1] * 2}
    wild = {"inner_lr": [1e38, 0.1], "outer_lr": [1e38, 0.1]}
    both_calm, one_wild = (
        every_head(as_problem(*args), every=2, epochs=6, **settings, **rates)[0]
        for rates in (calm, wild)
    )
    assert len(one_wild) == 4
    assert torch.isfinite(one_wild).all()
    torch.testing.assert_close(one_wild[:, 1], both_calm[:, 1], rtol=0, atol=1e-5)
    found = solve(as_problem(*args), epochs=6, score=never, **settings, **wild)
    assert found.diverged
    assert found.best_epoch[1] == 6


def test_a_run_that_ends_early_has_diverged():
    args = random_problem(2, dtype=torch.float32)
    settings = {"T": [2], "KH": 2, "Khard": [5], "clip_norm": None, "epochs": 3, "score": never}
    assert not solve(as_problem(*args), inner_lr=[0.1], outer_lr=[0.1], **settings).diverged
    found = solve(as_problem(*args), inner_lr=[1e38], outer_lr=[1e38], **settings)
    assert found.diverged
    assert found.n_epochs < 3


# Numbers read back, sizes that depend on data, and what torch.tensor does.
READ_BACK = {"_local_scalar_dense", "item", "nonzero", "_unique2", "masked_select", "lift_fresh"}


class GraphSafe(TorchDispatchMode):
    """Refuse what a CUDA graph cannot hold: reading a number back, sizes that depend on data."""

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op.overloadpacket.__name__
        assert name not in READ_BACK
        out = op(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, out)):
            if isinstance(tensor, torch.Tensor):
                assert tensor.device == self.device, f"{name} meets a tensor on the host"
        return out


@pytest.mark.parametrize("C", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_an_epoch_can_be_captured_as_a_graph(C, form, monkeypatch):
    monkeypatch.setattr(solve_module, "choose_metagradient", lambda *sizes: form)
    run = Run(as_problem(*random_problem(C, B=2)), **MIXED_TWO, KH=2, clip_norm=10.0)
    names = ("W", "H", "logits", "inner_loss", "outer_loss", "hard")
    places = [getattr(run, name).data_ptr() for name in names]
    before = run.W.clone()
    with torch.no_grad(), GraphSafe(run.W.device):
        run.advance()
    assert not torch.equal(run.W, before)
    assert [getattr(run, name).data_ptr() for name in names] == places


def on_a_fake_gpu(things):
    """Return objects with their tensors on a GPU that has shapes and no numbers."""
    file = BytesIO()
    torch.save(things, file)
    file.seek(0)
    return torch.load(file, map_location="cuda", weights_only=False)


@pytest.mark.parametrize("C", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_an_epoch_on_a_gpu_reads_nothing_back(form, C, monkeypatch):
    problem = as_problem(*random_problem(C, B=2, dtype=torch.float32))
    mine = HardSetMiner(problem.y_val, problem.mined, Khard=MIXED_TWO["Khard"], n_classes=C)
    monkeypatch.setattr(solve_module, "choose_metagradient", lambda *sizes: form)
    monkeypatch.setattr(metagradient_module, "choose_recursion", Recursion)
    # Before the first epoch classes are counted once, and rows that may be mined.
    monkeypatch.setattr(link_module, "one_hot", partial(one_hot, num_classes=C))
    with FakeTensorMode(), torch.inference_mode():
        fake_gpu_or_skip()
        problem, mine = on_a_fake_gpu((problem, mine))
        monkeypatch.setattr(solve_module, "HardSetMiner", lambda *args, **kwargs: mine)
        run = Run(problem, **MIXED_TWO, KH=2, clip_norm=10.0)
        assert run.can_be_captured
        with GraphSafe(run.W.device):
            run.advance()
        with pytest.raises(DataDependentOutputException):
            run.W.sum().item()


def test_solve_leaves_its_problem_alone():
    problem = as_problem(*random_problem(2))
    before = [t.clone() for t in (problem.H, problem.W, problem.rows.X)]
    solve(
        problem, T=[2], KH=2, Khard=[5], epochs=2, inner_lr=[0.1], outer_lr=[0.1],
        clip_norm=10.0, score=never,
    )  # fmt: skip
    for old, new in zip(before, (problem.H, problem.W, problem.rows.X), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("levels", [3, 10**6])
def test_hard_rows_are_the_same_whether_few_or_many_are_sorted(levels, monkeypatch):
    rng = torch.Generator().manual_seed(0)
    y_val = torch.randint(3, (5000,), generator=rng)
    losses = torch.randint(levels, (2, 5000), generator=rng).float()  # few levels: ties
    mined = torch.rand(2, 5000, generator=rng) < 0.7
    few = HardSetMiner(y_val, mined, Khard=[3, 5], n_classes=3)(losses)
    expected = [
        [int(r) for c in range(3) for r in sorted(
            torch.nonzero(mined[b] & (y_val == c))[:, 0].tolist(), key=lambda r: -losses[b, r]
        )[:5]]
        for b in range(2)
    ]  # fmt: skip
    assert few.tolist() == expected
    monkeypatch.setattr(hard_set_module, "_BLOCK", 5000)  # all are sorted
    assert torch.equal(HardSetMiner(y_val, mined, Khard=[3, 5], n_classes=3)(losses), few)


def test_hard_set_takes_the_largest_losses_of_each_class():
    y_val = torch.tensor([0, 1, 0, 1, 0, 1, 1])
    losses = torch.tensor([[5.0, 1.0, 7.0, 4.0, 6.0, 3.0, 2.0]])
    mine = HardSetMiner(y_val, torch.ones(1, 7, dtype=torch.bool), Khard=[2], n_classes=2)
    assert mine(losses).tolist() == [[2, 4, 3, 5]]
    assert mine.weight.tolist() == [[0.25] * 4]


def test_hard_set_finds_the_largest_losses_of_a_class_with_most_rows():
    y_val = torch.tensor([1, 1, 1] + [0] * 200)
    mine = HardSetMiner(y_val, torch.ones(1, 203).bool(), Khard=[2], n_classes=2)
    assert mine(torch.arange(203.0)[None]).tolist() == [[202, 201, 2, 1]]


def test_hard_set_gives_ties_to_the_first_rows():
    mine = HardSetMiner(torch.zeros(9).long(), torch.ones(1, 9).bool(), Khard=[4], n_classes=1)
    assert mine(torch.ones(1, 9)).tolist() == [[0, 1, 2, 3]]


def test_hard_set_of_a_class_smaller_than_khard_is_the_class():
    y_val = torch.tensor([1, 0, 0, 0])
    mine = HardSetMiner(y_val, torch.ones(1, 4).bool(), Khard=[3], n_classes=2)
    assert mine(torch.tensor([[0.1, 0.2, 0.4, 0.3]])).tolist() == [[2, 3, 1, 0]]
    assert mine.weight.sum() == 1


def test_hard_set_never_takes_a_row_that_must_not_be_mined():
    y_val = torch.tensor([0, 0, 0, 1, 1, 1])
    mined = torch.tensor([[True, False, True, True, True, False], [True] * 6])
    mine = HardSetMiner(y_val, mined, Khard=[3, 3], n_classes=2)
    index = mine(torch.arange(12.0).reshape(2, 6))
    assert sorted(index[0][mine.weight[0] > 0].tolist()) == [0, 2, 3, 4]
    assert mine.weight[0].max() == 0.25
    assert sorted(index[1].tolist()) == [0, 1, 2, 3, 4, 5]


def test_augmented_rows_are_aligned_and_end_in_the_last_column():
    X = torch.arange(6.0).reshape(2, 3)
    wide = augment(X)
    assert wide.shape == (2, 16)
    assert torch.equal(wide[:, :3], X)
    assert wide[:, 3:-1].eq(0).all()
    assert wide[:, -1].eq(1).all()
    W, b = torch.ones(2, 3), torch.tensor([10.0, 20.0])
    torch.testing.assert_close(head_logits(augment(W, b), wide), X @ W.T + b)


def test_streamed_rows_are_those_in_memory(monkeypatch):
    monkeypatch.setattr(rows_module, "_CHUNK_BYTES", 7 * 8 * 5)  # chunks of 5 rows
    X = np.random.RandomState(0).normal(size=(23, 7))
    X.setflags(write=False)
    options = {"dtype": "float64", "device": torch.device("cpu")}
    scaler = StandardScaler().fit(X)
    resident = rows_of(X, scaler, **options)
    monkeypatch.setattr(rows_module, "_RESIDENT_BYTES", X.nbytes - 1)
    streamed = rows_of(X, scaler, **options)
    assert (type(resident), type(streamed)) == (ResidentRows, StreamedRows)
    W = torch.randn(3, 2, 16, dtype=torch.float64)
    expected, found = torch.empty(2, 3, 23, 2, dtype=torch.float64)
    resident.logits(W, out=expected)
    streamed.logits(W, out=found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    index = torch.tensor([[3, 22, 3], [0, 7, 1]])
    first, second = torch.empty(2, 2, 3, 16, dtype=torch.float64)
    resident.take(index, out=first)
    streamed.take(index, out=second)
    assert torch.equal(first, second)
    assert torch.equal(first, resident.X[index])


@pytest.mark.parametrize("mode", ["r", "c"])
def test_streamed_rows_of_a_file_are_sent_as_its_name(mode, monkeypatch, tmp_path):
    X = np.random.RandomState(0).normal(size=(500, 7))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode)
    monkeypatch.setattr(rows_module, "_RESIDENT_BYTES", 1)
    index = torch.tensor([[3, 22, 3], [0, 7, 1]])
    for part, by_name in (
        (mapped, mode == "r"),  # the other mode may hold what its file does not
        (mapped[100:], False),  # such a view does not know where it starts
        (mapped[:, :3], False),
        (X, False),
    ):
        rows = rows_of(np.asarray(part), None, dtype="float64", device=torch.device("cpu"))
        sent = pickle.dumps(rows)
        assert (len(sent) < 2000) == by_name
        first, second = torch.empty(2, 2, 3, 16, dtype=torch.float64)
        rows.take(index, out=first)
        pickle.loads(sent).take(index, out=second)
        assert torch.equal(first, second)


def test_denormals_are_flushed_inside_and_kept_after():
    tiny = torch.tensor([1e-310], dtype=torch.float64)
    with flush_denormals():
        pass
    assert tiny.mul(0.5).item() > 0


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    H, y, W, b, X_val, y_val = random_problem(3, per_class=16, d=64, N=500)
    cpu = as_problem(H, y, W, b, X_val, y_val)
    tensors = {k: v.cuda() for k, v in vars(cpu).items() if k != "rows"}
    gpu = Problem(rows=ResidentRows(cpu.rows.X.cuda()), **tensors)
    settings = {"T": [8], "KH": 5, "Khard": [20], "clip_norm": 10.0, "epochs": 5, "score": never}
    found = [solve(p, **settings, inner_lr=[0.05], outer_lr=[0.1]) for p in (cpu, gpu)]
    torch.testing.assert_close(found[1].W.cpu(), found[0].W, rtol=0, atol=1e-9)
    torch.testing.assert_close(found[1].hard.cpu(), found[0].hard)
