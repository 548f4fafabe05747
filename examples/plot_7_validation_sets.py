"""
What validation samples are worth
=================================

Repair needs validation samples that contradict the shortcut. Where they are few, labels alone do
not point them out, and group labels do.
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import make_spurious_features
from sklearn_hsfm.heads import ClassBalancedClassifier, DFRClassifier
from sklearn_hsfm.metrics import worst_group_accuracy_score

SHARES = (0.02, 0.05, 0.15, 0.5)
SEEDS = range(3)
METHODS = {
    "HSFM, no groups": (partial(HSFMClassifier, epochs=20), False),
    "class-balanced, no groups": (ClassBalancedClassifier, False),
    "DFR, groups": (partial(DFRClassifier, n_retrains=5), True),
}


def worst(method, groups, share, seed):
    """Return the worst-group accuracy with a share of validation samples against the shortcut."""
    data = make_spurious_features(n_val=3000, n_test=2000, random_state=seed)
    rng = np.random.RandomState(seed)
    against = data.groups_val // 2 != data.groups_val % 2
    rows = [rng.permutation(np.flatnonzero(against == a)) for a in (False, True)]
    n = round(300 * share)
    rows = np.r_[rows[0][: 300 - n], rows[1][:n]]
    known = {"groups_val": data.groups_val[rows]} if groups else {}
    clf = method(random_state=seed)
    clf.fit(data.X_train, data.y_train, data.X_val[rows], data.y_val[rows], **known)
    return worst_group_accuracy_score(data.y_test, clf.predict(data.X_test), data.groups_test)


# %%
# Always 300 validation samples; mean and standard deviation over three seeds.

figure, ax = plt.subplots(layout="constrained")
for name, (method, groups) in METHODS.items():
    runs = np.array([[worst(method, groups, s, seed) for s in SHARES] for seed in SEEDS])
    ax.errorbar(SHARES, runs.mean(axis=0), runs.std(axis=0), capsize=3, marker="o", label=name)
ax.set(xscale="log", xlabel="share of validation samples against the shortcut")
ax.set_xticks(SHARES, [f"{s:.0%}" for s in SHARES])
ax.minorticks_off()
ax.set_ylabel("worst-group accuracy")
ax.legend()
