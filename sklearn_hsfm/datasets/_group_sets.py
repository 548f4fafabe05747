"""Image sets with a shortcut, in the folder formats that their authors ship."""

import re
from typing import Literal

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sklearn_hsfm._typing import FilePath, RandomStateLike
from sklearn_hsfm.datasets._image_sets import SPLITS, folder_with, image_bunch
from sklearn_hsfm.datasets._tables import Table
from sklearn_hsfm.extraction._image_files import image_files


def load_waterbirds(folder: FilePath) -> Bunch:
    """Return Waterbirds: birds of two kinds, cut out onto land and water.

    Parameters
    ----------
    folder : path
        The unpacked release: ``metadata.csv`` and the image folders beside it.

    Returns
    -------
    Bunch
        ``X_train``, ``X_val``, ``X_test`` : images, here paths; ``y_*`` : ndarray of shape (n,),
        indices into ``target_names``; ``groups_*`` : ndarray of shape (n,), text such as
        "y=waterbird place=land"; ``attribute`` : what groups tell apart beside the class;
        ``counts`` : images by split and group; ``differences`` : list of str, where these are
        not the paper's.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of these files; the message says which.
    ValueError
        If ``metadata.csv`` lacks a column, or holds a code that is none or a file outside of the
        folder; the message names file, line and column.

    Notes
    -----
    The paper prints 1,018 training images of waterbirds on water; the release has 1,057.
    """
    folder = folder_with(folder, "metadata.csv")
    places, birds = ("land", "water"), ("landbird", "waterbird")
    table = Table(folder / "metadata.csv", ("img_filename", "y", "split", "place"))
    images, y = (
        np.array(table.files("img_filename", folder), dtype=object),
        table.codes("y", (0, 1)),
    )
    part, place = table.codes("split", (0, 1, 2)), table.codes("place", (0, 1))
    rows = {}
    for k, split in enumerate(SPLITS):
        here = part == k
        rows[split] = images[here].tolist(), y[here], [places[p] for p in place[here]]
    paper = {
        "train": (3498, 184, 56, 1018),
        "val": (467, 466, 133, 133),
        "test": (2255, 2255, 642, 642),
    }
    groups = [f"y={bird} place={place}" for bird in birds for place in places]
    paper = {split: dict(zip(groups, n, strict=True)) for split, n in paper.items()}
    return image_bunch(rows, birds, "place", paper, "Table 5")


def load_celeba(
    folder: FilePath,
    *,
    variant: Literal["balanced", "full", "star"] = "balanced",
    random_state: RandomStateLike = 0,
) -> Bunch:
    """Return CelebA: is the hair blond, with few blond men.

    Parameters
    ----------
    folder : path
        Images in ``img_align_celeba``, and ``list_attr_celeba`` and ``list_eval_partition`` as
        ``.txt``, as its authors and torchvision have them, or as ``.csv``.
    variant : {"balanced", "full", "star"}, default="balanced"
        "balanced" draws as many training images that are not blond as are, as the paper's
        Table 6; "full" takes all; "star" is the paper's CelebA*, Table 7: two small groups of
        100 and two of 5,000, and 100 of each to validate and to test.
    random_state : int, RandomState instance or None, default=0
        Draws the images of "balanced" and "star".

    Returns
    -------
    Bunch
        As of `load_waterbirds`.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of these files; the message says which.
    ValueError
        As of `load_waterbirds`.
    """
    if variant not in ("balanced", "full", "star"):
        raise ValueError(f"variant={variant!r}; it must be 'balanced', 'full' or 'star'.")
    folder = folder_with(folder, "img_align_celeba")
    images = folder / "img_align_celeba"
    images = images / "img_align_celeba" if (images / "img_align_celeba").is_dir() else images
    traits = _celeba_table(folder, "list_attr_celeba", "Blond_Hair", "Male")
    split_of = _celeba_table(folder, "list_eval_partition", "partition")
    row_of, part_of = traits.unique("image_id"), split_of.unique("image_id")
    lacking = [name for name in row_of if name not in part_of]
    if lacking:
        raise ValueError(
            f"{split_of.path} has no line for {len(lacking)} of the {len(row_of)} images of "
            f"{traits.path.name}, first {lacking[0]}. Restore the file of the release."
        )
    names = sorted(row_of)
    at = [row_of[name] for name in names]
    blond = (traits.codes("Blond_Hair", (-1, 1))[at] > 0).astype(int)
    sex = np.where(traits.codes("Male", (-1, 1))[at] > 0, "male", "female")
    part = split_of.codes("partition", (0, 1, 2))[[part_of[name] for name in names]]
    files = traits.files("image_id", images)
    rng = check_random_state(random_state)
    rows = {}
    for k, split in enumerate(SPLITS):
        here = _celeba_variant(np.flatnonzero(part == k), blond, sex, variant, split, rng)
        rows[split] = [files[at[row]] for row in here], blond[here], sex[here]
    paper = {
        "train": (12426, 11841, 22880, 1387),
        "val": (8535, 8276, 2874, 182),
        "test": (9767, 7535, 2480, 180),
    }
    if variant == "star":
        paper = {"train": (100, 5000, 5000, 100), "val": (100,) * 4, "test": (100,) * 4}
    groups = [f"y={y} sex={s}" for y in ("not blond", "blond") for s in ("female", "male")]
    paper = {split: dict(zip(groups, n, strict=True)) for split, n in paper.items()}
    source = "Table 7" if variant == "star" else "Table 6"
    return image_bunch(rows, ("not blond", "blond"), "sex", paper, source)


