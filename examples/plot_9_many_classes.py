"""
More than two classes
=====================

Nothing changes with the number of classes: supports and hard sets are taken from each.
"""

from sklearn.linear_model import LogisticRegression

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.datasets import make_spurious_features
from sklearn_hsfm.inspection import GroupAccuracyDisplay
from sklearn_hsfm.metrics import groups_from_attributes, worst_group_accuracy_score

data = make_spurious_features(
    n_train=1500, n_val=300, n_test=1500, n_classes=3, core=3.0, shortcut=5.0, random_state=0
)
erm = LogisticRegression(max_iter=1000).fit(data.X_train, data.y_train)
hsfm = HSFMClassifierCV(n_repeats=1, random_state=0)
hsfm.fit(data.X_train, data.y_train, data.X_val, data.y_val)

groups = groups_from_attributes(data.y_test, attribute=data.groups_test % 3)
GroupAccuracyDisplay.from_estimator({"ERM": erm, "HSFM": hsfm}, data.X_test, data.y_test, groups)

# %%
# Groups may overlap: as a boolean matrix, here "any sample of class 0" and "attribute 2".

overlapping = (data.y_test == 0, data.groups_test % 3 == 2)
for name, model in {"ERM": erm, "HSFM": hsfm}.items():
    pred = model.predict(data.X_test)
    worst = worst_group_accuracy_score(data.y_test, pred, list(zip(*overlapping, strict=True)))
    print(f"{name}: {worst:.3f}")
