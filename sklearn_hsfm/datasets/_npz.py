"""Arrays of a ``.npz`` file that somebody sent: nothing is unpickled, no size is believed."""

import math
import zipfile

import numpy as np

_MOST_DEFLATED = 1032  # bytes that one byte of deflate can stand for


def read_npz(path):
    """Return the arrays of a ``.npz`` file by their names.

    Raises
    ------
    ValueError
        If it is no such file, damaged, or holds Python objects; if it says that it holds more
        than it can.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if e.filename.endswith(".npy")]
            return {e.filename[:-4]: _array(path, archive, e) for e in entries}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no .npz file, or a damaged one: {error}") from error


def _array(path, archive, entry):
    name = entry.filename[:-4]
    held = min(entry.file_size, _MOST_DEFLATED * min(entry.compress_size, path.stat().st_size))
    try:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is compressed in a way that numpy does not use")
        with archive.open(entry) as file:
            shape, dtype = _header(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects; save text and numbers as arrays of these")
        if math.prod(shape) * dtype.itemsize > held:
            raise ValueError(f"it claims shape {shape} of {dtype}, and holds {held} bytes at most")
        with archive.open(entry) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # of zlib, of the parser of headers, and of what is above
        raise ValueError(
            f"{path} is damaged, or was not written by numpy.savez, in {name!r}: {error}"
        ) from error


def _header(file):
    version = np.lib.format.read_magic(file)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if version[0] not in read:  # version 3 differs from 2 in the encoding of field names alone
        raise ValueError(f"its format is {version}, of structured arrays")
    shape, _, dtype = read[version[0]](file)
    return shape, dtype
