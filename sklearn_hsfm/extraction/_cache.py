"""A cache of features on disk: shared, bounded, and never wrong."""

import hashlib
import os
import sqlite3
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from sklearn_hsfm._typing import FilePath

_ASK = 500  # keys of one query
_WAIT = 60  # seconds for another process that writes
# What SQLite answers where a disk, or a permission, is at fault and not what is in the file.
_OF_THE_DISK = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
}


class FeatureCache:
    """Features by the hash of all that made them, in one SQLite file.

    SQLite locks and commits: two processes may write at once, and what a killed one had
    committed is there. Each entry has a checksum of its key and its features together; one that
    does not match is absent. A file that is broken is moved aside, with a warning.

    Parameters
    ----------
    folder : path
        Where ``features.sqlite`` lies; it is made if absent.
    max_bytes : int, default=None
        Size of the features that are kept; the longest unused go first.

    Raises
    ------
    OSError
        If the folder cannot be made, the file not be read, or, in `put` and `clear`, not be
        written: the disk is full, say, or another process wrote for a minute.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from sklearn_hsfm.extraction import FeatureCache
    >>> cache = FeatureCache(tempfile.mkdtemp())
    >>> cache.put({b"key": np.ones(3, dtype=np.float32)})
    >>> cache.get([b"key", b"other"])
    {b'key': array([1., 1., 1.], dtype=float32)}
    >>> len(cache)
    1
    """

    def __init__(self, folder: FilePath, max_bytes: int | None = None):
        self.path = Path(folder) / "features.sqlite"
        self.max_bytes = max_bytes
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"The feature cache {self.path.parent} cannot be made: {error}. Name another "
                "folder as cache_dir."
            ) from error

    def get(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Return the sound entries among ``keys``.

        Parameters
        ----------
        keys : iterable of bytes
            Keys, of entries or not.

        Returns
        -------
        dict of bytes to ndarray of shape (n_features,)
            Float32 vectors by their keys.
        """
        keys, found = list(dict.fromkeys(keys)), {}
        for start in range(0, len(keys), _ASK):
            some = keys[start : start + _ASK]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value, proof FROM entries WHERE key IN ({marks})"
            for key, value, proof in self._run(query, some):
                if (
                    isinstance(key, bytes)
                    and isinstance(value, bytes)
                    and _proof(key, value) == proof
                ):
                    found[key] = np.frombuffer(value, dtype=np.float32).copy()
        if found and self.max_bytes is not None:
            self._note_use(found)
        return found

    def put(self, features: Mapping[bytes, np.ndarray]) -> None:
        """Keep entries; they are on disk when this returns.

        Parameters
        ----------
        features : dict of bytes to ndarray of shape (n_features,)
            Float32 vectors by their keys.
        """
        now = time.time()
        rows = []
        for key, vector in features.items():
            value = np.ascontiguousarray(vector, dtype=np.float32).tobytes()
            rows.append((key, value, _proof(key, value), now))
        self._run("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows, writes=True)
        if self.max_bytes is not None:
            self._shrink()

    def clear(self) -> None:
        """Forget all entries."""
        self._run("DELETE FROM entries", [()], writes=True)

    def __len__(self):
        """Return the number of entries."""
        return next(iter(self._run("SELECT COUNT(*) FROM entries")), (0,))[0]

    def _note_use(self, keys):
        now = time.time()
        update = "UPDATE entries SET used = ? WHERE key = ?"
        try:
            self._run(update, [(now, key) for key in keys], writes=True)
        except OSError as error:
            warnings.warn(f"What was used was not noted: {error}", stacklevel=3)

    def _shrink(self):
        ((total,),) = self._run("SELECT COALESCE(SUM(LENGTH(value)), 0) FROM entries") or [(0,)]
        if total <= self.max_bytes:
            return
        drop = []
        for key, size in self._run("SELECT key, LENGTH(value) FROM entries ORDER BY used"):
            if total <= self.max_bytes:
                break
            drop.append((key,))
            total -= size or 0
        self._run("DELETE FROM entries WHERE key = ?", drop, writes=True)

    def _run(self, query, values=(), writes=False):
        if not writes and not self.path.exists():
            return []
        for _ in range(3):  # broken, broken again by another process, and then it is the disk
            found = _file_id(self.path)
            try:
                return self._execute(query, values, writes)
            except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
                if self._is_of_the_disk(error):
                    did = "written" if writes else "read"
                    raise OSError(
                        f"The feature cache {self.path} cannot be {did}: {error}. Make room or "
                        "give it leave to write there, or name another folder as cache_dir."
                    ) from error
                self._set_aside(found, error)
        raise OSError(f"The feature cache {self.path} breaks as soon as it is written.")

    def _is_of_the_disk(self, error):
        code = getattr(error, "sqlite_errorcode", None)
        code = None if code is None else code & 0xFF  # what is above tells kinds of it apart
        if code == sqlite3.SQLITE_READONLY:  # or the file says so, of a format to come
            return not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))
        return code in _OF_THE_DISK

    def _set_aside(self, broken, error):
        """Move the broken file away, unless another process did and this is a new one."""
        aside = self.path.with_suffix(f".broken-{time.time_ns()}-{uuid.uuid4().hex[:6]}")
        try:
            if _file_id(self.path) != broken:
                return
            self.path.rename(aside)
            if _file_id(aside) != broken:  # it came in between: give the new one back
                os.link(aside, self.path)
                aside.unlink()
                return
            journal = Path(f"{self.path}-journal")  # it would be applied to the new file
            if journal.exists():
                journal.rename(f"{aside}-journal")
        except FileNotFoundError:
            return
        except OSError as failure:
            raise OSError(
                f"The feature cache {self.path} is corrupt ({error}) and cannot be moved aside: "
                f"{failure}. Remove it, or name another folder as cache_dir."
            ) from failure
        warnings.warn(
            f"The feature cache {self.path} was corrupt ({error}); it was moved to "
            f"{aside.name} and starts anew.",
            stacklevel=4,
        )

    def _execute(self, query, values, writes):
        connection = sqlite3.connect(self.path, timeout=_WAIT)
        connection.text_factory = bytes  # what is text in a broken file need not be UTF-8
        try:
            with connection:  # commits, or rolls back
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS entries "
                    "(key BLOB PRIMARY KEY, value BLOB, proof BLOB, used REAL)"
                )
                run = connection.executemany if writes else connection.execute
                return run(query, values).fetchall()
        finally:
            connection.close()


class Writing:
    """Entries on their way into a cache: where it cannot be written they wait for another try."""

    def __init__(self, cache):
        self.cache, self.waiting = cache, {}
        self._try_at, self._said = 1, False

    def add(self, entries):
        """Write entries, or keep them for later, with a warning."""
        self.waiting |= entries
        if len(self.waiting) >= self._try_at:
            self._write()

    def _write(self):
        try:
            self.cache.put(self.waiting)
        except OSError as error:
            self._try_at = 2 * len(self.waiting)  # a try may wait for a minute
            if not self._said:
                warnings.warn(
                    f"Features are computed but could not be kept yet: {error}",
                    stacklevel=7,
                )
            self._said = True
        else:
            self.waiting, self._try_at = {}, 1

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.waiting:
            self._write()


def _proof(key, value):
    return hashlib.blake2b(key + value, digest_size=16).digest()


def _file_id(path):
    """Return what tells a file from another under the same name; None without one."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
