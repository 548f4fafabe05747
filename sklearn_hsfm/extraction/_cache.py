"""A cache of features on disk: shared, bounded, and never wrong."""

import sqlite3
import time
import warnings
import zlib
from pathlib import Path

import numpy as np

_ASK = 500  # keys of one query


class FeatureCache:
    """Features by the hash of all that made them, in one SQLite file.

    SQLite locks and commits: two processes may write at once, and what a killed one had
    committed is there. Each entry has a checksum; one that does not match is absent.

    Parameters
    ----------
    folder : path
        Where ``features.sqlite`` lies; it is made if absent.
    max_bytes : int, default=None
        Size of the features that are kept; the longest unused go first.

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

    def __init__(self, folder, max_bytes=None):
        self.path = Path(folder) / "features.sqlite"
        self.max_bytes = max_bytes
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def get(self, keys):
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
            query = f"SELECT key, value, crc FROM features WHERE key IN ({marks})"
            for key, value, crc in self._run(query, some):
                if zlib.crc32(value) == crc:
                    found[key] = np.frombuffer(value, dtype=np.float32).copy()
        if found and self.max_bytes is not None:
            now = time.time()
            update = "UPDATE features SET used = ? WHERE key = ?"
            self._run(update, [(now, key) for key in found], many=True)
        return found

    def put(self, features):
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
            rows.append((key, value, zlib.crc32(value), now))
        self._run("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)", rows, many=True)
        if self.max_bytes is not None:
            self._shrink()

    def clear(self):
        """Forget all entries."""
        self._run("DELETE FROM features")

    def __len__(self):
        """Return the number of entries."""
        return self._run("SELECT COUNT(*) FROM features")[0][0]

    def _shrink(self):
        total = self._run("SELECT COALESCE(SUM(LENGTH(value)), 0) FROM features")[0][0]
        if total <= self.max_bytes:
            return
        drop = []
        for key, size in self._run("SELECT key, LENGTH(value) FROM features ORDER BY used"):
            if total <= self.max_bytes:
                break
            drop.append((key,))
            total -= size
        self._run("DELETE FROM features WHERE key = ?", drop, many=True)

    def _run(self, query, values=(), many=False):
        try:
            return self._execute(query, values, many)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked for a minute, disk full, no permission: not corruption
            aside = self.path.with_suffix(f".broken-{time.time_ns()}")
            self.path.rename(aside)
            warnings.warn(
                f"The feature cache {self.path} was corrupt ({error}); it was moved to "
                f"{aside.name} and starts anew.",
                stacklevel=4,
            )
            return self._execute(query, values, many)

    def _execute(self, query, values, many):
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            with connection:  # commits, or rolls back
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS features "
                    "(key BLOB PRIMARY KEY, value BLOB, crc INTEGER, used REAL)"
                )
                run = connection.executemany if many else connection.execute
                return run(query, values).fetchall()
        finally:
            connection.close()