def _celeba_variant(rows, blond, sex, variant, split, rng):
    if variant == "balanced" and split == "train":
        dark, fair = rows[blond[rows] == 0], rows[blond[rows] == 1]
        return np.sort(np.r_[rng.permutation(dark)[: len(fair)], fair])
    if variant == "star":
        kept = []
        for y, s in ((0, "female"), (0, "male"), (1, "female"), (1, "male")):
            large = split == "train" and (y == 1) == (s == "female")
            mine = rows[(blond[rows] == y) & (sex[rows] == s)]
            kept.append(rng.permutation(mine)[: 5000 if large else 100])
        return np.sort(np.concatenate(kept))
    return rows


def _celeba_table(folder, name, *columns):
    """Return an annotation file, as text of its authors or as ``.csv``."""
    columns = "image_id", *columns
    if (folder / f"{name}.csv").is_file():
        return Table(folder / f"{name}.csv", columns)
    folder_with(folder, f"{name}.txt")
    header = columns[1] if name == "list_attr_celeba" else None  # the other has no such line
    return Table(folder / f"{name}.txt", columns, header)


def load_metashift(folder: FilePath) -> Bunch:
    """Return MetaShift's cats and dogs, trained in some places and tested on shelves.

    Parameters
    ----------
    folder : path
        Folders ``train``, ``test`` and optionally ``val`` (or ``val_out_of_domain``); in each
        ``cat`` and ``dog``, and in these one folder a context, ``sofa`` or ``cat(sofa)``.

    Returns
    -------
    Bunch
        As of `load_waterbirds`.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of these files; the message says which.
    """
    folder = folder_with(folder, "train", "test")
    animals, rows = ("cat", "dog"), {}
    for split in SPLITS:
        for at in (folder / split, folder / f"{split}_out_of_domain"):
            if not at.is_dir():
                continue
            images, y, contexts = rows.setdefault(split, ([], [], []))
            for path in image_files(at):
                animal, context = path.relative_to(at).parts[0], path.parent.name
                if animal in animals:
                    images.append(str(path))
                    y.append(animals.index(animal))
                    contexts.append(re.sub(r".*\((.*)\)", r"\1", context))
            if not images:
                raise FileNotFoundError(f"{at} holds no images in folders {' and '.join(animals)}.")
    train = {"y=cat context=sofa": 231, "y=cat context=bed": 380}
    train |= {"y=dog context=bench": 145, "y=dog context=bike": 367}
    shelf = ("y=cat context=shelf", "y=dog context=shelf")
    paper = {
        "train": train,
        "val": dict(zip(shelf, (34, 47), strict=True)),
        "test": dict(zip(shelf, (201, 259), strict=True)),
    }
    return image_bunch(rows, animals, "context", paper, "Table 10")


def load_dominoes(
    folder: FilePath, *, download: bool = False, random_state: RandomStateLike = 0
) -> Bunch:
    """Return Dominoes: a car or truck of CIFAR-10 above a 0 or 1 of MNIST.

    Training and validation images come from the training sets of both, no image twice, test
    images from their test sets. Images are uint8 arrays (n, 64, 32, 3).

    Parameters
    ----------
    folder : path
        Where torchvision keeps ``cifar-10-batches-py`` and ``MNIST``.
    download : bool, default=False
        Let torchvision download what is missing; it knows the checksums.
    random_state : int, RandomState instance or None, default=0
        Pairs the images.

    Returns
    -------
    Bunch
        As of `load_waterbirds`.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of these files; the message says which.
    ValueError
        If one of them is damaged.
    """
    from torchvision import datasets as torch_sets

    rng = check_random_state(random_state)
    table = {"train": (3592, 398, 398, 3592), "val": (500, 499, 499, 500), "test": (490,) * 4}
    pools = {}
    for train in (True, False):
        try:
            vehicles = torch_sets.CIFAR10(folder, train=train, download=download)
            digits = torch_sets.MNIST(folder, train=train, download=download)
        except RuntimeError as error:
            raise FileNotFoundError(
                f"{folder} lacks CIFAR-10 or MNIST ({error}). Put cifar-10-batches-py and "
                "MNIST/raw there, or pass download=True."
            ) from error
        except Exception as error:  # of its parser, which has no words of its own
            raise ValueError(
                f"{folder} holds CIFAR-10 or MNIST damaged: {type(error).__name__}: {error}"
            ) from error
        labels, pixels = np.array(vehicles.targets), digits.data.numpy()
        pools[train] = (
            [iter(rng.permutation(np.flatnonzero(labels == c))) for c in (1, 9)],
            [iter(rng.permutation(np.flatnonzero(digits.targets.numpy() == d))) for d in (0, 1)],
            vehicles.data,
            np.pad(pixels, ((0, 0), (2, 2), (2, 2))),
        )
    rows = {}
    for split, sizes in table.items():
        vehicles, digits, tops, bottoms = pools[split != "test"]
        images, y, attribute = [], [], []
        for (c, d), n in zip(((0, 0), (0, 1), (1, 0), (1, 1)), sizes, strict=True):
            for _, top, bottom in zip(range(n), vehicles[c], digits[d], strict=False):
                below = np.repeat(bottoms[bottom][..., None], 3, axis=-1)
                images.append(np.concatenate([tops[top], below]))
                y.append(c)
                attribute.append(str(d))
        rows[split] = np.array(images, dtype=np.uint8), y, attribute
    groups = [f"y={v} digit={d}" for v in ("car", "truck") for d in (0, 1)]
    paper = {split: dict(zip(groups, n, strict=True)) for split, n in table.items()}
    return image_bunch(rows, ("car", "truck"), "digit", paper, "Table 8")
