import numpy as np
import pytest

from skjointprune import JointPruneClassifier, joint_prune_path


def test_a_path_may_begin_with_a_trained_network(quick, planted):
    clf = quick(pretrain_epochs=2, max_epochs=10)
    path = joint_prune_path(*planted, n_alphas=2, estimator=clf, return_estimators=True)
    for point in path.estimators:
        phases = point.history_[:, "phase"]
        assert phases[:3] == ["pretrain", "pretrain", "sparsify"]


def test_given_alphas_are_the_points_in_ascending_order(quick, planted):
    path = joint_prune_path(*planted, alphas=[0.08, 0.01, 0.03], estimator=quick())
    assert path.alphas.tolist() == [0.01, 0.03, 0.08]
    assert path.inputs[0] > path.inputs[-1] >= 1


@pytest.mark.parametrize("prune", ["inputs", "weights"])
def test_only_what_may_be_pruned_goes(quick, planted, prune):
    path = joint_prune_path(*planted, n_alphas=4, estimator=quick(prune=prune))
    assert (path.inputs[-1] == 1) == (prune == "inputs")
    assert (path.units[-1, 0] == 1) == (prune == "weights")
    assert path.inputs[-1] in (1, 12) and path.units[-1, 0] in (1, 16)


def few_steps(quick, planted, epochs):
    estimator = quick(max_epochs=epochs, retrain_epochs=1, batch_size=40)
    alphas = np.linspace(0.001, 0.2, 13)  # 65 events in 77 steps; 4 epochs make 80
    return alphas, joint_prune_path(*planted, alphas=alphas, estimator=estimator)


@pytest.mark.parametrize("epochs", [4, 5, 6])
def test_every_point_is_there_however_few_the_steps(quick, planted, epochs):
    alphas, path = few_steps(quick, planted, epochs)
    np.testing.assert_allclose(path.alphas, alphas)


def test_too_few_steps_for_the_points_are_refused(quick, planted):
    with pytest.raises(ValueError, match="needs at least 77 optimiser steps"):
        few_steps(quick, planted, 3)


def test_points_are_above_0_where_there_is_little_to_prune(planted):
    X, y = planted
    estimator = JointPruneClassifier((8,), prune="inputs", max_epochs=40, lr=1e-2)
    path = joint_prune_path(X[:, :4], y, estimator=estimator)
    assert (path.alphas > 0).all() and path.inputs[-1] == 1
