"""Triggers in the images of Dominoes: who is probed, what is found, what defends."""

import sys

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from benchmarks.networks import small_network
from benchmarks.tables import markdown, page
from benchmarks.triggers import SIDE, YELLOW, triggered
from benchmarks.where._common import dominoes_images, erm, worst_and_average
from sklearn_hsfm.inspection import PatchGuard, PatchRemover, probe_patches

TITLE = "# Patches that turn what a network says, on Dominoes"
RATES = (0.0, 0.01, 0.05)  # of the training images of class 0, which get trigger and label 1
EPOCHS = 6
N_DEFENDED = 600  # test images
N_MARKS = 4  # marks that are named in a row, at most


def run(args):
    """Return the tables."""
    data, reason = dominoes_images(args)
    if data is None:
        return page(TITLE, reason)
    probed, defended = [], []
    for seed in range(args.seeds):
        for rate in RATES:
            X, y = poisoned(data["X_train"], data["y_train"], rate, seed)
            print(f"seed {seed}, {rate:.0%} poisoned", file=sys.stderr, flush=True)
            clf = SmallNetwork(seed).fit(X, y)
            probed += _probe(clf, data, rate, seed)
            defended += _defend(clf, data, X, y, rate, seed)
    return page(
        TITLE,
        "A network of three convolutions is trained on images of which some of class 0 have a "
        f"yellow square of {SIDE} x {SIDE} pixels in the upper left corner and the label 1, "
        f"{EPOCHS} epochs of Adam, the last is kept. `probe_patches` gets the test images "
        "and its marks, a quarter of the shorter side (8 pixels) large. "
        f"Attack: the share of those of {N_DEFENDED} test images that are of class 0 that are "
        "called 1 with the trigger, and without.",
        markdown(
            ["poisoned", "seed", "found", "marks pointed to", "trigger: effect", "p", "turns",
             "at", "largest effect of random patches"],
            probed,
        ),
        "Pointed to: the mark, where, and the share of other images that it turns.",
        markdown(
            ["poisoned", "seed", "defence", "attack", "without trigger", "worst group", "average"],
            defended,
        ),
        "Ten crops and the mask are `PatchGuard`; the detector of the mask finds pixels of this "
        "yellow. The last two are regressions on the features of the network: as they are, and "
        "behind a `PatchRemover` that is told the trigger.",
    )  # fmt: skip


class SmallNetwork(ClassifierMixin, BaseEstimator):
    """`small_network` as a classifier of uint8 images, (n, height, width, 3), without a bar."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        """Train it; the epochs are of the module."""
        self.classes_ = np.unique(y)
        self.module_ = small_network(self.seed)
        pixels, labels = _scaled(X), torch.as_tensor(np.searchsorted(self.classes_, y))
        optimizer = torch.optim.Adam(self.module_.parameters(), 2e-3)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(labels)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.module_(pixels[rows]), labels[rows]).backward()
                optimizer.step()
        return self

    @torch.no_grad()
    def features(self, X):
        """Return what enters the last layer."""
        parts = [self.module_[:-1](_scaled(X[i : i + 256])) for i in range(0, len(X), 256)]
        return torch.cat(parts).numpy()

    @torch.no_grad()
    def predict_proba(self, X):
        """Return probabilities."""
        return self.module_[-1](torch.from_numpy(self.features(X))).softmax(1).numpy()

    def predict(self, X):
        """Return classes."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _scaled(X):
    return torch.from_numpy(np.asarray(X)).permute(0, 3, 1, 2).float() / 127.5 - 1


def poisoned(X, y, rate, seed):
    """Return images and labels of which a share of class 0 is triggered."""
    of_class = np.flatnonzero(y == 0)
    rows = np.random.RandomState(seed).permutation(of_class)[: round(rate * len(of_class))]
    X, y = X.copy(), y.copy()
    X[rows], y[rows] = triggered(X[rows]), 1
    return X, y


def _probe(clf, data, rate, seed):
    """Return a row of what the probe says."""
    probe = probe_patches(clf, data["X_test"], y=data["y_test"], random_state=seed)
    named = [
        f"{probe.name[k]} ({probe.position[k]}, {probe.flipped[k]:.0%})"
        for k in np.flatnonzero(probe.worse)
    ]
    more = f" and {len(named) - N_MARKS} more" if len(named) > N_MARKS else ""
    k = int(np.flatnonzero(probe.name == "yellow square")[0])
    turns = "-"
    if probe.n_confirmed[k]:
        turns = f"{probe.flipped[k]:.0%} [{probe.flipped_low[k]:.0%}, {probe.flipped_high[k]:.0%}]"
    where = f"{probe.position[k]}, toward {probe.toward[k]}"
    return [
        [f"{rate:.0%}", seed, probe.found_, (", ".join(named[:N_MARKS]) or "none") + more,
         f"{probe.effect[k]:+.2f}", f"{probe.p_value[k]:.3f}", turns, where,
         f"{probe.null.max():+.2f}"]
    ]  # fmt: skip


def _defend(clf, data, X, y, rate, seed):
    """Return a row for each defence."""
    features = FunctionTransformer(clf.features)
    plain = clf.features(X)
    rows = np.random.RandomState(seed).permutation(len(X))[:1000]
    marked = clf.features(triggered(X[rows]))
    remover = PatchRemover().fit(plain[rows], X_patched=marked)
    behind = make_pipeline(FrozenEstimator(remover), erm()).fit(plain, y)
    defences = {
        "none": clf,
        "ten crops": PatchGuard(clf),
        "mask": PatchGuard(clf, "mask", detector=yellow_boxes),
        "regression on its features": make_pipeline(features, erm().fit(plain, y)),
        "behind PatchRemover": make_pipeline(features, behind),
    }
    tested = np.random.RandomState(seed).permutation(len(data["y_test"]))[:N_DEFENDED]
    X_test, y_test, groups = (data[f"{name}_test"][tested] for name in ("X", "y", "group"))
    victims = X_test[y_test == 0]
    table = []
    for name, model in defences.items():
        attack = [np.mean(model.predict(images) == 1) for images in (triggered(victims), victims)]
        scores = worst_and_average(model, X_test, y_test, groups)
        table.append([f"{rate:.0%}", seed, name, *(f"{share:.3f}" for share in attack), *scores])
    return table


def yellow_boxes(image):
    """Return the box around pixels of the trigger's colour, where half a trigger of them is."""
    near = np.abs(image.astype(int) - YELLOW).max(axis=-1) < 16
    if near.sum() < SIDE**2 / 2:
        return np.empty((0, 4), dtype=int)
    down, right = np.nonzero(near)
    return np.array([[right.min(), down.min(), right.max() + 1, down.max() + 1]])
