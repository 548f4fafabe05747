"""Pairing, encoding, holding out, and keeping the rows that choose apart."""

import numpy as np
import pytest

from sklearn_hsfm import HSFMClassifier, ValidationSet
from sklearn_hsfm._choosing.folds import mined_and_selecting, stratified_part

QUICK = {"epochs": 2, "KH": 2, "T": 3, "Khard": 10, "random_state": 0}


def fit(data, *args, **kwargs):
    return HSFMClassifier(**QUICK).fit(data.X_train, data.y_train, *args, **kwargs)


def test_x_val_and_y_val_come_together(data):
    with pytest.raises(ValueError, match="X_val was passed without y_val"):
        fit(data, data.X_val)
    with pytest.raises(ValueError, match="y_val was passed without X_val"):
        fit(data, y_val=data.y_val)
    with pytest.raises(ValueError, match="groups_val was passed without X_val"):
        fit(data, groups_val=data.groups_val)
    with pytest.raises(ValueError, match="X_val is a ValidationSet"):
        fit(data, ValidationSet(data.X_val, data.y_val), data.y_val)


def test_unknown_and_missing_classes(data):
    with pytest.raises(ValueError, match=r"labels that y does not have: \[7\]; y has \[0, 1\]"):
        fit(data, data.X_val, np.where(data.y_val == 1, 7, 0))
    with pytest.raises(ValueError, match=r"y_val misses classes that y has: \[1\]"):
        fit(data, data.X_val, np.zeros_like(data.y_val))


def test_widths_lengths_and_values(data):
    with pytest.raises(
        ValueError, match="In X_val, y_val: X has 31 features, but HSFMClassifier is expecting 32"
    ):
        fit(data, data.X_val[:, :-1], data.y_val)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(data, data.X_val, data.y_val[:-1])
    with pytest.raises(ValueError, match="groups_val has 119 rows, but there are 120 labels"):
        fit(data, data.X_val, data.y_val, groups_val=data.groups_val[:-1])
    with pytest.raises(ValueError, match=r"groups_val is missing .* in 1 of 120 samples"):
        fit(data, data.X_val, data.y_val, groups_val=np.where(np.arange(120) == 4, np.nan, 1.0))
    broken = data.X_val.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="In X_val, y_val: Input X contains NaN"):
        fit(data, broken, data.y_val)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        fit(data, data.X_val[:0], data.y_val[:0])


def test_a_class_of_one_row_cannot_be_held_out(data):
    y = np.where(np.arange(300) == 0, 9, data.y_train)
    with pytest.raises(ValueError, match="class 9 has 1 sample in X"):
        HSFMClassifier(**QUICK).fit(data.X_train, y)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9])
def test_stratified_part_gives_each_stratum_its_share(fraction):
    strata = np.repeat([0, 3, 7], [1000, 100, 7])
    for seed in range(20):
        mask = stratified_part(strata, fraction, np.random.RandomState(seed))
        for s, n in zip((0, 3, 7), (1000, 100, 7), strict=True):
            assert abs(mask[strata == s].sum() - fraction * n) < 1


def test_rows_that_choose_are_not_mined():
    y, groups = np.repeat([0, 1], [50, 30]), np.arange(80)[:, None] % 3 == np.arange(3)
    for seed in range(10):
        rng = np.random.RandomState(seed)
        mined, selecting = mined_and_selecting(y, groups, 0.3, rng)
        assert not (mined & selecting).any()
        assert (mined | selecting).all()
        for c in (0, 1):
            for g in range(3):
                cell = (y == c) & groups[:, g]
                assert abs(selecting[cell].sum() - 0.3 * cell.sum()) < 1


def test_the_only_row_of_a_class_is_mined_and_chooses():
    y = np.array([0] * 10 + [1, 2, 2])
    for seed in range(20):
        mined, selecting = mined_and_selecting(y, None, 0.3, np.random.RandomState(seed))
        assert mined[10]
        assert selecting[10]
        assert mined[11:].sum() == selecting[11:].sum() == 1


def test_mined_rows_stay_clear_of_those_that_choose(data):
    rng = np.random.RandomState(0)
    clf = HSFMClassifier(**{**QUICK, "Khard": 60}, selection_fraction=0.5)
    clf.fit(data.X_train, data.y_train, data.X_val, data.y_val, groups_val=data.groups_val)
    groups = data.groups_val[:, None] == np.arange(4)
    mined, _ = mined_and_selecting(data.y_val, groups, 0.5, rng)
    assert set(clf.hard_indices_.ravel()) == set(np.flatnonzero(mined))


def test_every_group_judges_however_few_its_rows():
    y_val = np.arange(24) % 2
    for k in range(1, 4):
        groups = np.zeros((24, 2), dtype=bool)  # most rows are in no group
        for c in (0, 1):
            groups[np.flatnonzero(y_val == c)[:k], c] = True
        for seed in range(20):
            rng = np.random.RandomState(seed)
            mined, selecting = mined_and_selecting(y_val, groups, 0.5, rng)
            assert groups[selecting].any(axis=0).all()
            assert (mined | selecting).all()
            both = mined & selecting
            assert groups[both].any(axis=1).all()  # the only row of a group does both
            assert both.sum() == 0 or k == 1
