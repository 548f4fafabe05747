"""Tables that others wrote: read line by line, and every value checked before it is used."""

import csv
import os
import re
from pathlib import Path

import numpy as np
from scipy.io import loadmat


class Table:
    """The samples of a text file, each value known by its line and column.

    Parameters
    ----------
    path : Path
        Comma-separated if it ends in ``.csv``, else separated by white space.
    columns : sequence of str
        The columns that are needed; of a ``.csv`` file its first line names them.
    header : str or None, default=None
        A line above the samples, of other files, that names the columns.
    advice : str
        What to do where a column is missing.

    Raises
    ------
    ValueError
        If a column is missing, or a line is cut off.
    """

    def __init__(self, path, columns, header=None, advice="Wanted is the file of the release."):
        self.path, self.columns = path, tuple(columns)
        names, lines = _csv(path) if path.suffix == ".csv" else _words(path, columns, header)
        names = [name.strip() for name in names]
        missing = [name for name in columns if name not in names]
        if missing:
            raise ValueError(
                f"{path} has no column {', '.join(map(repr, missing))}; it has "
                f"{', '.join(map(repr, names)) or 'none'}. {advice}"
            )
        at = [names.index(name) for name in columns]
        self.lines, self.rows = [], []
        for number, cells in lines:
            if len(cells) <= max(at):
                raise ValueError(
                    f"{path}, line {number}: there are {len(cells)} values of {len(names)}."
                )
            self.lines.append(number)
            self.rows.append([cells[i].strip() for i in at])

    def __len__(self):
        return len(self.rows)

    def texts(self, column):
        """Return the values of a column as they are."""
        at = self.columns.index(column)
        return [row[at] for row in self.rows]

    def codes(self, column, allowed):
        """Return the values of a column as integers, which must be allowed ones."""
        found = []
        for row, value in enumerate(self.texts(column)):
            code = int(value) if re.fullmatch(r"[+-]?[0-9]+", value) else None
            if code is None or code not in allowed:
                raise ValueError(
                    f"{self.where(row, column)} is {value!r}; it must be {_said(allowed)}."
                )
            found.append(code)
        return np.array(found, dtype=np.intp)

    def unique(self, column):
        """Return the values of a column, each with its sample; none may come twice."""
        rows = {}
        for row, value in enumerate(self.texts(column)):
            if value in rows:
                raise ValueError(
                    f"{self.where(row, column)} is {value!r}, as in line {self.lines[rows[value]]}."
                )
            rows[value] = row
        return rows

    def files(self, column, folder):
        """Return the files in a folder that a column names, as paths."""
        texts = self.texts(column)
        return [inside(folder, name, self.where(row, column)) for row, name in enumerate(texts)]

    def where(self, row, column):
        """Return how an error message calls a value."""
        return f"{self.path}, line {self.lines[row]}: {column}"


def inside(folder, name, where):
    """Return the path of a file that a table names, which must lie in the table's folder."""
    path = os.path.normpath(name)
    if not name or "\0" in name or os.path.isabs(path) or path.split(os.sep)[0] in ("..", "."):
        raise ValueError(f"{where} is {name!r}; it must be a file in {folder}.")
    return str(Path(folder) / path)


def matlab(path, *names):
    """Return variables of a MATLAB file."""
    try:
        content = loadmat(path, squeeze_me=True)
    except Exception as error:  # scipy raises what its parser stumbles over
        raise ValueError(
            f"{path} cannot be read as a MATLAB file: {type(error).__name__}: {error}"
        ) from error
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}. Wanted is the file of the release.")
    return [np.atleast_1d(content[name]) for name in names]


def whole_numbers(values, allowed, where):
    """Return the numbers of an array as integers, which must be allowed ones."""
    values = np.ravel(values)
    wrong = [v for v in values.tolist() if isinstance(v, str) or v not in allowed]
    if wrong:
        raise ValueError(f"{where} holds {wrong[0]!r}; it must be {_said(allowed)}.")
    return values.astype(np.intp)


def _said(allowed):
    if isinstance(allowed, range):
        return f"a whole number from {allowed[0]} to {allowed[-1]}" if len(allowed) else "nothing"
    return "one of " + ", ".join(map(str, allowed))


def _text(path):
    # Excel marks UTF-8; names of files need not be text at all.
    return path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")


def columns_of(path):
    """Return the names in the first line of a ``.csv`` file."""
    with _text(path) as file:
        reader = csv.reader(file)
        try:
            return [name.strip() for name in next((cells for cells in reader if cells), [])]
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error


def _csv(path):
    with _text(path) as file:
        reader = csv.reader(file)
        try:
            lines = [(reader.line_num, cells) for cells in reader if cells]
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error
    return (lines[0][1] if lines else []), lines[1:]


def _words(path, columns, header):
    """Return names and numbered rows; the last of two columns may hold spaces."""
    with _text(path) as file:
        lines = [(n, line) for n, line in enumerate(file.read().splitlines(), 1) if line.strip()]
    names = list(columns)
    if header is not None:
        at = next((i for i, (_, line) in enumerate(lines) if header in line.split()), None)
        if at is None:
            raise ValueError(f"{path} has no line that names the columns, {header!r} among them.")
        names, lines = [columns[0], *lines[at][1].split()], lines[at + 1 :]
    n_splits = len(names) - 1
    return names, [(n, line.split(maxsplit=n_splits)) for n, line in lines]
