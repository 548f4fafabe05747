"""The version of the package in what an estimator saves, and a word where another reads it."""

import warnings

from sklearn.exceptions import InconsistentVersionWarning

from sklearn_hsfm.__about__ import __version__

_KEY = "_sklearn_hsfm_version"


class OtherVersionWarning(InconsistentVersionWarning):
    """Said where an estimator is loaded by another version of this package than saved it.

    scikit-learn's own, which filters may know, says this of its estimators alone.
    """

    def __str__(self):
        """Return what differs, and what to do."""
        return (
            f"{self.estimator_name} was saved by sklearn_hsfm {self.original_sklearn_version} and "
            f"is loaded by {self.current_sklearn_version}, which may store a fit otherwise. "
            "Compare its predictions with ones that you kept, or fit it again."
        )


class VersionMixin:
    """Save the version of the package with an estimator, and compare it when that is loaded."""

    def __getstate__(self):
        """Return the state, and what saved it."""
        return {**super().__getstate__(), _KEY: __version__}

    def __setstate__(self, state):
        """Take a state; of another version with a warning."""
        state = dict(state)
        saved = state.pop(_KEY, "of an unknown version")
        if saved != __version__:
            warnings.warn(
                OtherVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=saved,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)
