"""
Pipelines and searches
======================

Validation samples travel through a pipeline, and groups to a scorer, by scikit-learn's metadata
routing.
"""

import pandas as pd
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.metrics import worst_group_accuracy

data = load_digit_dominoes(random_state=0)

# %%
# ``transform_input`` sends ``X_val`` through the same steps as ``X``.

pipe = Pipeline(
    [("scale", StandardScaler()), ("head", HSFMClassifier(epochs=10, random_state=0))],
    transform_input=["X_val"],
)
search = GridSearchCV(
    pipe,
    {"head__Khard": [16, 64], "head__inner_lr": [1e-4, 3e-4, 1e-3]},
    scoring={"worst": worst_group_accuracy, "average": "accuracy"},
    refit="worst",
    cv=3,
)
with sklearn.config_context(enable_metadata_routing=True):
    search.fit(
        data.X_train, data.y_train, X_val=data.X_val, y_val=data.y_val, groups=data.groups_train
    )

# %%
# The folds are training samples, of which few contradict the shortcut, so the worst group is a
# noisy judge: mind the deviations. :class:`~sklearn_hsfm.HSFMClassifierCV` judges on validation
# samples.

columns = ["param_head__Khard", "param_head__inner_lr", "mean_test_worst", "std_test_worst"]
print(pd.DataFrame(search.cv_results_)[[*columns, "mean_test_average"]].round(3).to_string())
with sklearn.config_context(enable_metadata_routing=True):
    print(search.score(data.X_test, data.y_test, groups=data.groups_test))
