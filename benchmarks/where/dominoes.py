"""Where the shortcut of Dominoes is: regions, masks and rows for a repair, on its images."""

import warnings

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from benchmarks.from_images import enlarged
from benchmarks.tables import markdown, page
from benchmarks.where._common import area, dominoes_images, erm, extractor_of, worst_and_average
from sklearn_hsfm.heads import ExtraRowsClassifier
from sklearn_hsfm.inspection import find_regions, masked_sensitivity

TITLE = "# Where the shortcut of Dominoes is"
N_SEARCHED, N_MASKED, N_EXTRA = 1000, 800, 2000
WEIGHTS = (1, 4, 16)


def run(args):
    """Return the tables."""
    data, reason = dominoes_images(args)
    if data is None:
        return page(TITLE, reason)
    extractor = extractor_of(args, enlarged).fit(data["X_train"])
    features = {s: extractor.transform(data[f"X_{s}"]) for s in ("train", "test")}
    found, masked, repaired = [], [], []
    for seed in range(args.seeds):
        for labels in ("real", "shuffled"):
            one = _search(data, features, extractor, labels, seed)
            found.append(one[0])
            masked.append(one[1])
        repaired += _repairs(data, features, extractor, seed)
    return page(
        TITLE,
        f"{args.network}, frozen; {N_SEARCHED} test images are searched and {N_MASKED} masked, "
        "upper and lower halves as regions; the digit is the lower half. Shuffled: labels of both "
        "training and test images.",
        markdown(["labels", "seed", "found", "regions pointed to", "in the lower half"], found),
        markdown(
            ["labels", "seed", "AUC as given", "car or truck masked", "alone",
             "masked, training images"], masked,
        ),
        f"Samples for a repair, made of {N_EXTRA} training images, beside all training samples: "
        "worst group and average on the test images. Regions were found on validation images.",
        markdown(["rows", "weight", "seed", "worst group", "average"], repaired),
    )  # fmt: skip


def _search(data, features, extractor, labels, seed):
    """Return a row of what was found, and one of what is told with masks."""
    rng = np.random.RandomState(seed)
    y_train, y_test = data["y_train"], data["y_test"]
    if labels == "shuffled":
        y_train, y_test = rng.permutation(y_train), rng.permutation(y_test)
    head = erm().fit(features["train"], y_train)
    order = rng.permutation(len(y_test))
    rows = order[:N_SEARCHED]
    found = find_regions(
        extractor, data["X_test"][rows], y_test[rows], head, grid=(2, 1), random_state=seed
    )
    pointed = found.pointed[found.cluster]
    share = f"{np.mean(found.boxes[pointed][:, 1] >= 32):.1%}" if pointed.any() else "-"
    model = make_pipeline(FrozenEstimator(extractor), head)
    rows = order[:N_MASKED]
    upper = np.zeros((len(rows), 64, 32), dtype=bool)
    upper[:, :32] = True
    told = masked_sensitivity(model, data["X_test"][rows], upper, y_test[rows], random_state=seed)
    seen = rng.permutation(len(y_train))[:N_MASKED]
    also = masked_sensitivity(
        model, data["X_train"][seen], upper[: len(seen)], y_train[seen], random_state=seed
    )
    areas = [area(told, k) for k in range(3)] + [area(also, 1)]
    return (labels, seed, found.found_, pointed.sum(), share), (labels, seed, *areas)


def _repairs(data, features, extractor, seed):
    """Return a row for ERM, and for each kind and weight of rows for a repair."""
    rng = np.random.RandomState(seed)
    head = erm().fit(features["train"], data["y_train"])
    tested = features["test"], data["y_test"], data["group_test"]
    rows = rng.permutation(len(data["y_val"]))[:N_SEARCHED]
    found = find_regions(
        extractor, data["X_val"][rows], data["y_val"][rows], head, grid=(2, 1), random_state=seed
    )
    table = [("none (ERM)", "-", seed, *worst_and_average(head, *tested))]
    if not found.found_:
        return table
    rows = rng.permutation(len(data["y_train"]))[:N_EXTRA]
    for how in ("swapped", "masked", "regions"):
        X, y, weight = found.extra_rows(
            extractor, data["X_train"][rows], data["y_train"][rows], how=how, grid=(2, 1),
            random_state=seed,
        )  # fmt: skip
        for factor in WEIGHTS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # regions alone look unlike images, as they must
                clf = ExtraRowsClassifier().fit(
                    features["train"], data["y_train"],
                    X_extra=X, y_extra=y, extra_weight=factor * weight,
                )  # fmt: skip
            table.append((how, factor, seed, *worst_and_average(clf, *tested)))
    return table
