"""Time fits against the plain autograd loop, DFR and plain training, side by side.

``python -m benchmarks.speed`` from the root of the repository prints tables and writes them, with
every number, to ``benchmarks/results/speed.md`` and ``speed.json``; with matplotlib also
``speed.png``. Features are random, settings and sizes those of the published tables. Parts:

fits
    one fit at the sizes of a data set
searches
    1, 8 and 64 fits: other rates, supports and folds
estimators
    whole fits at their defaults against n_train, n_val, d and C, each varied alone, beside DFR,
    class-balanced retraining and logistic regression
growth
    an epoch against n, d, C, T and validation samples, each varied alone
memory
    the most memory of its own that a fit takes with ``--rows`` validation samples in a memory map
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import estimator_growth
from benchmarks.runs import machine
from benchmarks.tables import spread
from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, paper_settings
from sklearn_hsfm._core.metagradient import GramMetagradient, choose_metagradient
from sklearn_hsfm.heads import DFRClassifier
from tests.oracle import autograd_hsfm

RESULTS = Path(__file__).parent / "results"

# Rows for training and validation (Tables 5, 6, 8, 9 of the paper), of a ResNet-50's 2048
# features; and the epochs that are timed, fewer where the autograd loop takes half a minute.
SIZES = {
    "waterbirds": (4795, 1199, 2, 40),
    "dominoes": (7980, 1998, 2, 40),
    "metashift": (1123, 81, 2, 10),
    "celeba": (8192, 19867, 2, 5),
    "cub": (6400, 3200, 200, 1),
}
# The paper prints no settings for CUB: 16 rows a class, and few steps, so that the loop ends.
CUB = {
    **{"support_per_class": 16, "T": 5, "inner_lr": 1e-4, "outer_lr": 0.1, "KH": 2, "Khard": 8},
    **{"epochs": 1, "clip_norm": 10.0, "selection_fraction": None, "place_threshold": False},
}
N_FEATURES = 2048
BASE = {"n": 64, "d": 2048, "C": 2, "T": 10, "rows": 1000}
GROWTH = {
    "n": (16, 32, 64, 128, 256, 512, 1024, 2048),
    "d": (128, 256, 512, 1024, 2048, 4096),
    "C": (2, 4, 8, 16, 32, 64),
    "T": (1, 2, 5, 10, 20, 40),
    "rows": (500, 2000, 8000, 32000),
}


def features(n_train, n_val, n_classes, d=N_FEATURES, seed=0):
    """Return random features like those behind a ReLU, with a weak signal, and their labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, d)) * 0.3
    rows = []
    for n in (n_train, n_val):
        y = np.arange(n) % n_classes
        X = np.maximum(rng.normal(size=(n, d)) + centres[y], 0).astype(np.float32)
        rows += [X, y]
    return rows


def settings_of(dataset):
    """Return the published settings, at the number of epochs that is timed."""
    if dataset == "cub":
        return CUB
    return {**paper_settings(dataset), "epochs": SIZES[dataset][3]}


def hsfm(rows, settings, device, **params):
    """Return a call that fits HSFMClassifier as published, and the estimator."""
    C, d = rows[1].max() + 1, rows[0].shape[1]
    head = 0.02 * np.random.default_rng(1).normal(size=(C, d)).astype(np.float32), np.zeros(C)
    clf = HSFMClassifier(
        **{**settings, **params}, standardize=False, init_head=head, random_state=0, device=device
    )
    return (lambda: clf.fit(*rows)), clf


def autograd(rows, clf, settings, device):
    """Return a call that runs the plain loop on the support that ``clf`` was fitted on."""
    X, y, X_val, y_val = rows
    kept = clf.support_indices_
    arrays = [X[kept], y[kept], *clf.init_head, X_val, y_val]
    tensors = [torch.tensor(a, device=device) for a in arrays]
    tensors = [t.float() if t.is_floating_point() else t for t in tensors]
    names = ("T", "KH", "Khard", "epochs", "inner_lr", "outer_lr", "clip_norm")
    return lambda: autograd_hsfm(*tensors, **{k: settings[k] for k in names})


