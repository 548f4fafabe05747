"""Keys of features: a hash of all that makes them, the same in every process."""

import functools
import hashlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from sklearn_hsfm.extraction._batches import decoders
from sklearn_hsfm.extraction._cache import Writing
from sklearn_hsfm.extraction._identity import identify

_SCHEME = "2"  # entries of another are never found
_MAKERS = ("torch", "torchvision", "pillow", "timm", "open_clip_torch", "openvino")


class Keys:
    """The keys of images for one network, preprocessing, engine and precision.

    ``also`` are the packages whose versions count beside those that always do.

    Attributes
    ----------
    gaps : tuple of str
        What of these cannot be told from another of its kind; where there is such, keys must not
        be used.
    """

    def __init__(self, backbone_id, gaps, preprocess, engine, precision, also=()):
        own = identify(preprocess)  # at each use, for it may hold what changes
        makers = _SCHEME, backbone_id, own.digest, engine, precision, _versions()
        makers += (_versions(also),) if also else ()
        self._settled = identify(*makers).digest.encode()
        self.gaps = gaps + own.gaps

    def of(self, images, row, image=None):
        """Return the key of an image, which may be loaded already."""
        return hashlib.sha256(self._settled + images.key(row, image)).digest()

    def all_of(self, images, n_jobs=None):
        """Return the keys of all images."""
        rows = range(len(images))
        if images.kind != "path":  # whatever gives them may bear no second thread
            return [self.of(images, row) for row in rows]
        with decoders(n_jobs) as pool:
            return list(pool.map(lambda row: self.of(images, row), rows))


def fill(features, images, keys, cache, run, n_jobs=None):
    """Fill in the features of images from a cache, and compute and keep those that it lacks.

    ``run`` takes rows and what looks at each image; it yields rows and their features.
    """
    of_rows = keys.all_of(images, n_jobs)
    known = cache.get(of_rows)
    first = {}  # one image seen twice is computed once
    for row, key in enumerate(of_rows):
        if key in known and known[key].shape == features.shape[1:]:
            features[row] = known[key]
        else:
            first.setdefault(key, row)
    changed = set()

    def checked(row, image):  # a file may be replaced, a data set may draw another image
        if keys.of(images, row, image) != of_rows[row]:
            changed.add(row)

    with Writing(cache) as kept:
        for rows, values in run(list(first.values()), checked):
            features[rows] = values
            new = zip(rows, values, strict=True)
            kept.add({of_rows[row]: value for row, value in new if row not in changed})
    for row, key in enumerate(of_rows):
        if key in first:
            features[row] = features[first[key]]


@functools.cache
def _versions(makers=_MAKERS):
    """Return the versions of what decodes, preprocesses and multiplies."""
    found = []
    for name in makers:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name).partition('+')[0]}")  # not for which GPUs
    return found
