import warnings
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
from _helpers import RELEVANT
from _pictures import make
from torch import nn

from skjointprune import JointPruneRegressor
from skjointprune._estimators.fitted import fit_of
from skjointprune._estimators.pose import pose
from skjointprune._pruning.schedules import Sweep
from skjointprune._training.problem import Problem
from skjointprune._utils.seeds import draw_seed

CPU = torch.device("cpu")


def posed(estimator, X, y):
    return pose(estimator, X, y, None, draw_seed(estimator.random_state), CPU)


def solve(problem, alpha):
    with problem.random_state():
        sparse = problem.sparsify(problem.start(), alpha)
        return problem.retrain(sparse, problem.trace_back(sparse))


def batch(rows):
    return rows[np.arange(len(rows))][0].detach().clone()


@pytest.fixture(scope="module")
def problem(quick, planted):
    """A problem of twelve columns; to be read, not to be changed."""
    return posed(quick(alpha=0.12), *planted)


@pytest.fixture
def swept(quick, planted):
    """A problem, its data before a sweep, and the points of the sweep."""
    problem = posed(quick(), *planted)
    before = [batch(rows) for rows in problem.data.parts]
    with problem.random_state():
        points = problem.sweep(problem.start(), 10, Sweep([0.02, 0.1, 0.5], 3))
    return problem, before, points


def assert_equal_fits(fit, other, X):
    np.testing.assert_array_equal(fit.support, other.support)
    np.testing.assert_array_equal(fit.importances, other.importances)
    assert fit.report == other.report
    assert fit.history[:, "train_loss"] == other.history[:, "train_loss"]
    assert fit.history[:, "phase"] == other.history[:, "phase"]
    np.testing.assert_array_equal(fit.net.predict_proba(X), other.net.predict_proba(X))


def test_the_fit_of_a_problem_is_that_of_the_estimator(quick, planted):
    clf = quick(alpha=0.12)
    fit = solve(posed(clf, *planted), clf.alpha)
    X = planted[0][:, fit.support].astype(np.float32)
    assert_equal_fits(fit, fit_of(clf.fit(*planted)), X)
    assert fit.network is fit.net.module_


def test_the_fit_of_a_regression_is_that_of_the_estimator(planted):
    X = planted[0]
    y = X[:, RELEVANT].sum(axis=1)
    reg = JointPruneRegressor(
        (8,), alpha=0.1, max_epochs=6, retrain_epochs=3, pretrain_epochs=1,
        distillation=0.5, random_state=3,
    )  # fmt: skip
    fit = solve(posed(reg, X, y), reg.alpha)
    read = X[:, fit.support].astype(np.float32)
    assert_equal_fits(fit, fit_of(reg.fit(X, y)), read)


def test_the_fit_of_images_is_that_of_the_estimator(pictures):
    X, y = (a[:100] for a in pictures)
    clf = make(max_epochs=10, retrain_epochs=1)
    fit = solve(posed(clf, X, y), clf.alpha)
    found = fit_of(clf.fit(X, y))
    (read,) = fit.inputs.read(clf, X, fit.support, torch.float32)
    assert_equal_fits(fit, found, read)
    assert repr(fit.network) == repr(found.network)


def test_a_problem_is_solved_from_its_seed_whatever_torch_drew(quick, planted):
    clf = quick(max_epochs=3, retrain_epochs=1)
    before = torch.get_rng_state()
    first = solve(posed(clf, *planted), 0.05)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    again = solve(posed(clf, *planted), 0.05)
    X = planted[0][:, first.support].astype(np.float32)
    assert_equal_fits(first, again, X)
    other = solve(replace(posed(clf, *planted), seed=5), 0.05)
    assert other.history[:, "train_loss"] != first.history[:, "train_loss"]


def test_posing_a_problem_changes_no_parameter_and_fits_nothing(quick, planted):
    clf = quick()
    before = clf.get_params()
    problem = posed(clf, *planted)
    assert clf.get_params() == before
    assert not hasattr(clf, "support_")
    assert problem.inputs.shape == (12,) and problem.targets.n_outputs == 2
    assert problem.seed == draw_seed(0)
    assert (problem.epochs.sparsify, problem.epochs.retrain) == (15, 8)
    assert problem.n_inputs is None


