"""Features of many samples: shard by shard, on any engine of joblib, into one memory map."""

import functools
import hashlib
import pickle
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
from joblib import wrap_non_picklable_objects
from sklearn.exceptions import NotFittedError
from sklearn.utils import gen_batches
from sklearn.utils.parallel import delayed

from sklearn_hsfm._parallel import results
from sklearn_hsfm._typing import FilePath
from sklearn_hsfm.extraction._base import Extractor
from sklearn_hsfm.extraction._extractor import FeatureExtractor
from sklearn_hsfm.extraction._text import TextExtractor
from sklearn_hsfm.extraction._whole_files import whole


def extract_shards(
    extractor: FeatureExtractor | TextExtractor,
    X: FilePath | Sequence[FilePath],
    folder: FilePath,
    *,
    shard_size: int = 4096,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> np.memmap:
    """Return the features of image files or texts as a memory map, computed shard by shard.

    A shard is a task of joblib: ``n_jobs`` processes of this machine compute them, or a cluster
    under ``joblib.parallel_config(backend="dask")``. Each is a file that is there whole or not at
    all, so a run that was interrupted goes on with the shards that are missing. At the end they
    are put together and removed, and a later call returns at once.

    Parameters
    ----------
    extractor : FeatureExtractor or TextExtractor
        A fitted one; a single sample is enough to fit it.
    X : folder, sequence of paths, or sequence of str
        Image files, as in `FeatureExtractor.transform`, or texts.
    folder : path
        Where the features go; it is made if absent. Several lists of images may share it.
    shard_size : int, default=4096
        Samples of a shard, rounded up to whole batches of the extractor; of texts to 32 batches,
        within which they are sorted by length.
    n_jobs : int or None, default=None
        Tasks at once; None is 1, or what ``joblib.parallel_config`` says.
    verbose : int, default=0
        Print a line for each shard that is done.

    Returns
    -------
    memmap of shape (n_images, n_features_out)
        Features, float32, read-only; its ``filename`` is a ``.npy`` file in ``folder``.

    Raises
    ------
    TypeError
        If ``extractor`` is no extractor, or ``X`` no image files or texts.
    NotFittedError
        If ``extractor`` is not fitted.
    ValueError
        If files are missing, all of them looked for before any is read; if an image cannot be
        read, naming it and its sample in ``X``: the shards that were done stay. If network or
        preprocessing hold what cannot be told from another of its kind, as an open file.
    FileNotFoundError
        If the processes do not share ``folder``.
    OSError
        If the disk is full, or the folder not to be written; the shards that were done stay.

    See Also
    --------
    FeatureExtractor : Its ``transform`` returns an array in memory.
    TextExtractor : The same for texts.

    Notes
    -----
    File names are hashes of all that made the features, as the keys of the cache of
    `FeatureExtractor`, with path, times and size of each image, in their order. A replaced image
    costs the shard that it is in; one that was added or removed also those after it. Results of
    other images, and the shards of runs that were given up, are never read and never removed:
    delete them, and files ending in ``.part``, as you like. Beside the result its shards need as
    much space again, for a while.

    Machines must see images and ``folder`` under the same paths. Every task decodes with the
    ``n_jobs`` threads of the extractor. As shards are whole batches, the features are those of
    ``transform``, bit by bit where machines and threads of torch are the same.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sklearn_hsfm.extraction import FeatureExtractor, extract_shards
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i, pixels in enumerate(np.random.RandomState(0).bytes(1200) for _ in range(3)):
    ...     Image.frombytes("RGB", (20, 20), pixels).save(folder / f"{i}.png")
    >>> extractor = FeatureExtractor("resnet18", weights=None, batch_size=2).fit(folder)
    >>> features = extract_shards(extractor, folder, folder / "features", shard_size=2, verbose=1)
    [extract_shards] 1/2 shards
    [extract_shards] 2/2 shards
    >>> features.shape, Path(features.filename).suffix
    ((3, 512), '.npy')
    """
    images = _checked(extractor, X, shard_size)
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    keys = _keys(extractor, images)
    path, width = folder / f"features-{_digest(keys)}.npy", extractor.n_features_out_
    if not _is_whole(path, len(keys), width):
        size = -(-shard_size // extractor._unit) * extractor._unit
        parts = list(gen_batches(len(keys), size))
        shards = [folder / f"shard-{_digest(keys[rows])}.npy" for rows in parts]
        _compute(extractor, images, parts, shards, n_jobs, verbose)
        if not _is_whole(path, len(keys), width):  # another process may have been as far
            _put_together(shards, path, (len(keys), width))
        for shard in shards:
            shard.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _checked(extractor, X, shard_size):
    """Return the images, if all arguments are as they must be."""
    if not isinstance(extractor, Extractor):
        raise TypeError(
            f"extractor is a {type(extractor).__name__}; it must be a fitted FeatureExtractor or "
            "TextExtractor."
        )
    if not hasattr(extractor, "backbone_id_"):
        raise NotFittedError(
            "extractor is not fitted: call extractor.fit(X[:1]), one image is enough. An "
            "ERMClassifier in it that is not fitted either needs them all, and labels."
        )
    if not isinstance(shard_size, Integral) or shard_size < 1:
        raise ValueError(f"shard_size={shard_size!r}; it is a number of samples, 1 or more.")
    images = extractor._view(X)
    if images.kind not in ("path", "text"):
        raise TypeError(
            "X holds images themselves; shards are of image files: pass a folder or a sequence "
            "of paths, or save what extractor.transform(X) returns with numpy.save."
        )
    return images


def _keys(extractor, images):
    keys = extractor._keys()
    if keys.gaps:
        raise ValueError(
            "Shards are named by what made them, and network or preprocess of the extractor hold "
            f"what cannot be told from another of its kind: {', '.join(keys.gaps)}. Hold what "
            "can be pickled, or save what extractor.transform(X) returns with numpy.save."
        )
    return keys.all_of(images, extractor.n_jobs)


def _digest(keys):
    return hashlib.sha256(b"".join(keys)).hexdigest()[:32]


def _compute(extractor, images, parts, shards, n_jobs, verbose):
    """Write the shards that are not there."""
    width = extractor.n_features_out_
    pairs = zip(shards, parts, strict=True)
    wanted = {s: p for s, p in pairs if not _is_whole(s, p.stop - p.start, width)}
    sent = _Sent(extractor)
    tasks = (delayed(_write)(sent, images.part(rows), s) for s, rows in wanted.items())
    n_there = len(set(shards)) - len(wanted)
    for done, _ in enumerate(results(tasks, n_jobs), n_there + 1):
        if verbose:
            print(f"[extract_shards] {done}/{len(set(shards))} shards", flush=True)


def _is_whole(path, n_rows, width):
    """Return whether a file is there with as many numbers as it should have."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # absent, cut off, or none of ours
        return False
    return array.shape == (n_rows, width) and array.dtype == np.float32


def _write(sent, images, shard):
    features = sent.extractor._features_of(images)
    with whole(shard) as file:
        np.save(file, features)


def _put_together(shards, path, shape):
    missing = [str(shard) for shard in shards if not shard.exists()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(shards)} shards were computed but are not here, first "
            f"{missing[0]}. All processes must share the folder, under this path."
        )
    header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": shape}
    with whole(path) as file:  # written, not mapped: a full disk is an error, not a crash
        np.lib.format.write_array_header_1_0(file, header)
        for shard in shards:
            file.write(np.load(shard).data)


class _Sent:
    """An extractor that other processes receive: it is pickled once, and loaded once in each."""

    def __init__(self, extractor):
        self.extractor = extractor

    @functools.cached_property
    def pickled(self):
        # As joblib pickles its tasks: with what was defined in a script or notebook.
        return pickle.dumps(wrap_non_picklable_objects(self.extractor, keep_wrapper=False))

    def __reduce__(self):
        return _received, (self.pickled,)

    def __sizeof__(self):
        return len(self.pickled)  # dask sends what is large to a worker once, not with each task


@functools.lru_cache(maxsize=1)
def _received(pickled):
    sent = _Sent(pickle.loads(pickled))
    sent.pickled = pickled
    return sent
