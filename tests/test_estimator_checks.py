"""scikit-learn's own checks, with nothing expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_hsfm import HSFMClassifier


# The checks call fit(X, y): the validation rows are held out. Fewer epochs, same code.
@parametrize_with_checks(
    [
        HSFMClassifier(epochs=8),
        HSFMClassifier(epochs=8, standardize=False, selection_fraction=None, selection="last"),
    ]
)
def test_sklearn_api(estimator, check):
    check(estimator)
