"""Data sets of other libraries, known by what they have: which item is which image."""

from collections.abc import Mapping

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    SequentialSampler,
    default_collate,
)

IMAGE_KEYS = ("image", "img", "pixel_values", "x")  # of items that are dicts


class ImagesOf(Dataset):
    """The images of a data set, without what its items hold beside them.

    Parameters
    ----------
    dataset : object with a length, and items by number
    key : int, str or None, default=None
        Where in an item the image is; None is as in `image_of`.
    """

    def __init__(self, dataset, key=None):
        self.dataset, self.key = dataset, key

    def __len__(self):
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, index):
        """Return an image as the data set gives it."""
        return image_of(self.dataset[index], self.key)

    def __repr__(self):
        return f"ImagesOf({type(self.dataset).__name__}, {len(self)} images)"


def image_of(item, key=None):
    """Return the image in an item: the first of a tuple, what a dict has under a usual key."""
    if isinstance(item, Mapping):
        known = [name for name in IMAGE_KEYS if name in item] if key is None else [key]
        if len(known) != 1 or known[0] not in item:
            raise ValueError(
                f"an item has {list(item)}, and its image is wanted under "
                f"{' or '.join(map(repr, IMAGE_KEYS if key is None else known))}, one of them; "
                "from_dataset(..., image=NAME) says which it is"
            )
        return item[known[0]]
    if isinstance(item, tuple | list) and item:
        return item[0 if key is None else key]
    return item


def is_map_style(X):
    """Return whether X gives items by their number, each when it is asked for.

    Such are the data sets of Hugging Face and their columns, and those of WILDS, which are no
    torch Datasets. Lists, arrays and tables are there already.
    """
    has = all(hasattr(X, name) for name in ("__len__", "__getitem__"))
    there = isinstance(X, str | bytes | list | tuple | Mapping)
    return has and not there and not any(hasattr(X, name) for name in ("dtype", "iloc"))


def data_set_under(loader):
    """Return the data set of a DataLoader that gives all samples as they are, in their order."""
    batches, sampler = loader.batch_sampler, loader.sampler
    if type(sampler) is not SequentialSampler or (batches is not None and _own_order(batches)):
        raise ValueError(
            "The DataLoader gives its samples in an order of its own, as with shuffle=True or a "
            "sampler; features of them would not match y. Pass its data set, loader.dataset, or a "
            "loader with shuffle=False."
        )
    if loader.collate_fn is not default_collate and batches is not None:
        raise ValueError(
            "The DataLoader has a collate_fn of its own, which may change samples, and only its "
            "data set is read. Pass loader.dataset, if its items are what you mean."
        )
    return loader.dataset


def _own_order(batches):
    return type(batches) is not BatchSampler or type(batches.sampler) is not SequentialSampler


def is_loader(X):
    """Return whether X is a DataLoader of torch."""
    return isinstance(X, DataLoader)
