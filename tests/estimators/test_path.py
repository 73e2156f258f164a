import pickle

import numpy as np
import pytest
import torch
from _helpers import RELEVANT

from skjointprune import (
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
    joint_prune_path,
)


@pytest.fixture(scope="module")
def quick(quick):
    """Make a classifier whose network reads the numbers as they are."""

    def make(**params):
        plain = {
            "module__embedding": None,
            "module__clip": None,
            "module__scale_inputs": False,
        }
        return quick(**params) if "module" in params else quick(**(plain | params))

    return make


@pytest.fixture(scope="module")
def path(quick, planted):
    estimator = quick(validation_fraction=0.25)
    return joint_prune_path(
        *planted, n_alphas=8, estimator=estimator, return_estimators=True
    )


def test_points_go_from_nearly_dense_to_the_last_input_and_unit(path):
    assert len(path) == 8
    assert path.inputs[0] >= 9
    assert path.inputs[-1] == 1 and path.units[-1].tolist() == [1]
    for falling in (path.inputs, path.units[:, 0], path.parameters, path.macs):
        assert (np.diff(falling) <= 0).all()
    assert (np.diff(path.alphas) >= 0).all()


def test_no_point_is_wasted(path):
    assert (np.diff(path.parameters) < 0).all()


def test_inputs_that_went_do_not_come_back(path):
    assert (path.supports[1:] <= path.supports[:-1]).all()
    np.testing.assert_array_equal(path.supports.sum(axis=1), path.inputs)
    assert (path.importances[~path.supports] == 0).all()


def test_what_matters_goes_last(path):
    few = path.supports[path.inputs >= 3][-1]
    assert few[RELEVANT].all()
    assert path.scores[path.inputs >= 3].min() > 0.85 > path.scores[-1]


def test_estimators_are_fitted_ones_of_the_size_of_their_point(path, planted):
    X, y = planted
    for i, clf in enumerate(path.estimators):
        assert clf.alpha == path.alphas[i]
        np.testing.assert_array_equal(clf.support_, path.supports[i])
        assert clf.report_.pruned == path.sizes[i]
        assert clf.module_.linear1.out_features == path.units[i, 0]
        assert clf.score(X, y) == pytest.approx(path.scores[i], abs=0.1)
    phases = path.estimators[0].history_[:, "phase"]
    assert phases == sorted(phases, reverse=True) and len(set(phases)) == 2


def test_estimators_are_not_kept_unless_asked_for(quick, planted):
    assert joint_prune_path(*planted, n_alphas=2, estimator=quick()).estimators == []


def test_a_fit_with_the_alpha_of_a_point_has_about_its_size(path, quick, planted):
    for i in (1, 2, 3):
        clf = quick(validation_fraction=0.25, alpha=path.alphas[i]).fit(*planted)
        assert clf.report_.pruned.inputs == pytest.approx(path.inputs[i], abs=3)
        assert clf.report_.pruned.macs == pytest.approx(path.macs[i], rel=0.5)


def test_same_seed_gives_the_same_path(path, quick, planted):
    again = joint_prune_path(
        *planted, n_alphas=8, estimator=quick(validation_fraction=0.25)
    )
    np.testing.assert_array_equal(again.alphas, path.alphas)
    np.testing.assert_array_equal(again.scores, path.scores)


def test_groups_of_inputs_go_together_along_the_path(quick, planted):
    labels = np.repeat(np.arange(4), 3)
    estimator = quick(feature_groups=labels)
    path = joint_prune_path(*planted, n_alphas=4, estimator=estimator)
    by_group = path.supports.reshape(len(path), 4, 3)
    assert (by_group.all(axis=2) == by_group.any(axis=2)).all()
    assert path.inputs[-1] == 3


def test_continuous_y_takes_a_regressor(planted):
    X, _ = planted
    y = X[:, 1] + X[:, 5]
    estimator = JointPruneRegressor((8,), max_epochs=8, retrain_epochs=8, lr=1e-2)
    path = joint_prune_path(X, y, n_alphas=3, estimator=estimator)
    assert path.score_name == "R2" and "R2" in repr(path)


def test_without_held_out_rows_scores_are_nan(quick, planted):
    estimator = quick(validation_fraction=None)
    path = joint_prune_path(*planted, n_alphas=2, estimator=estimator)
    assert np.isnan(path.scores).all()


def test_repr_has_a_line_a_point(path):
    lines = repr(path).splitlines()
    assert len(lines) == 1 + len(path)
    assert all(word in lines[0] for word in ("alpha", "inputs", "MACs", "accuracy"))


def test_the_estimator_is_left_alone(quick, planted):
    estimator = quick()
    before = dict(vars(estimator))
    joint_prune_path(*planted, n_alphas=2, estimator=estimator)
    assert vars(estimator) == before


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"alphas": [0.1, 0.0]}, "above 0"),
        ({"alphas": []}, "above 0"),
        ({"alphas": ["a"]}, "above 0"),
        ({"n_alphas": 0}, "n_alphas"),
        (
            {"estimator": JointPruneClassifier(n_features_to_select=2)},
            "leave the first",
        ),
        ({"estimator": JointPruneClassifier(prune="none")}, "leave the first"),
        ({"estimator": JointPruneClassifier(max_epochs=2)}, "needs at least"),
        (
            {"estimator": JointPruneClassifier((), prune="weights", max_epochs=20)},
            "something that may go",
        ),
        ({"estimator": JointPruneCV()}, "estimator"),
    ],
)
def test_bad_parameters_are_refused(planted, params, match):
    with pytest.raises(ValueError, match=match):
        joint_prune_path(*planted, **params)


def test_fitted_points_hold_no_rows(path):
    sizes = [len(pickle.dumps(clf)) for clf in path.estimators]
    assert max(sizes) < 60_000
    assert all(clf.net_.train_split is None for clf in path.estimators)


def test_frame_has_a_row_a_point(path):
    frame = path.to_frame()
    np.testing.assert_array_equal(frame["alpha"], path.alphas)
    np.testing.assert_array_equal(frame["inputs"], path.inputs)
    np.testing.assert_array_equal(frame["units of linear1"], path.units[:, 0])
    np.testing.assert_array_equal(frame["MACs"], path.macs)
    np.testing.assert_array_equal(frame["accuracy"], path.scores)


def test_html_has_a_row_a_point(path):
    html = path._repr_html_()
    assert html.count("<tr>") == 1 + len(path)
    for size, score in zip(path.sizes, path.scores, strict=True):
        assert f"<td>{size.parameters:,}</td>" in html
        assert f"<td>{score:.4f}</td>" in html


def test_a_path_is_the_same_where_gradients_are_switched_off(quick, planted):
    clf = quick(max_epochs=3, retrain_epochs=2)
    path = joint_prune_path(*planted, n_alphas=2, estimator=clf)
    with torch.inference_mode():
        without = joint_prune_path(*planted, n_alphas=2, estimator=clf)
    np.testing.assert_array_equal(without.importances, path.importances)
