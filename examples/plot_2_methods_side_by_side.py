"""
Methods side by side
====================

All last-layer methods share one ``fit``, so that a comparison is a loop. ``uses`` says which labels
each may use beyond those of the training samples: compare methods that know the same.
"""

from sklearn.linear_model import LogisticRegression

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.heads import ClassBalancedClassifier, DFRClassifier, JTTClassifier
from sklearn_hsfm.inspection import GroupAccuracyDisplay

data = load_digit_dominoes(random_state=0)
methods = {
    "JTT": JTTClassifier(random_state=0),
    "class-balanced": ClassBalancedClassifier(),
    "DFR": DFRClassifier(random_state=0),
    "HSFM": HSFMClassifier(random_state=0),
}
fitted = {"ERM": LogisticRegression(C=0.1, max_iter=1000).fit(data.X_train, data.y_train)}
for name, method in methods.items():
    print(f"{name}: {method.uses}")
    fitted[name] = method.fit(
        data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val
    )

# %%
# Here half of the validation samples contradict the shortcut. Refitting on such samples is most of
# the repair, and every method that does so comes close to the others.

GroupAccuracyDisplay.from_estimator(fitted, data.X_test, data.y_test, data.groups_test)
