"""
What the edits meant
====================

HSFM edits a few training samples in feature space. Which way did they move?
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import SupportEditDisplay, describe_edits

data = load_digit_dominoes(random_state=0)
clf = HSFMClassifier(random_state=0)
clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)

# %%
# The test samples say it: which of them lie in the direction of a support sample, before and after.
# The cosine is 1 for an edit that moves straight against the shortcut of its class.

lower = np.array([g[-1] for g in data.groups_test])
edits = describe_edits(
    clf, data.X_test, data.y_test, groups=data.groups_test, attributes={"lower digit": lower}
)
print(edits)

# %%
# In the plane of label and shortcut. Edits are learned for the head, not to look real: they reach
# far beyond the real samples.

SupportEditDisplay.from_estimator(clf, data.X_test, data.y_test, data.groups_test)

# %%
# Features here are pixels, so that edits can be seen (red: more ink). The lower half, the shortcut,
# changes most: where it agrees with the class, a 0 is drawn over with a 1, and a 1 with a 0.

rows = np.r_[0:3, -3:0]  # of either class
before, after = (a[rows].reshape(-1, 16, 8) for a in (clf.support_init_, clf.support_))
figure, axes = plt.subplots(2, len(rows), figsize=(7, 4), layout="constrained")
for k, label in enumerate(clf.support_y_[rows]):
    axes[0, k].imshow(before[k], cmap="gray")
    axes[0, k].set_title(f"class {label}")
    axes[1, k].imshow(after[k] - before[k], cmap="coolwarm", vmin=-4, vmax=4)
for ax in axes.ravel():
    ax.set_axis_off()
change = np.abs(clf.support_ - clf.support_init_).mean(axis=0).reshape(2, 64).mean(axis=1)
print(f"mean change of a pixel: {change[0]:.2f} in the upper half, {change[1]:.2f} in the lower")
