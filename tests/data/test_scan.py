import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skjointprune._data.scan import Moments, chosen_rows
from skjointprune._data.sources import ArraySource, LevelCodes, Y, encode_targets


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3, 50], [100]])
def test_moments_are_those_of_a_scaler_however_rows_are_cut(cuts):
    rng = np.random.default_rng(0)
    X = rng.normal([0, 1e7, -3], [1, 2, 1e-3], size=(200, 3))
    X = np.column_stack([X, np.full(200, 1 / 3)])  # the last is constant
    weight = rng.integers(0, 4, 200).astype(float)
    moments = Moments(4)
    for rows in np.split(np.arange(200), cuts):
        moments.add(X[rows].copy(), weight[rows])
    scaler = StandardScaler().fit(X, sample_weight=weight)
    mean, scale = moments.scaling(200)
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(scale, scaler.scale_, rtol=1e-6)
    assert scale[3] == 1
    np.testing.assert_array_equal(moments.largest, np.abs(X).max(axis=0))


def test_missing_values_are_at_the_mean_of_the_others():
    X = np.random.default_rng(0).normal(5, 2, size=(300, 2))
    X[::3, 0] = np.nan
    X[:100, 1] = np.nan  # all of the first rows that are added
    moments = Moments(2)
    for rows in np.split(np.arange(300), 3):
        moments.add(X[rows].copy(), np.ones(100))
    mean = np.nanmean(X, axis=0)
    scaler = StandardScaler().fit(np.where(np.isnan(X), mean, X))
    np.testing.assert_allclose(moments.scaling(300)[0], mean)
    np.testing.assert_allclose(moments.scaling(300)[1], scaler.scale_)
    assert moments.missing.tolist() == [100, 100]


def test_moments_leave_what_they_are_given():
    X = np.random.default_rng(0).normal(size=(20, 2))
    before = X.copy()
    Moments(2).add(X, np.ones(20))
    np.testing.assert_array_equal(X, before)


def test_chosen_rows_are_those_at_the_positions():
    positions = np.array([0, 4, 5, 9, 12])
    masks = [chosen_rows(start, 5, positions) for start in (0, 5, 10)]
    assert np.flatnonzero(np.concatenate(masks)).tolist() == positions.tolist()


def test_level_codes_are_given_in_order_of_appearance_or_are_those_known():
    new = LevelCodes({Y: {}})
    for labels in (["b", "a", "b"], ["c", "a"]):
        encode_targets(np.array(labels, dtype=object), new)
    assert new.known[Y] == {"a": 0, "b": 1, "c": 2}  # sorted within a block
    fixed = LevelCodes({0: {1.0: 0, 2.0: 1}}, {0: 2.0})
    codes = fixed.encode(0, [1.0, 7.0, np.nan], np.array([0, 1, 2, -1, 0]))
    np.testing.assert_array_equal(codes, [0, 2, np.nan, np.nan, 0])


def test_levels_without_end_are_refused(monkeypatch):
    monkeypatch.setattr("skjointprune._data.sources.MOST_LEVELS_SEEN", 10)
    source = ArraySource(np.arange(40.0).reshape(20, 2), np.arange(20), None)
    for codes, message in (
        (LevelCodes({1: {}}), "column 1 of X holds more than 10 levels; leave it out"),
        (LevelCodes({Y: {}}), "y holds more than 10 levels; use a JointPruneRegr"),
    ):
        with pytest.raises(ValueError, match=message):
            list(source.blocks(0, [0, 1], codes))
