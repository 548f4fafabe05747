"""Seconds of the three tools on 2,000 small images, on one core."""

import resource
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
        "find_regions, two regions each": lambda: find_regions(
            extractor, images, y, head, grid=(2, 1), random_state=0
        ),
        "find_regions, nine regions each": lambda: find_regions(
            extractor, images, y, head, grid=(3, 3), random_state=0
        ),
        "masked_sensitivity, masks": lambda: masked_sensitivity(
            model, images, halves, y, random_state=0
        ),
        "masked_sensitivity, a grid of 4 x 4": lambda: masked_sensitivity(
            model, images, "grid", y, random_state=0
        ),
        "probe_patches, ten marks": lambda: probe_patches(model, images, y=y, random_state=0),
    }
    body = []
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        body.append([name, f"{time.perf_counter() - start:.0f}"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    libraries = ", ".join(map(" ".join, versions().items()))
    return page(
        TITLE,
        f"{N:,} images of Dominoes, 64 x 32 pixels, through {args.network} ({args.engine}) at "
        f"128 x 64, features and regions included, nothing cached; {torch.get_num_threads()} "
        f"thread(s), one run each. {machine('cpu')}; {libraries}. Peak memory {peak:.1f} GiB.",
        markdown(["call", "seconds"], body),
    )
