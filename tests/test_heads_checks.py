"""scikit-learn's own checks of the last-layer methods, with nothing expected to fail."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_hsfm import heads

QUICK = [
    heads.AFRClassifier(gamma=4.0, reg=0.1, steps=50),
    heads.BAMClassifier(upweight=4.0, lr=1e-3, first_epochs=3, epochs=10),
    heads.CLPClassifier(epochs=3, lr=1e-2),
    heads.CVaRDROClassifier(alpha=0.3, l2=1e-2, lr=1e-2, epochs=10),
    heads.ClassBalancedClassifier(),
    heads.DFRClassifier(n_retrains=3, Cs=(1.0, 0.1)),
    heads.DFRClassifier(variant="train", n_retrains=3, Cs=(1.0, 0.1)),
    heads.EVaLSClassifier(n_rows=20, C=0.1),
    heads.ExtraRowsClassifier(),
    heads.FGCCDBClassifier(C=0.1),
    heads.GroupDROClassifier(l2=1e-2, lr=1e-2, epochs=10),
    heads.HeadAverager(LogisticRegression(), heads.ClassBalancedClassifier()),
    heads.JTTClassifier(upweight=4.0, C=0.1),
    heads.LISAClassifier(l2=1e-2, lr=1e-2, epochs=10),
    heads.LfFClassifier(l2=1e-4, lr=0.1, epochs=30),
    heads.SELFClassifier(n_rows=20, lr=1e-2, steps=20),
    heads.SPAREClassifier(early_epochs=1, C=0.1),
    heads.ULAClassifier(tau=1.0, lr=1e-2, epochs=10),
    heads.XRMClassifier(n_draws=2, twin_epochs=3, l2=1e-2, lr=1e-2, epochs=10),
]


NEEDS_TWO_HEADS = (LogisticRegression(), heads.ClassBalancedClassifier())
DEFAULTS = [
    getattr(heads, name)(*(NEEDS_TWO_HEADS if name == "HeadAverager" else ()))
    for name in heads.__all__
    if name != "LabelUse"
]


# The checks call fit(X, y) on tiny sets: without groups, and often without an error to weigh up.
@pytest.mark.filterwarnings(
    "ignore:fit got no groups",
    "ignore:The first head gets every sample",
    "ignore:The first stage of BAM reads every sample",
    "ignore:In none of",
)
@parametrize_with_checks([*DEFAULTS, heads.DFRClassifier(variant="train")])
def test_sklearn_api(estimator, check):
    check(estimator)
