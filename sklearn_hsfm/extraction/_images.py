"""What can be given as images: one view of paths, folders, arrays, PIL images and datasets."""

import copy
import hashlib
import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sklearn_hsfm.extraction._data_sets import data_set_under, image_of, is_loader, is_map_style
from sklearn_hsfm.extraction._image_files import (
    SUFFIXES,
    image_files,
    read_image,
    shown,
    to_rgb,
)
from sklearn_hsfm.extraction._preprocessing import outside_unit


class Images:
    """A sequence of images that knows what each is before it is decoded.

    Parameters
    ----------
    X : folder, sequence of paths, array, tensor, sequence of PIL images, or data set
        As in `FeatureExtractor.transform`.

    Attributes
    ----------
    kind : {"path", "array", "pil", "dataset"}
        What they are given as.

    Raises
    ------
    ValueError, TypeError
        If ``X`` is none of these, or a file is missing: all are looked at before any is read.
    """

    def __init__(self, X):
        self._items, self.kind = _resolve(X)
        self._rows = range(len(self._items))  # where they stand in what was passed
        self._n_passed = len(self._items)

    def part(self, rows):
        """Return a slice of image files, which any process finds; errors say which they are."""
        part = copy.copy(self)
        part._items = [os.path.abspath(path) for path in self._items[rows]]
        part._rows = self._rows[rows]
        return part

    def __len__(self):
        """Return the number of images."""
        return len(self._items)

    @property
    def source(self):
        """The items, as they were passed."""
        return self._items

    def fetch(self, index):
        """Return an item as it was passed; call this from one thread, and `decode` from any.

        What a dataset does may bear no second thread, nor does a PIL image that is not loaded.
        """
        try:
            item = self._items[index]
        except Exception as error:  # of a data set of somebody else's
            raise ValueError(
                f"The data set fails at {self.name(index)}: {type(error).__name__}: {error}"
            ) from error
        if self.kind == "dataset":
            with self._naming(index):
                item = image_of(item)
        if isinstance(item, Image.Image):
            with self._naming(index):
                item.load()
        return item

    def decode(self, item, index):
        """Return an item as an RGB PIL image, or as the float tensor (C, H, W) that it was."""
        with self._naming(index):
            if self.kind == "path":
                return read_image(item)
            return to_rgb(item) if isinstance(item, Image.Image) else _from_array(item)

    def load(self, index):
        """Return an image: `fetch` and `decode`."""
        return self.decode(self.fetch(index), index)

    def in_colour(self, index):
        """Return an image as `load` does; floats of other than three channels are refused."""
        image = self.load(index)
        if isinstance(image, torch.Tensor) and len(image) != 3:
            raise ValueError(
                f"{self.name(index)} has {len(image)} channels; here it must have 3, red, green "
                "and blue."
            )
        return image

    def picture(self, index, image=None):
        """Return an RGB PIL image; floats are refused where they cannot be in [0, 1].

        ``image`` is what `in_colour` returns, where it is loaded already.
        """
        image = self.in_colour(index) if image is None else image
        if isinstance(image, Image.Image):
            return image
        if where := outside_unit(image):
            raise ValueError(
                f"{self.name(index)} is of floats in {where}; here they must lie in [0, 1], as "
                "they are before any preprocessing. Divide them by 255 if they come from eight "
                "bits."
            )
        pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)  # (H, W, 3)
        return Image.fromarray(pixels.numpy())

    def key(self, index, image=None):
        """Return what identifies an image: its file as it stands, or its content.

        ``image`` is the image where it is loaded already.
        """
        if self.kind == "path":
            path = os.path.abspath(self._items[index])
            stat = os.stat(path)  # a tool may set the time of a file, but not that of its change
            times = f"\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_size}"
            return os.fsencode(path) + times.encode()
        image = self.load(index) if image is None else image
        if isinstance(image, Image.Image):
            data, form = image.tobytes(), f"uint8 {image.size}"
        else:
            data, form = image.numpy().tobytes(), f"{image.dtype} {tuple(image.shape)}"
        return form.encode() + hashlib.sha256(data).digest()

    def name(self, index):
        """Return how an error message calls an image."""
        row = self._rows[index]
        name = shown(self._items[index]) if self.kind == "path" else f"image {row}"
        return f"{name} (sample {row} of {self._n_passed})"

    @contextmanager
    def _naming(self, index):
        try:
            yield
        except Exception as error:  # each format of files has its own
            raise ValueError(
                f"{self.name(index)} cannot be read as an image: {type(error).__name__}: {error}. "
                "Remove it, and its entry of y, or replace it."
            ) from error


