"""Images through a network batch by batch, while the next ones are decoded."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import torch

from sklearn_hsfm._progress import bar

_AHEAD = 3  # batches that are decoded while one is in the network


def decoders(n_jobs=None):
    """Return a pool of threads that decode."""
    return ThreadPoolExecutor(n_jobs or min(8, os.cpu_count() or 1))


def run_batches(run, images, rows, preprocess, batch_size, n_jobs=None, progress=False):
    """Yield the rows of each batch and their features.

    ``run`` takes a batch of preprocessed images; ``n_jobs`` and ``progress`` are those of
    `FeatureExtractor`.
    """
    load = _Loader(images, preprocess)
    batches = (list(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size))
    with (
        decoders(n_jobs) as pool,
        bar(progress, total=len(rows), unit="image") as shown,
    ):
        waiting = [(b, [pool.submit(load, row) for row in b]) for b in islice(batches, _AHEAD)]
        try:
            while waiting:
                batch, tensors = waiting.pop(0)
                pixels = torch.stack([tensor.result() for tensor in tensors])
                waiting += [(b, [pool.submit(load, row) for row in b]) for b in islice(batches, 1)]
                values = run(pixels)
                shown.update(len(batch))
                yield batch, values
        finally:
            for _, tensors in waiting:
                for tensor in tensors:
                    tensor.cancel()


class _Loader:
    """Decode and preprocess an image; errors name it."""

    def __init__(self, images, preprocess):
        self.images, self.preprocess = images, preprocess

    def __call__(self, row):
        try:
            return self.preprocess(self.images.load(row))
        except Exception as error:
            raise ValueError(
                f"{self.images.name(row)} cannot be read as an image: {type(error).__name__}: "
                f"{error}. Remove it, and its row of y, or replace the file."
            ) from error
