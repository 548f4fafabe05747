"""scikit-learn's own checks, with nothing expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV


# The checks' tiny sets leave few validation rows, and the estimator rightly says so.
@pytest.mark.filterwarnings("ignore:The smallest class has")
# The checks call fit(X, y): the validation rows are held out.
@parametrize_with_checks(
    [
        HSFMClassifier(),
        HSFMClassifier(epochs=8, standardize=False, selection_fraction=None, selection="last"),
        HSFMClassifierCV(),
    ]
)
def test_sklearn_api(estimator, check):
    check(estimator)
