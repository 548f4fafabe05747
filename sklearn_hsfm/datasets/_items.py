"""Labels, attributes and images of one data set, whichever library it is of."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset

from sklearn_hsfm._progress import bar
from sklearn_hsfm.extraction._data_sets import ImagesOf

_LABEL_KEYS = ("label", "labels", "y")
_OFFERED = ("y_array", "targets", "labels")  # of WILDS, of torchvision, of SpuCo
_PROOFS = 100  # items that are compared with what is offered
_SMALL = 1024  # values beside an image that are kept


def source(dataset, split):
    """Return what a data set says, as `HuggingFace` or `Items`."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise TypeError(
            f"{split} is a {type(dataset).__name__}, which has no items by number; a data set that "
            "streams has to be loaded whole first."
        )
    try:
        n_samples = len(dataset)
    except Exception as error:  # of somebody else's data set
        raise TypeError(
            f"{split} is a {type(dataset).__name__} without a length ({type(error).__name__}: "
            f"{error}). A SpuCo data set needs initialize() first."
        ) from error
    if not n_samples:
        raise ValueError(f"{split} has no samples.")
    is_table = all(hasattr(dataset, name) for name in ("column_names", "features", "with_format"))
    return (HuggingFace if is_table else Items)(dataset, split)


class HuggingFace:
    """A table of Hugging Face: columns are read as they are stored."""

    def __init__(self, dataset, split):
        transformed = dataset.format["type"] == "custom"
        self.split, self.stored = split, dataset.with_format(None)
        self.dataset = dataset if transformed else self.stored
        self.features = self.stored.features

    def labels(self, name):
        """Return the labels, and the names of the classes or None."""
        classes = [c for c, f in self.features.items() if type(f).__name__ == "ClassLabel"]
        usual = [c for c in _LABEL_KEYS if c in self.features]
        name = self._column("label", name, usual if len(usual) == 1 else classes)
        values, names = list(self.stored[name]), getattr(self.features[name], "names", None)
        missing = [k for k, v in enumerate(values) if v is None or (names and v < 0)]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(values)} samples of {self.split} have no {name!r}, first "
                f"number {missing[0]}. Leave them, or that split, out."
            )
        return [_label(v, k, self.split) for k, v in enumerate(values)], names

    def attributes(self, names):
        """Return columns by name, as text."""
        columns = {}
        for name in [] if names == "auto" else names:
            column = self._column("attributes", name, [])
            texts = getattr(self.features[column], "names", None)
            values = self.stored[column]
            columns[column] = [_text(v if texts is None else texts[v]) for v in values]
        return columns

    def images(self, name):
        """Return what `FeatureExtractor` takes: images one by one, or a list of paths or texts."""
        if name not in self.features and name != "auto" and self.dataset is not self.stored:
            return checked(ImagesOf(self.dataset, name), self.split)  # what a transform makes
        found = [c for c, f in self.features.items() if type(f).__name__ == "Image"]
        column = self._column("image", name, found)
        if getattr(self.features[column], "dtype", None) in ("string", "large_string"):
            return list(self.stored[column])
        if getattr(self.features[column], "decode", True) is False:
            raise ValueError(
                f"The images of {self.split} are not decoded. Pass dataset.cast_column({column!r}, "
                "datasets.Image())."
            )
        whole = self.dataset is not self.stored
        rows = self.dataset if whole else self.stored.select_columns([column])
        return checked(ImagesOf(rows, column), self.split)

    def _column(self, role, name, found):
        if name == "auto" and len(found) == 1:
            return found[0]
        if name == "auto" or name not in self.features:
            problem = f"no column {name!r}" if name != "auto" else f"{len(found)} that may be it"
            raise ValueError(
                f"{self.split} has {problem}; it has {', '.join(map(repr, self.features))}. Name "
                f"the column, {role}=NAME."
            )
        return name


