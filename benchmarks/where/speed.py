"""Seconds of the three tools on 2,000 small images, by the clock and of the processor."""

import resource
import sys
import time

import numpy as np
import torch
from sklearn.pipeline import make_pipeline

from benchmarks.from_images import enlarged
from benchmarks.runs import machine, versions
from benchmarks.tables import markdown, page
from benchmarks.where._common import dominoes_images, erm, extractor_of
from sklearn_hsfm.inspection import find_regions, masked_sensitivity, probe_patches

TITLE = "# Seconds on 2,000 small images"
N = 2000


def run(args):
    """Return the table."""
    data, reason = dominoes_images(args)
    if data is None:
        return page(TITLE, reason)
    args.cache_dir = None  # of features that are there already, nothing is to be timed
    images, y = (np.concatenate([data[f"{k}_val"], data[f"{k}_test"]])[:N] for k in "Xy")
    rows = np.random.RandomState(0).permutation(len(data["y_train"]))[:N]
    extractor = extractor_of(args, enlarged).fit(images[:2])
    head = erm().fit(extractor.transform(data["X_train"][rows]), data["y_train"][rows])
    model = make_pipeline(extractor, head)
    halves = np.zeros(images.shape[:3], dtype=bool)
    halves[:, : images.shape[1] // 2] = True
    calls = {
        "find_regions, four regions each": lambda: find_regions(
            extractor, images, y, head, random_state=0
        ),
        "masked_sensitivity, masks": lambda: masked_sensitivity(
            model, images, halves, y, random_state=0
        ),
        "probe_patches, ten marks": lambda: probe_patches(model, images, y=y, random_state=0),
    }
    body = []
    for name, call in calls.items():
        start, busy = time.perf_counter(), time.process_time()
        call()
        spent = time.perf_counter() - start, time.process_time() - busy
        body.append([name, *(f"{seconds:.0f}" for seconds in spent)])
        print(f"{name}: {spent[0]:.0f} s", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    libraries = ", ".join(map(" ".join, versions().items()))
    return page(
        TITLE,
        f"{N:,} images of Dominoes, 64 x 32 pixels, through {args.network} ({args.engine}) at "
        f"128 x 64, features and regions included, nothing cached; {torch.get_num_threads()} "
        f"thread(s), one run each. {machine('cpu')}; {libraries}. Peak memory {peak:.1f} GiB. A "
        "grid of windows takes masked_sensitivity a pass over the images for each window; masks "
        "take three.",
        markdown(["call", "seconds", "of the processor"], body),
    )
