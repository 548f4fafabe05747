"""
A report in the browser
=======================

All of it on one page, which needs no network: ``report(...).save("report.html")`` writes it, and
notebooks show it, as this page does.
"""

from sklearn_hsfm import HSFMClassifier
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import report

data = load_digit_dominoes(random_state=0)
clf = HSFMClassifier(random_state=0)
clf.fit(data.X_train, data.y_train, data.X_val, data.y_val)
report(
    clf,
    data.X_test,
    data.y_test,
    groups=data.groups_test,
    images=data.X_test.reshape(-1, 16, 8),
    X_val=data.X_val,
    y_val=data.y_val,
    images_val=data.X_val.reshape(-1, 16, 8),
)
