"""From the options of a command to features."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_hsfm._cli._errors import say
from sklearn_hsfm._cli._head_file import described, origin_of
from sklearn_hsfm.datasets import load_features, load_image_folder, load_image_table
from sklearn_hsfm.datasets._image_sets import SPLITS
from sklearn_hsfm.datasets._image_tables import image_column
from sklearn_hsfm.datasets._npz import read_npz
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.extraction._image_files import image_files, shown


def read(args, splits=SPLITS):
    """Return splits as `load_features` does, ``names_*`` of their samples, and ``origin``.

    Labels of images are the names of their classes; ``images`` are those to train on, or None.
    """
    data = _loaded(args)
    for split in set(SPLITS) - set(splits):
        data.update({f"{name}_{split}": None for name in ("X", "y", "groups")})
    for split in SPLITS:
        X = data[f"X_{split}"]
        data[f"names_{split}"] = None if X is None else _names(X, f"X_{split}")
    data.origin, data.images = {}, None
    if _are_images(data.X_train):
        data.images = data.X_train
        extractor = _extractor(args, args.backbone, args.weights, data.X_train)
        for split in SPLITS:
            if data[f"X_{split}"] is not None:
                data[f"X_{split}"] = _transformed(extractor, data[f"X_{split}"], split)
        data.origin = origin_of(extractor)
    return data


def read_for(head, args):
    """Return the features that a head is applied to, and the names of their samples."""
    arrays = _unlabelled(args)
    backbone, first = head.origin_["backbone"], next(iter(arrays.values()))
    if not _are_images(first):
        if backbone:
            raise ValueError(
                f"The head is for features that {backbone!r} makes of images, which cannot be told "
                "of features in a file. Pass the images: --images, --table, or --data with images."
            )
        X = np.concatenate(list(arrays.values()))
        if X.shape[1:] != (head.n_features_in_,):
            raise ValueError(
                f"{args.data} has features of shape {X.shape[1:]}, and the head is for "
                f"({head.n_features_in_},): it was fitted on others."
            )
    else:
        extractor = _same_extractor(head, args, first)
        X = np.concatenate([_transformed(extractor, a, name) for name, a in arrays.items()])
    return X, [name for key, array in arrays.items() for name in _names(array, key)]


def _loaded(args):
    if args.data is not None:
        data = load_features(args.data)
        return Bunch(**data)
    if args.images is not None:
        attribute = args.attribute or [None]
        if len(attribute) > 1:
            raise ValueError("--attribute may be given once with --images: one level of folders.")
        data = load_image_folder(args.images, attribute=attribute[0])
    else:
        data = load_image_table(
            args.table,
            folder=args.image_folder,
            image=args.image_column,
            label=args.label_column,
            split=None if args.split_column == "none" else args.split_column,
            attributes=args.attribute or "auto",
            group=args.group_column,
        )
    for split in SPLITS:
        if data[f"y_{split}"] is not None:
            data[f"y_{split}"] = data.target_names[data[f"y_{split}"]]
    return Bunch(head=None, **data)


def _unlabelled(args):
    """Return images or features by the name of what holds them."""
    if args.table is not None:
        return {
            "images": image_column(args.table, folder=args.image_folder, image=args.image_column)
        }
    if args.images is not None:
        if not Path(args.images).is_dir():
            raise FileNotFoundError(f"No folder of images at {Path(args.images).absolute()}.")
        files = [str(path) for path in image_files(args.images)]
        if not files:
            raise ValueError(f"{args.images} holds no images.")
        return {"images": files}
    path = Path(args.data)
    if not path.is_file():
        raise FileNotFoundError(f"No file of features at {path.absolute()}.")
    arrays = read_npz(path)
    keys = ["X"] if "X" in arrays else [f"X_{split}" for split in SPLITS if f"X_{split}" in arrays]
    if not keys:
        raise ValueError(f"{path} holds {sorted(arrays)}; wanted X, or X_train, X_val or X_test.")
    for key in keys:
        if arrays[key].ndim not in (2, 4) or arrays[key].dtype.kind not in "fiub":
            raise ValueError(
                f"{path} has {key} of shape {arrays[key].shape} and dtype {arrays[key].dtype}; it "
                "must be numbers of shape (n_samples, n_features), or images."
            )
    return {key: arrays[key] for key in keys}


def _are_images(X):
    return isinstance(X, list) or X.ndim > 2


def _names(X, key):
    if isinstance(X, list):
        return [shown(path) for path in X]
    return [f"{key}[{row}]" for row in range(len(X))]


def _extractor(args, backbone, weights, X):
    """Return an extractor that is fitted on one image."""
    known = {"default": "DEFAULT", "none": None}
    extractor = FeatureExtractor(
        backbone,
        weights=known.get(weights, weights),
        batch_size=args.batch_size,
        device=args.device,
        cache_dir=args.cache_dir,
    )
    return extractor.fit(X[:1])


def _same_extractor(head, args, X):
    """Return the extractor whose features a head was fitted on."""
    origin = head.origin_
    if not origin["backbone"]:
        raise ValueError("The head was fitted on features of a file, not on images. Pass --data.")
    backbone, weights = args.backbone or origin["backbone"], args.weights or origin["weights"]
    if args.backbone is None and ("/" in backbone or "\\" in backbone):
        raise ValueError(
            "The head names a backbone of somebody's repository. Say that you trust it: "
            f"--backbone {backbone}"
        )
    if args.weights is None and weights == "file":
        raise ValueError(f"The weights of {backbone} were a file. Name it: --weights FILE.")
    extractor = _extractor(args, backbone, weights, X)
    if extractor.backbone_id_ != origin["backbone_id"]:
        raise ValueError(
            f"{backbone} with weights {weights} is not the network that the head was fitted on. "
            "Pass its --backbone and --weights."
        )
    if described(extractor) != origin["preprocess"]:
        raise ValueError(
            f"Images go through {described(extractor)} here, and went through "
            f"{origin['preprocess']} when the head was fitted, by sklearn_hsfm "
            f"{origin['version']}. Install the versions of then, or fit anew."
        )
    return extractor


def _transformed(extractor, X, what):
    say(f"{what}: {extractor.backbone} reads {len(X)}")
    return extractor.transform(X)
