"""
Between average and worst group
===============================

Heads are linear, so any mixture of two is a head. The path from ERM to a repaired head shows what
the worst group costs the average, where the test samples are as skewed as the training samples.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_hsfm.datasets import make_spurious_features
from sklearn_hsfm.heads import DFRClassifier, HeadAverager
from sklearn_hsfm.inspection import TradeOffDisplay

data = make_spurious_features(n_test=4000, core=1.5, random_state=0)

# %%
# Test samples with the shortcut of the training samples: 95 % agree with it.

rng = np.random.RandomState(0)
agrees = data.groups_test // 2 == data.groups_test % 2
kept = agrees | (rng.uniform(size=len(agrees)) < 0.05)

path = HeadAverager(
    LogisticRegression(max_iter=1000),
    DFRClassifier(random_state=0),
    alpha=tuple(np.linspace(0, 1, 11)),
)
path.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val)
TradeOffDisplay.from_estimator(path, data.X_test[kept], data.y_test[kept], data.groups_test[kept])
