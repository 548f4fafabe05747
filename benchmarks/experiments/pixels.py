"""Pixels: methods that hide or recombine parts of images, on Dominoes with a small network."""

import time
import warnings

import numpy as np

from benchmarks.columns import DOMINOES_IMAGES, arrays_of
from benchmarks.networks import small_erm
from benchmarks.runs import machine, run_missing, versions
from benchmarks.tables import cell, made_on, markdown, of, page, seconds, values
from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.finetuning import DaCClassifier, MaskTuneClassifier
from sklearn_hsfm.heads import ExtraRowsClassifier
from sklearn_hsfm.metrics import group_scores

NOTHING = 1e6  # standard deviations above which nothing is salient
METHODS = {  # from the fitted network, its extractor and a seed to what is fitted on images
    "MaskTune": lambda erm, extractor, seed: MaskTuneClassifier(
        erm, augment=None, random_state=seed
    ),
    "one more epoch, nothing masked": lambda erm, extractor, seed: MaskTuneClassifier(
        erm, n_std=NOTHING, augment=None, random_state=seed
    ),
    "DaC, salient": lambda erm, extractor, seed: DaCClassifier(extractor, random_state=seed),
    "DaC, rest": lambda erm, extractor, seed: DaCClassifier(
        extractor, foreground="rest", random_state=seed
    ),
}


def run(context):
    """Return the table."""
    title = "# Pixels: hidden or recombined, on Dominoes"
    path = context.data_dir / DOMINOES_IMAGES
    tasks = {(seed,): (path, seed) for seed in range(context.seeds)} if path.is_file() else {}
    records = run_missing("pixels", ("seed",), tasks, _records, context)
    if not records:
        return page(title, f"* **Dominoes: absent.** Looked for {path}.")
    names = list(dict.fromkeys(r["method"] for r in records))
    body = [
        [
            name,
            cell(values(records, "worst", method=name)),
            cell(values(records, "average", method=name)),
            ", ".join(f"{r['worst']:.3f}" for r in of(records, method=name)),
            seconds(values(records, "seconds", method=name)),
            _mean(records, name, "upper"),
            _mean(records, name, "lower"),
        ]
        for name in names
    ]
    return page(
        title,
        "A network of three convolutions is trained by ERM on the training images of Dominoes, 64 "
        "x 32 pixels, the validation images choose its epoch; the digit below gives the class of "
        "the car or truck above away. Each seed trains another network, from which all methods "
        "start. Refit: a regression on the features of the training images, as DaC fits without "
        "its images. `HSFMClassifierCV` sees the validation labels, too. Test images; mean ± "
        "standard deviation over the seeds, and each of them. Hidden: the share of the upper and "
        f"the lower half of training images that MaskTune masks. {made_on(records)}.",
        markdown(
            ["method", "worst group", "average", "worst group of each seed", "seconds",
             "hidden above", "below"],
            body,
        ),
    )  # fmt: skip


def _mean(records, name, half):
    known = [r[half] for r in of(records, method=name) if r[half] is not None]
    return f"{np.mean(known):.1%}" if known else "-"


def _records(path, seed):
    """Return a record of each method on the network of a seed."""
    data = arrays_of(path)
    X, y, known = data["X_train"], data["y_train"], (data["X_val"], data["y_val"])
    start = time.perf_counter()
    erm = small_erm(seed).fit(X, y, *known)
    found = [_record("ERM", erm, data["X_test"], data, seed, start)]
    start = time.perf_counter()
    extractor = FeatureExtractor(erm, precision="float32").fit(X)
    features = {s: extractor.transform(data[f"X_{s}"]) for s in ("train", "val", "test")}
    refit = ExtraRowsClassifier().fit(features["train"], y)
    found.append(_record("refit", refit, features["test"], data, seed, start))
    for name, make in METHODS.items():
        start = time.perf_counter()
        clf = make(erm, extractor, seed)
        hides = isinstance(clf, MaskTuneClassifier)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf.fit(X, y, *(known if hides else ()))
        masks = clf.masks(X[:1000]) if hides else None
        found.append(_record(name, clf, data["X_test"], data, seed, start, masks))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repaired = HSFMClassifierCV(init_head=erm, random_state=seed)
        repaired.fit(features["train"], y, features["val"], data["y_val"])
    found.append(_record("HSFMClassifierCV", repaired, features["test"], data, seed, start))
    return found


def _record(name, clf, X, data, seed, start, masks=None):
    taken = time.perf_counter() - start
    scores = group_scores(data["y_test"], clf.predict(X), data["group_test"])
    halves = [None, None]
    if masks is not None:
        middle = masks.shape[1] // 2
        halves = [float(half.mean()) for half in (masks[:, :middle], masks[:, middle:])]
    return {
        "method": name, "seed": seed, "worst": scores.worst, "average": scores.average,
        "groups": dict(zip(map(str, scores.group), scores.accuracy.round(4), strict=True)),
        "upper": halves[0], "lower": halves[1], "seconds": round(taken, 1),
        "versions": versions(), "machine": machine("cpu"),
    }  # fmt: skip
