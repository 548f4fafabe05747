"""Time whole fits against the plain autograd loop, side by side.

``python -m benchmarks.speed`` from the root of the repository prints a table: the published
settings at the sizes of the published data sets, on random features.
"""

import argparse
import platform
import time

import numpy as np
import torch

from sklearn_hsfm import HSFMClassifier, paper_settings
from tests.oracle import autograd_hsfm

# training and validation rows of Tables 5, 8 and 9; 2048 features of a ResNet-50
SIZES = {"waterbirds": (4795, 1199), "dominoes": (7980, 1998), "metashift": (1123, 81)}
N_FEATURES = 2048


def main(argv=None):
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    name = torch.cuda.get_device_name(args.device) if "cuda" in args.device else processor()
    print(
        f"{name}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, float32, "
        f"{args.repeats} repeats in turn: median seconds [least, most]\n"
    )
    print("| sizes of | autograd loop | HSFMClassifier.fit | ratio |")
    print("| --- | --- | --- | --- |")
    for dataset in SIZES:
        loop, fit = measure(dataset, args)
        ratio = np.median(np.array(loop) / fit)
        print(f"| {dataset} | {spread(loop)} | {spread(fit)} | {ratio:.1f} |", flush=True)


def measure(dataset, args):
    """Return the seconds of the loop and of the fit, in turn, after a warm-up of both."""
    rng = np.random.default_rng(0)
    n_train, n_val = SIZES[dataset]
    X, X_val = (
        np.maximum(rng.normal(size=(n, N_FEATURES)), 0).astype(np.float32) for n in (n_train, n_val)
    )
    y, y_val = np.arange(n_train) % 2, np.arange(n_val) % 2
    head = 0.02 * rng.normal(size=(2, N_FEATURES)).astype(np.float32), np.zeros(2, np.float32)
    settings = paper_settings(dataset)
    clf = HSFMClassifier(
        **settings, standardize=False, init_head=head, random_state=0, device=args.device
    )

    def fit():
        clf.fit(X, y, X_val, y_val)

    def loop():
        rows = clf.support_indices_
        arrays = X[rows], y[rows], *head, X_val, y_val
        plain = {k: settings[k] for k in settings.keys() - {"support_per_class"}}
        plain.pop("selection_fraction")
        autograd_hsfm(*(torch.tensor(a, device=args.device) for a in arrays), **plain)

    fit(), loop()
    seconds = [(seconds_of(loop), seconds_of(fit)) for _ in range(args.repeats)]
    return zip(*seconds, strict=True)


def seconds_of(call):
    """Return how long a call takes, device included."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values):
    """Return the median and the ends."""
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def processor():
    """Return the processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    main()