def _resolve(X):
    """Return the items and their kind: "path", "array", "pil" or "dataset"."""
    if isinstance(X, str | os.PathLike):
        return _files_of(Path(X)), "path"
    if is_loader(X):
        X = data_set_under(X)
    if isinstance(X, Mapping):
        raise TypeError(f"Images are a dict of {list(X)}; pass one of these, such as a split.")
    if isinstance(X, torch.utils.data.Dataset):
        if not hasattr(X, "__len__"):
            raise TypeError("The dataset has no length; FeatureExtractor needs a map-style one.")
        return X, "dataset"
    if is_map_style(X) and len(X) and not isinstance(X[0], str | os.PathLike):
        return X, "dataset"
    if isinstance(X, torch.Tensor):
        _check_array_shape(tuple(X.shape), X.is_floating_point(), X.dtype)
        return X.detach().cpu(), "array"
    X = X if hasattr(X, "dtype") and hasattr(X, "shape") else list(X)
    if isinstance(X, list):
        return _of_list(X)
    X = np.asarray(X)
    if X.dtype.kind in "UO" and X.ndim in (1, 2):
        return _of_list(X.ravel().tolist() if X.ndim == 1 or X.shape[1] == 1 else X.tolist())
    _check_array_shape(X.shape, X.dtype.kind == "f", X.dtype)
    return X, "array"


def _of_list(items):
    if not items:
        raise ValueError("There are no images: an empty sequence was passed.")
    first = items[0]
    if all(isinstance(item, str | os.PathLike) for item in items):
        return _existing([os.fspath(item) for item in items]), "path"
    if all(isinstance(item, Image.Image) for item in items):
        return items, "pil"
    if all(isinstance(item, np.ndarray | torch.Tensor) for item in items):
        return items, "array"
    raise TypeError(
        f"Images are a sequence whose first item is a {type(first).__name__}; they must be a "
        "folder, a sequence of paths, of PIL images or of arrays, one array or tensor, or a "
        "torch Dataset."
    )


def _files_of(folder):
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is not a folder. For single files pass a list of paths.")
    files = [str(path) for path in image_files(folder)]
    if not files:
        raise ValueError(f"The folder {str(folder)!r} holds no image ({', '.join(SUFFIXES)}).")
    return _existing(files)


def _existing(files):
    missing = [shown(file) for file in files if not os.path.isfile(file)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(files)} image files are not there, first {missing[0]!r}."
        )
    return files


def _check_array_shape(shape, is_float, dtype):
    known = is_float or str(dtype).endswith("uint8")
    if not known or len(shape) != 4 or not (is_float or shape[3] == 3):
        raise ValueError(
            f"Images have shape {tuple(shape)} and dtype {dtype}; wanted: uint8 (n, height, width, "
            "3) or float (n, channels, height, width)."
        )
    if is_float and shape[3] < min(shape[1:3]):
        raise ValueError(
            f"Images of floats have shape {tuple(shape)}, with channels in the last place; wanted: "
            "(n, channels, height, width)."
        )
    if not shape[0]:
        raise ValueError("There are no images: the array has no samples.")


def _from_array(item):
    if not isinstance(item, np.ndarray | torch.Tensor):
        raise TypeError(f"it is a {type(item).__name__}, and neither a PIL image nor an array")
    tensor = torch.as_tensor(np.array(item) if isinstance(item, np.ndarray) else item)
    tensor = tensor.detach().cpu()
    _check_array_shape((1, *tensor.shape), tensor.is_floating_point(), tensor.dtype)
    if tensor.is_floating_point():
        if not torch.isfinite(tensor).all():
            raise ValueError("it has NaN or infinite pixels")
        return tensor.to(torch.float32)
    return Image.fromarray(tensor.numpy())
