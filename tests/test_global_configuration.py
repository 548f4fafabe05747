"""What scikit-learn is set to for the user's own transformers changes no fit of ours."""

import numpy as np
import pytest
import sklearn

from sklearn_hsfm import HSFMClassifier, HSFMClassifierCV, heads
from sklearn_hsfm.inspection import describe_edits

GRID = {"C": [0.01], "inner_lr": [3e-4], "outer_lr": [0.1]}
MODELS = [
    HSFMClassifier(epochs=2, random_state=0),
    HSFMClassifierCV(GRID, epochs=6, n_repeats=1, random_state=0),
    *(
        getattr(heads, f"{name}Classifier")(random_state=0)
        for name in (
            "AFR",
            "CVaRDRO",
            "ClassBalanced",
            "DFR",
            "GroupDRO",
            "JTT",
            "LISA",
            "LfF",
            "SELF",
        )
    ),
]


@pytest.mark.filterwarnings("ignore:Every group lies within one class")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_transform_output_is_for_the_users_transformers(model, data):
    also = {} if isinstance(model, HSFMClassifier | HSFMClassifierCV) else {
        "groups": data.groups_train[:150]
    }  # fmt: skip

    def fitted():
        model.fit(
            data.X_train[:150], data.y_train[:150], data.X_val, data.y_val,
            groups_val=data.groups_val, **also,
        )  # fmt: skip
        return model.coef_

    plain = fitted()
    with sklearn.config_context(transform_output="pandas"):
        assert np.array_equal(fitted(), plain)


def test_inspection_takes_arrays_all_the_same(data):
    model = HSFMClassifier(epochs=2, random_state=0)
    model.fit(data.X_train, data.y_train, data.X_val, data.y_val)
    plain = describe_edits(model, data.X_test, data.y_test)
    with sklearn.config_context(transform_output="pandas"):
        again = describe_edits(model, data.X_test, data.y_test)
    assert repr(again) == repr(plain)
