"""Images through a network batch by batch, while the next ones are decoded."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice

import numpy as np
import torch

from sklearn_hsfm._progress import bar
from sklearn_hsfm.extraction._preprocessing import Published, Ready

_AHEAD = 3  # batches that are decoded while one is in the network


def decoders(n_jobs=None):
    """Return a pool of threads that decode."""
    return ThreadPoolExecutor(n_jobs or min(8, os.cpu_count() or 1))


def run_batches(
    run, images, rows, preprocess, batch_size, n_jobs=None, progress=False, checked=None
):
    """Yield the samples of each batch and their features.

    ``run`` takes a batch of preprocessed images; ``n_jobs`` and ``progress`` are those of
    `FeatureExtractor`. ``checked``, where it is given, is called with each sample and its image.
    """
    load = Loader(images, preprocess, n_jobs, checked)
    batches = (list(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size))
    with (
        decoders(n_jobs) as pool,
        bar(progress, total=len(rows), unit="image") as shown,
    ):

        def start(batch):  # items are fetched here, in the one thread that calls this
            return batch, [pool.submit(load, row, images.fetch(row)) for row in batch]

        waiting = [start(batch) for batch in islice(batches, _AHEAD)]
        try:
            while waiting:
                batch, tensors = waiting.pop(0)
                pixels = stacked([tensor.result() for tensor in tensors], batch, images)
                waiting += [start(batch) for batch in islice(batches, 1)]
                values = _ran(run, pixels, batch, images)
                check_finite(values, batch, images)
                shown.update(len(batch))
                yield batch, values
        finally:
            for _, tensors in waiting:
                for tensor in tensors:
                    tensor.cancel()


class Loader:
    """Decode and preprocess an image; errors name it.

    A preprocessing that is not ours may hold state, and so sees one image at a time, unless
    threads were asked for.
    """

    def __init__(self, images, preprocess, n_jobs=None, checked=None):
        self.images, self.preprocess, self.checked = images, preprocess, checked
        bears_threads = n_jobs is not None or isinstance(preprocess, Published | Ready)
        self._one_at_a_time = nullcontext() if bears_threads else threading.Lock()

    def __call__(self, row, item):
        """Return the tensor of an item that was fetched."""
        image = self.images.decode(item, row)
        if self.checked is not None:
            self.checked(row, image)
        with self._one_at_a_time:
            return preprocessed(image, self.preprocess, self.images.name(row))


def preprocessed(image, preprocess, name):
    """Return the tensor that a preprocessing makes of an image; errors name the image."""
    try:
        tensor = preprocess(image)
    except Exception as error:
        raise ValueError(
            f"{name}: preprocessing fails with {type(error).__name__}: {error}."
        ) from error
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise TypeError(f"{name}: preprocess returns {kind}; it must return a float tensor.")
    return tensor


def stacked(tensors, rows, images):
    """Return preprocessed images as a batch."""
    for row, tensor in zip(rows, tensors, strict=True):
        if tensor.shape != tensors[0].shape:
            raise ValueError(
                f"Images of a batch have one size, but {images.name(rows[0])} is "
                f"{tuple(tensors[0].shape)} after preprocessing and {images.name(row)} "
                f"{tuple(tensor.shape)}. Resize and crop in preprocess, or pass batch_size=1."
            )
    return torch.stack(tensors)


def _ran(run, pixels, rows, images):
    try:
        return run(pixels)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # of a network of somebody else's
        raise ValueError(
            f"The network fails on a batch of {len(rows)} from {images.name(rows[0])} on, "
            f"{tuple(pixels.shape[1:])} each after preprocessing: {type(error).__name__}: {error}"
        ) from error


def check_finite(values, rows, images):
    """Refuse features that are not finite, naming the first."""
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"What the network gives for {images.name(rows[int(finite.argmin())])} is not finite. "
            "Pass precision='float32' if it is lower; else look at the weights and at what "
            "preprocess gives."
        )