def seconds_of(call):
    """Return how long a call takes, device included."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(calls, repeats):
    """Return the seconds of each call, (calls, repeats), one after the other."""
    return np.array([[seconds_of(call) for call in calls] for _ in range(repeats)]).T


def fits(args):
    """Time one fit at the sizes of the published sets."""
    records = []
    for dataset in args.sets:
        n_train, n_val, C, _ = SIZES[dataset]
        rows, settings = features(n_train, n_val, C), settings_of(dataset)
        fit, clf = hsfm(rows, settings, args.device)
        fit()  # warm-up, and the support for the loop
        calls = {"autograd loop": autograd(rows, clf, settings, args.device), "HSFM": fit}
        if C == 2 and n_val < 5000:  # DFR wants groups, and takes many minutes on CelebA's rows
            groups = np.arange(n_val) // 2 % 2 * 2 + rows[3]
            calls["DFR"] = lambda r=rows, g=groups: DFRClassifier(random_state=0).fit(
                *r, groups_val=g
            )
        erm = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        calls["LogisticRegression"] = lambda r=rows, erm=erm: erm.fit(*r[:2])
        seconds = in_turn(calls.values(), args.repeats)
        times = dict(zip(calls, seconds.tolist(), strict=True))
        records.append({"set": dataset, "epochs": settings["epochs"], "seconds": times})
        print(f"fits: {dataset}", flush=True)
    return records


def searches(args):
    """Time searches of 1, 8 and 64 fits at Waterbirds sizes against as many autograd loops."""
    n_train, n_val, C, _ = SIZES["waterbirds"]
    rows = features(n_train, n_val, C)
    settings = settings_of("waterbirds")
    fit, clf = hsfm(rows, settings, args.device)
    fit()
    loop = autograd(rows, clf, settings, args.device)
    steps = {k: settings[k] for k in ("support_per_class", "T", "KH", "Khard", "epochs")}

    def search(n_inner, n_repeats):
        grid = {"C": [None], "inner_lr": np.geomspace(5e-6, 5e-4, n_inner), "outer_lr": [1.0]}
        model = HSFMClassifierCV(
            grid, n_repeats=n_repeats, init_head=clf.init_head, random_state=0,
            scoring="tail_loss",  # which knows no error, so that no setting drops out
            device=args.device, **steps,
        )  # fmt: skip
        return lambda: model.fit(*rows)

    calls = {1: fit, 8: search(2, 2), 64: search(8, 4)}
    once = in_turn([loop], args.repeats)[0]
    print("searches: autograd loop", flush=True)
    records = []
    for n, call in calls.items():
        seconds = in_turn([call], args.repeats)[0]
        records.append({"fits": n, "seconds": seconds.tolist(), "one loop": once.tolist()})
        print(f"searches: {n}", flush=True)
    return records


def estimators(args):
    """Time whole fits against each size."""
    return estimator_growth.estimators(args, features, in_turn)


def growth(args):
    """Time an epoch of 10 edits against each size, and count its arithmetic."""
    records = []
    for name, values in GROWTH.items():
        for value in values:
            at = {**BASE, name: value}
            C, n = at["C"], max(at["n"], at["C"])
            rows = features(max(n, 128) + 1, at["rows"], C, at["d"])
            settings = {
                "support_per_class": -(-n // C), "T": at["T"], "KH": 10, "Khard": 64 // C + 1,
                "epochs": 1, "inner_lr": 1e-4, "outer_lr": 0.1, "clip_norm": 10.0,
                "selection_fraction": None, "place_threshold": False,
            }  # fmt: skip
            fit, clf = hsfm(rows, settings, args.device)
            longer, _ = hsfm(rows, settings, args.device, epochs=3)
            fit(), longer()
            calls = [fit, longer]
            few = n * at["d"] * C * at["T"] < 2**26  # the loop is slow beyond
            if few:
                calls.append(autograd(rows, clf, settings, args.device))
            seconds = np.median(in_turn(calls, args.repeats), axis=1)
            record = {"varied": name, **at, "n": len(clf.support_y_), "autograd": None}
            record["seconds"] = float(seconds[1] - seconds[0]) / 2  # without checks and copies
            if few:
                record["autograd"] = float(seconds[2])
            records.append(record)
            print(f"growth: {name}={value}", flush=True)
    return records


def memory(args):
    """Fit with validation samples in a memory map, and watch the memory that is not the file's."""
    X, y, _, _ = features(4000, 2, 2)
    fitted = [HSFMClassifier(epochs=2), HSFMClassifierCV()]
    with tempfile.TemporaryDirectory() as folder:
        shape = (args.rows, N_FEATURES)
        X_val = np.memmap(Path(folder) / "rows", dtype=np.float32, mode="w+", shape=shape)
        for start in range(0, args.rows, len(X)):
            X_val[start : start + len(X)] = X[: args.rows - start]
        y_val = np.resize(y, args.rows)
        records = []
        for clf in fitted:
            clf.set_params(random_state=0, device=args.device)
            seconds, most = watched(lambda clf=clf: clf.fit(X, y, X_val, y_val))
            record = {"fit": repr(clf), "seconds": seconds, "GiB": most / 2**30}
            records.append({**record, "rows": args.rows, "file": X_val.nbytes / 2**30})
            print(f"memory: {type(clf).__name__}", flush=True)
    return records


