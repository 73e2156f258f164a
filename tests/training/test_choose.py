import numpy as np
import pandas as pd
import pytest

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._training.problem import Problem

SHORT = {"max_epochs": 30, "retrain_epochs": 10, "random_state": 0}


@pytest.fixture(scope="module")
def twins():
    """A target of two sources, of which the stronger one is there twice."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = 2 * np.sin(2 * X[:, 0]) + X[:, 2] + 0.1 * rng.normal(size=400)
    X[:, 1] = X[:, 0] + 0.05 * rng.normal(size=400)
    return X, y


def test_of_inputs_that_stand_in_for_each_other_one_is_chosen(twins):
    reg = JointPruneRegressor(n_features_to_select=2, **SHORT).fit(*twins)
    support = reg.get_support()
    assert support.sum() == 2
    assert support[2] and support[:2].sum() == 1


@pytest.mark.parametrize("prune", ["joint", "inputs"])
def test_units_go_after_inputs_are_chosen_if_they_may(twins, prune):
    reg = JointPruneRegressor(n_features_to_select=2, prune=prune, **SHORT).fit(*twins)
    phases = [row["phase"] for row in reg.history_]
    assert phases.count("sparsify") == (75 if prune == "joint" else 45)
    sizes = reg.module_.network.linear1.out_features, 256
    assert sizes[0] < 256 if prune == "joint" else sizes[0] == 256
    assert reg.get_support().sum() == 2


def test_groups_are_chosen_whole_and_what_costs_nothing_stays(twins):
    X, y = twins
    reg = JointPruneRegressor(
        n_features_to_select=2,
        feature_groups=[[0, 5]],
        feature_costs=[1, 1, 1, 1, 0, 1],
    )
    support = reg.set_params(**SHORT).fit(X, y).get_support()
    assert support[4]
    assert support.sum() == (3 if support[0] else 2)
    assert support[0] == support[5]


def test_a_category_is_chosen_whole():
    rng = np.random.default_rng(0)
    kind = rng.choice(list("abc"), size=300)
    X = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("pqrs"))
    X["kind"] = pd.Categorical(kind)
    y = (kind == "a") ^ (rng.random(300) < 0.05)
    clf = JointPruneClassifier(n_features_to_select=1, **SHORT).fit(X, y)
    assert clf.get_feature_names_out().tolist() == ["kind"]


def test_costs_that_differ_are_weighed_while_inputs_go(twins):
    X, y = twins
    reg = JointPruneRegressor(
        n_features_to_select=1, feature_costs=[1, 1, 1e-3, 1, 1, 1], **SHORT
    )
    assert reg.fit(X, y).get_support(indices=True).tolist() == [2]


def test_the_network_that_units_go_from_begins_with_weights_for_its_inputs(
    twins, monkeypatch
):
    drawn = []

    def stop(problem, sparse, share):
        drawn.append(sparse.point.network.module.linear1.weight.detach())
        return sparse

    monkeypatch.setattr(Problem, "sparsify_units", stop)
    short = {"max_epochs": 1, "retrain_epochs": 0, "random_state": 0}
    JointPruneRegressor(n_features_to_select=2, **short).fit(*twins)
    n_read = drawn[0].shape[1]
    assert n_read == 2 * 4  # an input is four numbers, by its embedding
    assert drawn[0].abs().max() == pytest.approx(n_read**-0.5, rel=0.01)
