import numpy as np
import pytest

from skjointprune import JointPruneClassifier, JointPruneRegressor, joint_prune_path
from skjointprune._estimators.follow_path import check_alphas, follow_path


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


@pytest.mark.parametrize("epochs", [5, 6, 7])
def test_every_point_is_there_however_few_the_steps(quick, planted, epochs):
    alphas, path = few_steps(quick, planted, epochs)
    np.testing.assert_allclose(path.alphas, alphas)


def test_too_few_steps_for_the_points_are_refused(quick, planted):
    with pytest.raises(ValueError, match="needs at least 77 optimiser steps"):
        few_steps(quick, planted, 4)


def test_points_are_above_0_where_there_is_little_to_prune(planted):
    X, y = planted
    estimator = JointPruneClassifier(
        (8,), prune="inputs", max_epochs=40, retrain_epochs=1, lr=1e-2
    )
    path = joint_prune_path(X[:, :4], y, estimator=estimator)
    assert (path.alphas > 0).all() and path.inputs[-1] == 1


FEW = {"max_epochs": 6, "retrain_epochs": 8}


@pytest.fixture(scope="module")
def followed(quick, planted):
    """A run along three points; to be read, not to be changed."""
    estimator = quick(**FEW)
    return estimator, follow_path(estimator, *planted, None, [0.02, 0.5, 0.1], 20)


def test_points_are_networks_of_falling_size(followed):
    _, run = followed
    assert run.alphas.tolist() == [0.02, 0.1, 0.5]
    kept = [len(sparse.point.kept) for sparse in run.points]
    assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1]


def test_points_are_found_where_none_are_given(quick, planted):
    run = follow_path(quick(**FEW), *planted, None, None, 4)
    assert len(run.points) == len(run.alphas) == 4
    assert (np.diff(run.alphas) >= 0).all() and run.alphas[0] > 0


def test_a_point_is_retrained_as_often_as_it_is_asked_for(followed, planted):
    _, run = followed
    X, _ = planted
    first, other, again = (run.fit_at(number, 1 / 8) for number in (1, 2, 1))
    np.testing.assert_array_equal(first.support, again.support)
    read = X[:, first.support].astype(np.float32)
    np.testing.assert_array_equal(
        first.net.predict_proba(read), again.net.predict_proba(read)
    )
    assert other.support.sum() <= first.support.sum()
    assert first.network is not again.network


@pytest.mark.parametrize(("share", "epochs"), [(1 / 8, 1), (0.5, 4), (1, 8)])
def test_a_point_is_retrained_for_a_share_of_the_epochs_of_a_fit(
    followed, share, epochs
):
    fit = followed[1].fit_at(0, share)
    assert fit.history[:, "phase"] == ["sparsify"] * 12 + ["retrain"] * epochs


def test_the_support_of_a_fit_is_that_of_its_point(followed):
    _, run = followed
    for number, sparse in enumerate(run.points):
        fit = run.fit_at(number, 1 / 8)
        assert np.flatnonzero(fit.support).tolist() == sparse.point.kept.tolist()


def test_an_estimator_of_a_point_is_fitted_and_has_its_alpha(followed, planted):
    estimator, run = followed
    X, y = planted
    fit = run.fit_at(1, 1)
    fitted = run.estimator_of(1, fit)
    assert fitted.alpha == 0.1
    assert fitted.get_params() == estimator.get_params() | {"alpha": 0.1}
    assert fitted.support_ is fit.support and fitted.module_ is fit.network
    assert fitted.score(X, y) > 0.8


def test_following_a_path_leaves_the_estimator_as_it_was(followed, quick):
    estimator, run = followed
    assert not hasattr(estimator, "support_")
    assert run.estimator is not estimator
    assert estimator.get_params() == quick(**FEW).get_params()


def test_a_path_of_a_regressor_follows_numbers(planted):
    X, _ = planted
    y = X[:, [1, 5]] @ [[1.0, 2.0], [0.0, 1.0]]
    reg = JointPruneRegressor((8,), lr=1e-2, random_state=0, **FEW)
    run = follow_path(reg, X, y, None, [0.01, 0.1], 20)
    fitted = run.estimator_of(0, run.fit_at(0, 1))
    assert fitted.predict(X).shape == (400, 2)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_features_to_select": 2}, "`n_features_to_select`=2"),
        ({"prune": "none"}, "`prune`='none'"),
        ({"alpha": -1}, "'alpha' parameter"),
    ],
)
def test_what_has_no_path_is_refused(quick, planted, params, match):
    with pytest.raises(ValueError, match=match):
        follow_path(quick(**FEW, **params), *planted, None, None, 4)


def test_alphas_are_sorted_numbers_above_0():
    assert check_alphas(None) is None
    assert check_alphas((3, 1, 2)) == [1.0, 2.0, 3.0]
    assert all(type(alpha) is float for alpha in check_alphas(np.array([3, 1])))
    for bad in ([], [0.0], [-1.0], [np.inf], [np.nan], [[0.1]], ["a"], [True], 0.1):
        with pytest.raises(ValueError, match="finite numbers above 0"):
            check_alphas(bad)
