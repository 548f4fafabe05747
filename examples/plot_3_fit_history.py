"""
What a fit did, and which epoch it kept
=======================================

Each epoch mines the hard samples of every class, edits the support for them, and moves the head.
"""

import numpy as np

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import FitHistoryDisplay
from sklearn_hsfm.metrics import group_scores

data = load_digit_dominoes(random_state=0)
fit = {"X": data.X_train, "y": data.y_train, "X_val": data.X_val, "y_val": data.y_val}
clf = HSFMClassifier(random_state=0).fit(**fit)
FitHistoryDisplay.from_estimator(clf)

# %%
# By default a third of the validation samples chooses the epoch and is never mined. As published,
# the same samples do both: what is scored was fitted.

as_published = HSFMClassifier(random_state=0, selection_fraction=None).fit(**fit)
FitHistoryDisplay.from_estimator(as_published)

# %%
# How well does the accuracy that chose the epoch tell the accuracy on the test samples?

for name, model in {"a third chooses": clf, "all samples do both": as_published}.items():
    on_validation = model.history_["accuracy"][np.array(model.best_epoch_)]
    on_test = group_scores(data.y_test, model.predict(data.X_test), data.groups_test).average
    print(f"{name}: {on_validation:.3f} on validation samples, {on_test:.3f} on test samples")
