"""CnC: an adapter that brings samples of a class together, before ERM's head and before ours."""

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.methods import Method
from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.adapters import ContrastiveAdapter


class Adapted(ClassifierMixin, BaseEstimator):
    """A head behind the adapter; validation samples pass through it where the head takes them."""

    def __init__(self, head, takes_validation=False, random_state=None):
        self.head = head
        self.takes_validation = takes_validation
        self.random_state = random_state

    def fit(self, X, y, X_val=None, y_val=None):
        """Fit the adapter, then the head."""
        self.adapter_ = make_pipeline(
            StandardScaler(), ContrastiveAdapter(random_state=self.random_state)
        )
        adapted = self.adapter_.fit_transform(X, y)
        self.head_ = self.head.set_params(random_state=self.random_state)
        if self.takes_validation and X_val is not None:
            self.head_.fit(adapted, y, self.adapter_.transform(X_val), y_val)
        else:
            self.head_.fit(adapted, y)
        self.classes_ = self.head_.classes_
        return self

    def predict(self, X):
        """Return classes."""
        return self.head_.predict(self.adapter_.transform(X))


METHODS = {
    "CnC": Method(
        lambda column: Adapted(LogisticRegression(C=0.01, max_iter=1000)), "nothing", groups=False
    ),
    "CnC, then HSFMClassifierCV": Method(
        lambda column: Adapted(HSFMClassifierCV(), takes_validation=True),
        "validation labels",
        groups=False,
    ),
}
