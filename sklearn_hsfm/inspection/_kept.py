"""What displays read of a fitted classifier, and what to do where it keeps no such thing."""

from sklearn.utils.validation import check_is_fitted


def check_keeps(estimator, attribute, advice=""):
    """Refuse an estimator that has not kept what is to be drawn, and say who does."""
    check_is_fitted(estimator)
    if hasattr(estimator, attribute):
        return
    name = type(estimator).__name__
    if hasattr(estimator, "refit_best"):
        raise ValueError(
            f"{name} averages heads of many fits, and keeps no {attribute} of any: draw "
            "clf.refit_best(X, y, X_val, y_val), which fits its best setting as one "
            f"HSFMClassifier.{advice}"
        )
    raise ValueError(f"{name} has no {attribute}; fit HSFMClassifier, which has it.{advice}")
