"""What a user writes, for test_typing.py: a type checker reads it, nothing runs it.

Where a comment says ``wrong``, there is a mistake, which mypy is to name by the code that follows.
"""

from typing import assert_type

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import sklearn_hsfm
from sklearn_hsfm import (
    FeatureExtractor,
    HSFMClassifier,
    HSFMClassifierCV,
    ShortcutFinder,
    ValidationSet,
    repaired,
)
from sklearn_hsfm.adapters import ContrastiveAdapter
from sklearn_hsfm.datasets import load_features, make_spurious_features
from sklearn_hsfm.environments import EnvironmentAdaptiveClassifier
from sklearn_hsfm.extraction import TextExtractor
from sklearn_hsfm.finetuning import ERMClassifier, make_hsfm_pipeline
from sklearn_hsfm.heads import AFRClassifier, DFRClassifier, HeadAverager
from sklearn_hsfm.inspection import GroupAccuracyDisplay, audit, report
from sklearn_hsfm.metrics import GroupScores, group_scores, worst_group_accuracy_score
from sklearn_hsfm.selection import worst_class


def everything() -> None:
    data = make_spurious_features(n_train=200, random_state=0)
    X, y, groups = np.zeros((9, 3)), [0, 1] * 4 + [0], ["land"] * 9

    clf = HSFMClassifierCV(n_repeats=6, init_head=LogisticRegression())
    assert_type(clf.fit(X, y), HSFMClassifierCV)
    assert_type(clf.fit(X, y, ValidationSet(X, y, groups)).coef_, np.ndarray)
    assert_type(clf.fit(data.X_train, data.y_train, X, y, groups_val=groups).predict(X), np.ndarray)
    assert_type(clf.best_score_interval_, tuple[float, float])
    assert_type(clf.summary(), str)
    assert_type(clf.refit_best(X, y, X, y).history_["score"], np.ndarray)
    clf.set_params(n_repeats=2).set_fit_request(groups=True)

    HSFMClassifierCV(n_repeats="six")  # wrong: arg-type
    sklearn_hsfm.Reparer()  # wrong: attr-defined
    HSFMClassifierCV(repeats=6)  # wrong: call-arg
    clf.fit(X)  # wrong: call-arg
    clf.fit(X, y, groups_validation=groups)  # wrong: call-arg
    clf.predict(X, y)  # wrong: call-arg
    print(clf.coef_.colour)  # wrong: attr-defined

    single = HSFMClassifier(
        init_head=(X, X[0]), selection=worst_class, device="cpu", random_state=0
    )
    assert_type(single.fit(X, y).support_indices_, np.ndarray)
    single.to_torch("float64").requires_grad_(False)
    HSFMClassifier(selection="best")  # wrong: arg-type
    HSFMClassifier(dtype="float16")  # wrong: arg-type

    assert_type(DFRClassifier(Cs=[1, 0.1]).fit(X, y, X, y).C_, float)
    assert_type(AFRClassifier(gamma=4.0).fit(X, y).best_epoch_, int)
    HeadAverager(LogisticRegression(), clf, alpha=(0.1, 0.5)).fit(X, y, groups=groups).head_at(0.2)
    AFRClassifier(gamma="large")  # wrong: arg-type
    assert_type(ShortcutFinder(share=0.1).fit(X, y).cells_, np.ndarray)
    ShortcutFinder("auto", share=None)  # wrong: arg-type
    ContrastiveAdapter(activation="tanh").fit(X, y)  # wrong: arg-type
    assert_type(EnvironmentAdaptiveClassifier().fit(X, y, environments=y).predict(X), np.ndarray)

    extractor = FeatureExtractor("resnet50", cache_dir="features", precision="bfloat16")
    extractor.fit_transform(["a.png"])
    assert_type(extractor.fit(["a.png"]).transform("folder"), np.ndarray)
    FeatureExtractor(batch_size="all")  # wrong: arg-type
    TextExtractor(max_length=64).fit(["waterbirds"])
    make_hsfm_pipeline(ERMClassifier("resnet50", schedule="cosine"), head=clf).fit(X, y)
    repaired(None, clf, X).eval()

    assert_type(group_scores(y, clf.predict(X), groups), GroupScores)
    assert_type(worst_group_accuracy_score(y, y, groups), float)
    group_scores(y, y)  # wrong: call-arg
    group_scores(y, y, groups, interval="normal")  # wrong: arg-type
    load_features(3)  # wrong: arg-type
    report(make_pipeline(clf), X, y, groups=groups, baseline=GridSearchCV(clf, {})).save(
        "report.html"
    )
    report("clf", X, y)  # wrong: arg-type
    assert_type(audit(None, X, y).verdict, str)
    GroupAccuracyDisplay.from_predictions(y, {"ERM": y}, groups).figure_.savefig("groups.png")
