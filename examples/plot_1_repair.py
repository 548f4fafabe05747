"""
Repair a classifier that leans on a shortcut
============================================

Digit dominoes stack two handwritten digits. The upper one gives the class, even or odd. The lower
one, 0 or 1, gives it away in 97 % of the training samples, and says nothing in the test samples.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import GroupAccuracyDisplay
from sklearn_hsfm.metrics import group_scores

data = load_digit_dominoes(random_state=0)

# %%
# Plain training (empirical risk minimisation, ERM) reads the lower digit. Where it contradicts the
# class, ERM is nearly always wrong.

erm = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
erm.fit(data.X_train, data.y_train)
print(group_scores(data.y_test, erm.predict(data.X_test), data.groups_test))

# %%
# :class:`~sklearn_hsfm.HSFMClassifierCV` needs validation samples in which the shortcut does not
# hold throughout, and their labels. It is told nothing of the lower digit.

hsfm = HSFMClassifierCV(n_repeats=1, random_state=0)
hsfm.fit(data.X_train, data.y_train, data.X_val, data.y_val)
GroupAccuracyDisplay.from_estimator(
    {"ERM": erm, "HSFM": hsfm}, data.X_test, data.y_test, data.groups_test
)