def watched(call):
    """Return how long a call takes, and the most bytes of its own that it holds at a time."""
    before, most, done = anonymous(), [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = seconds_of(call)
    done.set()
    watcher.join()
    return seconds, most[0] - before


def anonymous():
    """Return the bytes of this process that no file backs, as Linux counts them."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def ceilings(device):
    """Return the largest GFLOP/s of a float32 product and GB/s of a sum, as measured here."""
    A = torch.randn(2048, 2048, device=device)
    x = torch.randn(2**26, device=device)
    product = min(in_turn([lambda: A @ A], 10)[0][2:])
    total = min(in_turn([x.sum], 10)[0][2:])
    return {"GFLOP/s": 2 * 2048**3 / product / 1e9, "GB/s": 4 * 2**26 / total / 1e9}


def work(record):
    """Return the GFLOP and GB that an epoch of `growth` needs in the form that it takes."""
    n, d, T, R = record["n"], record["d"], record["T"], record["C"] if record["C"] > 2 else 1
    m = (64 // record["C"] + 1) * record["C"]
    if choose_metagradient(n, R, d, T) is GramMetagradient:
        # K and the product that gathers; the recursions; head and adjoint on the support
        products, reads = 2 * n * n * d + 6 * n * n * T * R + 4 * n * R * d, 5
    else:  # four products a step, and the one that gathers
        products, reads = 6 * T * n * R * d, 4 * T
    edit = products + 2 * m * R * d
    head = 2 * T * n * R * d + record["rows"] * R * d
    # The gradient is written, read and scaled, Adam reads four arrays and writes three.
    moved = 10 * (reads + 4 + 7) * n * d + 10 * 2 * m * d + 2 * T * n * d + record["rows"] * d
    return {"GFLOP": 2 * (10 * edit + head) / 1e9, "GB": 4 * moved / 1e9}


def tables(results):
    """Return the Markdown text of all parts."""
    top = results["ceilings"]
    text = [
        f"{results['machine']}; torch {results['torch']}, scikit-learn {results['sklearn']}; "
        f"{results['threads']} thread(s); float32; {results['repeats']} repeats in turn: median "
        f"seconds [least, most]. Ceilings measured in the same run: {top['GFLOP/s']:.0f} GFLOP/s "
        f"(square product), {top['GB/s']:.1f} GB/s (sum of 256 MiB)."
    ]
    if "fits" in results:
        names = ["autograd loop", "HSFM", "DFR", "LogisticRegression"]
        text.append(f"| sizes of | epochs | {' | '.join(names)} | autograd / HSFM | DFR / HSFM |")
        text[-1] += "\n" + "| --- " * 8 + "|"
        for r in results["fits"]:
            times = r["seconds"]
            cells = [spread(times[k]) if k in times else "-" for k in names]
            ratios = [
                f"{np.median(np.divide(times[k], times['HSFM'])):.1f}" if k in times else "-"
                for k in ("autograd loop", "DFR")
            ]
            row = " | ".join([r["set"], str(r["epochs"]), *cells, *ratios])
            text[-1] += f"\n| {row} |"
    if "searches" in results:
        text.append("| fits | seconds | as many autograd loops | ratio |\n" + "| --- " * 4 + "|")
        for r in results["searches"]:
            loops = np.median(r["one loop"]) * r["fits"]
            ratio = loops / np.median(r["seconds"])
            row = f"{r['fits']} | {spread(r['seconds'])} | {loops:.0f} | {ratio:.1f}"
            text[-1] += f"\n| {row} |"
    if "estimators" in results:
        text.append(estimator_growth.table(results["estimators"]))
    if "growth" in results:
        head = "| varied | n | d | C | T | rows | ms an epoch | autograd loop | GFLOP/s | GB/s |"
        text.append(head + "\n" + "| --- " * 10 + "|")
        for r in results["growth"]:
            done, loop = work(r), r["autograd"]
            cells = [r["varied"], *(r[k] for k in ("n", "d", "C", "T", "rows"))]
            cells += [f"{1e3 * r['seconds']:.1f}", f"{1e3 * loop:.0f}" if loop else "-"]
            cells += [f"{done['GFLOP'] / r['seconds']:.0f}", f"{done['GB'] / r['seconds']:.1f}"]
            text[-1] += "\n| " + " | ".join(map(str, cells)) + " |"
    for r in results.get("memory", []):
        text.append(
            f"{r['rows']:,} validation samples in a memory map of {r['file']:.1f} GiB: `{r['fit']}`"
            f" took {r['seconds']:.0f} s and {r['GiB']:.2f} GiB of memory beside the file."
        )
    return "\n\n".join(text)


def picture(results, path):
    """Draw the seconds of an epoch against each size, on log axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 2.8), layout="constrained")
    panels = figure.subplots(1, len(GROWTH), sharey=True)
    for panel, name in zip(panels, GROWTH, strict=True):
        records = [r for r in results["growth"] if r["varied"] == name]
        x = [r[name] for r in records]
        panel.loglog(x, [r["seconds"] for r in records], "o-", label="HSFMClassifier")
        loop = [(a, r["autograd"]) for a, r in zip(x, records, strict=True) if r["autograd"]]
        panel.loglog(*zip(*loop, strict=True), "s--", label="autograd loop")
        panel.set_xlabel({"rows": "validation samples"}.get(name, name))
        panel.xaxis.set_minor_formatter("")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds an epoch")
    panels[1].legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=120)


def main(argv=None):
    """Time the parts, print and write the tables."""
    parts = {
        "fits": fits, "searches": searches, "estimators": estimators, "growth": growth,
        "memory": memory,
    }  # fmt: skip
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--sets", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=10**6, help="of the part memory")
    args = parser.parse_args(argv)
    on_gpu = "cuda" in args.device
    results = {
        "machine": machine(args.device),
        "torch": torch.__version__,
        "sklearn": sklearn.__version__,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "ceilings": ceilings(args.device),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "speed" if not on_gpu else "speed_gpu"
    for part in args.parts:
        results[part] = parts[part](args)
        (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    text = tables(results)
    (RESULTS / f"{name}.md").write_text(text + "\n")
    print("\n" + text)
    try:
        if "growth" in results:
            picture(results, RESULTS / f"{name}.png")
        if "estimators" in results:
            estimator_growth.picture(results["estimators"], RESULTS / f"{name}_estimators.png")
    except ModuleNotFoundError:
        print("\nNo picture: matplotlib is not installed (the extra 'plot').")


if __name__ == "__main__":
    main()
