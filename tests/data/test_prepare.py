import numpy as np
import pytest
from _helpers import RELEVANT


@pytest.mark.parametrize(("mean", "scale"), [(1e6, 1.0), (0.0, 1e-6), (-3.0, 1e8)])
def test_badly_scaled_columns_are_no_obstacle(quick, planted, mean, scale):
    X, y = planted
    X = X * scale + mean
    clf = quick(n_features_to_select=3).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9


def test_columns_of_very_different_scales_are_treated_alike(quick, planted):
    X, y = planted
    X = X * np.geomspace(1e-6, 1e6, 12)
    clf = quick(n_features_to_select=3).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT


def test_standardize_off_trains_on_the_columns_as_they_are(quick, planted):
    X, y = planted
    off = quick(n_features_to_select=3, standardize=False)
    assert off.fit(X, y).get_support(indices=True).tolist() == RELEVANT
    shifted = off.fit(X + 1e4, y).predict_proba(X + 1e4)
    on = quick(n_features_to_select=3).fit(X + 1e4, y).predict_proba(X + 1e4)
    assert not np.allclose(shifted, on, atol=1e-2)


def test_rare_class_stays_in_training(quick, blobs):
    X, y = blobs
    y = y.copy()
    y[0] = 9
    assert quick(max_epochs=2, retrain_epochs=1).fit(X, y).classes_[-1] == 9