class Items:
    """A data set of torch, WILDS or SpuCo: items by number, and what is offered beside them."""

    def __init__(self, dataset, split):
        self.dataset, self.split, self.n_samples = dataset, split, len(dataset)

    def labels(self, name):
        """Return the labels, and the names of the classes or None."""
        names = None
        if name == "auto":
            offered = self._offered_labels()
            own = _inner(self.dataset, "metadata_map") or {}
            names = own.get("y", _inner(self.dataset, "classes"))
            if offered is not None:
                if self._agree(offered):
                    return offered, _class_names(names, offered)
                names = None  # the items have labels of their own
        found = self._beside(name, "label", _LABEL_KEYS, 1)
        labels = [_label(value, k, self.split) for k, value in enumerate(found)]
        return labels, _class_names(names, labels)

    def attributes(self, names):
        """Return attributes by name, as text."""
        fields = list(_inner(self.dataset, "metadata_fields") or [])
        if isinstance(names, str):
            names = self._usual(fields)
        columns = {}
        for name in names:
            if name in fields:
                columns[name] = self._field(fields.index(name), name)
                continue
            offered = self._offered(name) if isinstance(name, str) else None
            called = name if isinstance(name, str) else "attribute" + f"{name}" * (len(names) > 1)
            values = self._beside(name, "attributes", (), None) if offered is None else offered
            columns[called] = [_text(value) for value in values]
        return columns

    def images(self, name):
        """Return the images one by one."""
        return checked(ImagesOf(self.dataset, None if name == "auto" else name), self.split)

    def _usual(self, fields):
        if hasattr(self.dataset, "num_groups") and hasattr(self.dataset, "group"):
            return ["group"]  # of SpuCo's wrapper: groups that were inferred, not those known
        grouper = _inner(self.dataset, "_eval_grouper")
        by = list(getattr(grouper, "groupby_fields", None) or [])
        if by:
            return [name for name in by if name in fields and name != "y"]
        return ["spurious"] if _offered(self.dataset, "spurious") is not None else []

    def _offered(self, name):
        """Return an attribute by name, or None; SpuCo's wrapper has groups of its whole."""
        if name == "group" and hasattr(self.dataset, "num_groups"):
            return [self.dataset.group[k] for k in self.dataset.indices]
        return _offered(self.dataset, name)

    def _field(self, at, name):
        """Return a field of WILDS' metadata, in the words that it has for it."""
        values = np.asarray(_offered(self.dataset, "metadata_array"))[:, at].tolist()
        words = (_inner(self.dataset, "metadata_map") or {}).get(name)
        return [_text(v if words is None else words[int(v)]) for v in values]

    def _offered_labels(self):
        for name in _OFFERED:
            offered = _offered(self.dataset, name)
            if offered is not None:
                return [_label(value, k, self.split) for k, value in enumerate(offered)]
        return None

    def _agree(self, offered):
        """Return whether one item of each class, and the last, have the labels that are offered."""
        first = {label: k for k, label in reversed(list(enumerate(offered)))}
        for k in {*list(first.values())[:_PROOFS], self.n_samples - 1}:
            value = _part(self._item(k), "auto", _LABEL_KEYS, 1)
            if value is not None and _label(value, k, self.split) != offered[k]:
                return False
        return True

    def _beside(self, name, role, keys, position):
        """Return what stands beside each image, from one pass over all items."""
        found = [_part(item, name, keys, position) for item in self._kept]
        missing = next((k for k, value in enumerate(found) if value is None), None)
        if missing is not None:
            item = self._item(missing)
            shown = list(item) if isinstance(item, Mapping) else type(item).__name__
            if isinstance(item, tuple | list):
                shown = [type(part).__name__ for part in item]
            raise ValueError(
                f"Item {missing} of {self.split} is {shown}, where {role}={name!r} is no single "
                f"value. Say where it stands, {role}=POSITION or {role}=KEY."
            )
        return found

    @cached_property
    def _kept(self):
        """All items without what is large in them."""
        numbers = bar("auto", range(self.n_samples), unit="sample", desc=self.split)
        return [_without_large(self._item(k)) for k in numbers]

    def _item(self, k):
        try:
            return self.dataset[k]
        except Exception as error:  # of somebody else's data set
            raise ValueError(
                f"The data set {self.split} fails at item {k}: {type(error).__name__}: {error}"
            ) from error


def checked(images, split):
    """Return images, if the first one is where it is said to be."""
    try:
        images[0]
    except Exception as error:  # of somebody else's data set, too
        raise ValueError(f"Item 0 of {split}: {type(error).__name__}: {error}") from error
    return images


def _part(item, name, keys, position):
    """Return a part of an item, or None."""
    if isinstance(item, Mapping):
        known = [key for key in keys if key in item] if name == "auto" else [name]
        return item.get(known[0]) if len(known) == 1 else None
    name = position if name == "auto" else name
    if not isinstance(item, tuple | list) or not isinstance(name, int):
        return None
    return item[name] if -len(item) <= name < len(item) else None


def _without_large(item):
    if isinstance(item, Mapping):
        return {key: _if_small(value) for key, value in item.items()}
    return tuple(map(_if_small, item)) if isinstance(item, tuple | list) else None


def _if_small(value):
    if isinstance(value, Tensor | np.ndarray):
        return value if value.ndim < 2 and np.prod(value.shape) <= _SMALL else None
    return value if isinstance(value, str | int | float | np.generic | tuple) else None


def _offered(dataset, name):
    """Return the values that a data set offers for its samples, through subsets, or None."""
    values = getattr(dataset, name, None)
    if values is not None and hasattr(values, "__len__") and len(values) == len(dataset):
        return values
    inner, at = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if inner is None or at is None or len(at) != len(dataset):
        return None
    values = _offered(inner, name)
    return None if values is None else [values[int(k)] for k in at]


def _inner(dataset, name):
    """Return what a data set, or the one that it is made of, has as an attribute."""
    while dataset is not None:
        value = getattr(dataset, name, None)
        if value is not None:
            return value
        dataset = getattr(dataset, "dataset", None)
    return None


def _class_names(names, labels):
    """Return the names of classes, if labels are their numbers."""
    if names is None or not all(isinstance(name, str) for name in names):
        return None
    fit = all(isinstance(k, int) and 0 <= k < len(names) for k in labels)
    return [name.strip() for name in names] if fit else None


def _plain(value):
    """Return a value as Python's own."""
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _label(value, row, split):
    """Return a label as an integer or text."""
    plain = _plain(value)
    while isinstance(plain, list | tuple) and len(plain) == 1:
        (plain,) = plain
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if not isinstance(plain, str | int):
        raise ValueError(
            f"The label of item {row} of {split} is {plain!r}; it must be a number or name of a "
            "class. Say where labels stand, label=NAME."
        )
    return int(plain) if isinstance(plain, bool) else plain


def _text(value):
    """Return a value of an attribute as text."""
    plain = _plain(value)
    if plain is None or plain != plain:
        raise ValueError("An attribute is missing (None or NaN). Fill it, or leave it out.")
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    parts = plain if isinstance(plain, list | tuple) else [plain]
    return ",".join(str(part).strip() for part in parts)
