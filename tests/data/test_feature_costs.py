import numpy as np
import pandas as pd
import pytest

from skjointprune import JointPruneClassifier, joint_prune_path
from skjointprune._data.feature_costs import check_costs


def test_costs_are_those_of_the_names_whatever_their_order():
    prices = pd.Series({"b": 1.0, "a": 50.0})
    assert check_costs(prices, 2, ["a", "b"]).tolist() == [50, 1]
    assert check_costs(dict(prices), 2, ["a", "b"]).tolist() == [50, 1]
    assert check_costs(None, 2, None) is None


@pytest.mark.parametrize(
    "costs",
    [
        [1.0],
        ["a", "b"],
        [-1.0, 1.0],
        [np.nan, 1.0],
        {"a": 1.0},
        [1e45, 1e40],
        [1e-50, 0],
    ],
)
def test_bad_costs_are_refused(costs):
    with pytest.raises(ValueError, match="`feature_costs`"):
        check_costs(costs, 2, ["a", "b"])


@pytest.mark.parametrize("how", [{"alpha": 1.0}, {"n_features_to_select": 3}])
def test_what_costs_nothing_always_stays(quick, planted, how):
    X, y = planted
    costs = np.ones(12)
    costs[[3, 4]] = 0  # columns of noise
    clf = quick(feature_costs=costs, max_epochs=5, retrain_epochs=2, **how).fit(X, y)
    assert clf.support_[[3, 4]].all()
    assert clf.support_.sum() == how.get("n_features_to_select", 2)


def test_a_path_ends_with_what_costs_nothing(quick, planted):
    costs = np.ones(12)
    costs[[3, 4]] = 0
    clf = quick(feature_costs=costs, max_epochs=5, retrain_epochs=8)
    path = joint_prune_path(*planted, n_alphas=5, estimator=clf)
    assert path.inputs[-1] == 2 and path.supports[:, [3, 4]].all()
    assert np.isfinite(path.alphas).all()


def test_auto_keeps_what_costs_nothing(planted):
    costs = np.ones(12)
    costs[3] = 0
    clf = JointPruneClassifier(feature_costs=costs, random_state=0).fit(*planted)
    assert clf.support_[3] and clf.support_.sum() < 12


def test_fewer_inputs_than_cost_nothing_are_refused(quick, planted):
    costs = np.zeros(12)
    with pytest.raises(ValueError, match="12 features that cost 0"):
        quick(feature_costs=costs, n_features_to_select=3).fit(*planted)


def test_where_y_says_nothing_what_costs_nothing_stays(planted):
    X, _ = planted
    y = np.random.default_rng(1).integers(2, size=len(X))
    costs = np.ones(12)
    costs[[3, 4]] = 0
    clf = JointPruneClassifier((16,), feature_costs=costs, random_state=0)
    with pytest.warns(UserWarning, match="do not show"):
        clf.fit(X, y)
    assert clf.get_support(indices=True).tolist() == [3, 4]
