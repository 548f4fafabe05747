"""
The samples that were mined
===========================

The hard set is what the edits are for. Look at it: it holds the samples that contradict the
shortcut, and also whatever is mislabelled or hard to read.
"""

import numpy as np

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import HardSetDisplay

data = load_digit_dominoes(random_state=0)
clf = HSFMClassifier(random_state=0)
clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
images = data.X_val.reshape(-1, 16, 8)
HardSetDisplay.from_estimator(clf, data.X_val, data.y_val, images=images)

# %%
# In the first epoch the head is still ERM's, and mines what the shortcut gets wrong.

contradicts = np.array([g in ("y=0 lower=1", "y=1 lower=0") for g in data.groups_val])
for epoch in (0, clf.n_iter_ - 1):
    share = contradicts[clf.hard_indices_[epoch]].mean()
    print(f"epoch {epoch + 1}: {share:.0%} of the hard set contradicts the shortcut")
print(f"of all validation samples: {contradicts.mean():.0%}")
