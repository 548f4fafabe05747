"""What can be given as texts, and texts through a network, those of like length together."""

import copy
import hashlib
import warnings

from sklearn_hsfm._progress import bar
from sklearn_hsfm.extraction._batches import check_finite

WINDOW = 32  # batches whose texts are sorted by length


class Texts:
    """A sequence of texts, each checked.

    Parameters
    ----------
    X : sequence of str
        As in `TextExtractor.transform`.

    Raises
    ------
    ValueError, TypeError
        If ``X`` is no sequence of str; the row of the first that is none is named.
    """

    kind = "text"

    def __init__(self, X):
        self._items = _checked(X)
        self._rows = range(len(self._items))
        self._n_passed = len(self._items)

    def part(self, rows):
        """Return a slice; errors name its samples here."""
        part = copy.copy(self)
        part._items, part._rows = self._items[rows], self._rows[rows]
        return part

    def __len__(self):
        """Return the number of texts."""
        return len(self._items)

    def __getitem__(self, row):
        """Return a text."""
        return self._items[row]

    def key(self, row, text=None):
        """Return what identifies a text: its content."""
        return hashlib.sha256(self._items[row].encode()).digest()

    def name(self, row):
        """Return how an error message calls a text."""
        return f"the text of sample {self._rows[row]} of {self._n_passed}"


def run_texts(encode, texts, rows, batch_size, progress=False):
    """Yield the samples of each batch and their features; say at the end how many were cut.

    ``encode`` takes a list of texts; it returns their features and how many of them were too long.
    Short texts are cheap among short ones, so a window of batches is sorted by length.
    """
    n_cut = 0
    with bar(progress, total=len(rows), unit="text") as shown:
        for window in _parts(rows, WINDOW * batch_size):
            by_length = sorted(window, key=lambda row: -len(texts[row]))
            for batch in _parts(by_length, batch_size):
                values, cut = _encoded(encode, texts, batch)
                check_finite(values, batch, texts)
                n_cut += cut
                shown.update(len(batch))
                yield batch, values
    if n_cut:
        warnings.warn(
            f"{n_cut} of {len(rows)} texts that were computed are longer than max_length_; what "
            "comes after it was not read.",
            stacklevel=5,
        )


def _parts(rows, size):
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _encoded(encode, texts, batch):
    try:
        return encode([texts[row] for row in batch])
    except MemoryError:
        raise
    except Exception as error:  # of a network of somebody else's
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise ValueError(
            f"The network fails on a batch of {len(batch)} texts, {texts.name(batch[0])} among "
            f"them: {type(error).__name__}: {error}. Pass a lower max_length if it says that an "
            "index is out of range."
        ) from error


def _checked(X):
    wanted = "wanted is a list, an array or a pandas Series of str"
    sequence = hasattr(X, "__len__") and not hasattr(X, "columns")
    if not sequence or isinstance(X, str | bytes | dict | set):
        shown = "one text" if isinstance(X, str) else f"a {type(X).__name__}"
        raise TypeError(f"X is {shown}; {wanted}, one a sample.")
    if getattr(X, "ndim", 1) != 1:
        raise ValueError(
            f"X has shape {tuple(X.shape)}; {wanted}, of one dimension. Pass one column, X[:, 0]."
        )
    items = list(X)
    if not items:
        raise ValueError("There are no texts: an empty sequence was passed.")
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(
                f"Sample {row} of {len(items)} is {item!r:.60}, a {type(item).__name__}, and no "
                "str. Drop the sample, and its entry of y, or write '' for a text that is empty."
            )
        try:
            item.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Sample {row} of {len(items)} is no valid Unicode ({error.reason}): read the file "
                "that it came from with the right encoding."
            ) from error
    return [str(item) for item in items]