@pytest.mark.parametrize("name", [field.name for field in fields(Problem)])
def test_a_problem_is_frozen(problem, name):
    with pytest.raises(FrozenInstanceError):
        setattr(problem, name, None)


def test_a_fit_is_frozen(fitted):
    fit = fit_of(fitted)
    for field in fields(fit):
        with pytest.raises(FrozenInstanceError):
            setattr(fit, field.name, None)


def test_each_start_is_from_new_weights(problem):
    with problem.random_state():
        first, second = (problem.start() for _ in range(2))
    weights = [start.network.module.linear1.weight for start in (first, second)]
    assert weights[0] is not weights[1]
    assert not torch.equal(*weights)
    assert first.size == second.size and first.size.inputs == 12
    assert len(first.history) == 0


def test_a_sweep_leaves_the_data_whole(swept):
    problem, before, points = swept
    assert [sparse.point.alpha for sparse in points] == [0.02, 0.1, 0.5]
    assert len(points[-1].point.kept) < 12
    for rows, whole in zip(problem.data.parts, before, strict=True):
        assert torch.equal(batch(rows), whole)


def test_a_view_of_a_point_has_data_of_its_inputs(swept):
    problem, before, points = swept
    for sparse in points:
        kept = sparse.point.kept
        view = problem.view_of(sparse)
        for rows, whole in zip(view.data.parts, before, strict=True):
            assert torch.equal(batch(rows), whole[:, kept])
    for rows, whole in zip(problem.data.parts, before, strict=True):
        assert torch.equal(batch(rows), whole)


def test_points_of_a_sweep_are_networks_of_their_own(swept):
    *_, points = swept
    sizes = [sparse.point.network.inputs.size for sparse in points]
    assert sizes == [len(sparse.point.kept) for sparse in points]
    assert sizes == sorted(sizes, reverse=True)
    modules = {id(sparse.point.network.module) for sparse in points}
    assert len(modules) == 3


def test_retraining_a_point_leaves_the_data_of_the_problem_whole(swept):
    problem, before, points = swept
    sparse = problem.view_of(points[-1])
    with problem.random_state():
        fit = problem.retrain(sparse, problem.trace_back(sparse), share=0.5)
    assert fit.support.sum() == len(points[-1].point.kept)
    assert fit.history[:, "phase"] == ["sparsify"] * 10 + ["retrain"] * 4
    assert len(points[-1].history) == 10
    for rows, whole in zip(problem.data.parts, before, strict=True):
        assert torch.equal(batch(rows), whole)


def test_sparsifying_takes_inputs_from_the_data(quick, planted):
    problem = posed(quick(n_features_to_select=4), *planted)
    with problem.random_state():
        sparse = problem.sparsify(problem.start(), 1e-3)
    traced = problem.trace_back(sparse)
    assert np.flatnonzero(traced.support).tolist() == sparse.point.kept.tolist()
    assert [batch(rows).shape[1] for rows in problem.data.parts] == [4, 4]


def test_a_module_of_other_outputs_than_the_targets_is_refused(quick, planted):
    problem = posed(quick(module=nn.Linear(12, 3)), *planted)
    with pytest.raises(ValueError, match=r"must give 2 outputs.* Got 3"):
        problem.start()


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), nn.Sigmoid()])
def test_a_module_that_gives_probabilities_is_told(planted, quick, end):
    module = nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2), end)
    clf = quick(module=module, max_epochs=1, retrain_epochs=0)
    with pytest.warns(UserWarning, match="`module` Sequential are probabilities"):
        clf.fit(*planted)


@pytest.mark.parametrize("end", [nn.Identity(), nn.ReLU(), nn.LogSoftmax(dim=1)])
def test_a_module_that_gives_other_numbers_is_not_blamed(planted, quick, end):
    module = nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2), end)
    clf = quick(module=module, max_epochs=1, retrain_epochs=0, alpha=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.fit(*planted)
