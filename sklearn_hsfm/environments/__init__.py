"""Which covariates to trust in an environment, told from its unlabelled samples (EACS)."""

from sklearn_hsfm.environments._classifier import EnvironmentAdaptiveClassifier
from sklearn_hsfm.environments._regressor import EnvironmentAdaptiveRegressor
from sklearn_hsfm.environments._summary import environment_summary
from sklearn_hsfm.environments._tags import TransductiveTags

__all__ = [
    "EnvironmentAdaptiveClassifier",
    "EnvironmentAdaptiveRegressor",
    "TransductiveTags",
    "environment_summary",
]
