import dataclasses

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.model_selection import GridSearchCV

from skjointprune import (
    JointPruneClassifier,
    JointPruneCV,
    PathDisplay,
)

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def searched(planted):
    clf = JointPruneClassifier((8,), max_epochs=12, retrain_epochs=8, random_state=0)
    return JointPruneCV(clf, n_alphas=3, rule="best", cv=3).fit(*planted)


def test_path_is_drawn_against_inputs_and_macs_with_the_best_point_marked(path):
    display = PathDisplay.from_path(path)
    assert [ax.get_xlabel() for ax in display.ax_] == ["inputs", "MACs"]
    assert display.ax_[0].get_ylabel() == "held-out accuracy"
    for ax, sizes in zip(display.ax_, (path.inputs, path.macs), strict=True):
        curve, star = ax.get_lines()[0], ax.get_lines()[-1]
        np.testing.assert_array_equal(curve.get_xdata(), sizes)
        np.testing.assert_array_equal(curve.get_ydata(), path.scores)
        assert star.get_ydata() == path.scores.max()
        assert ax.get_xscale() == "log"


def test_rule_and_position_choose_the_point(path):
    display = PathDisplay.from_path(path, rule=2)
    assert display.chosen == len(path) - 1  # any score is within 2 of the best
    assert f"alpha={path.alphas[-1]:.3g}" in str(
        [t.get_text() for t in display.ax_[-1].get_legend().get_texts()]
    )
    assert PathDisplay.from_path(path, chosen=1).chosen == 1
    unmarked = PathDisplay.from_path(path, rule=None)
    assert unmarked.chosen is None and unmarked.ax_[-1].get_legend() is None


@pytest.mark.parametrize("rule", ["one_se", -1, True])
def test_rules_that_a_path_has_no_use_for_are_refused(path, rule):
    with pytest.raises(ValueError, match="`rule` must be 'best'"):
        PathDisplay.from_path(path, rule=rule)


@pytest.mark.parametrize("chosen", [4, -5, 44, 1.0])
def test_point_that_a_path_has_not_is_refused(path, chosen):
    assert len(path) == 4
    with pytest.raises(ValueError, match=r"`chosen` must be .* 4 points"):
        PathDisplay.from_path(path, chosen=chosen)


def test_what_is_no_path_is_refused(fitted):
    with pytest.raises(ValueError, match=r"`path` must be .*JointPruneClassifier"):
        PathDisplay.from_path(fitted)


def test_path_without_scores_is_refused(path):
    blind = dataclasses.replace(path, scores=np.full(len(path), np.nan))
    with pytest.raises(ValueError, match="validation_fraction"):
        PathDisplay.from_path(blind)


def test_cross_validation_is_drawn_with_standard_errors_and_its_choice(searched):
    display = PathDisplay.from_estimator(searched)
    results = searched.cv_results_
    folds = np.array([results[f"split{i}_test_score"] for i in range(3)])
    np.testing.assert_allclose(display.errors, folds.std(axis=0, ddof=1) / np.sqrt(3))
    assert display.chosen == searched.best_index_
    star = display.ax_[0].get_lines()[-1]
    assert star.get_ydata() == results["mean_test_score"].max()
    assert star.get_xdata() == results["mean_inputs"][searched.best_index_]
    (bars,) = display.ax_[0].collections
    tops = np.array([segment[1, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(tops, results["mean_test_score"] + display.errors)
    assert display.ax_[0].get_ylabel() == "accuracy"


def test_path_is_drawn_on_the_axes_given(path):
    _, axes = plt.subplots(1, 2)
    assert PathDisplay.from_path(path, ax=axes[1]).ax_ is axes[1]
    assert axes[1].get_xlabel() == "inputs"
    display = PathDisplay.from_path(path, ax=axes[1], x="parameters", color="C1")
    assert display.ax_.get_xlabel() == "parameters"
    assert display.ax_.get_lines()[-2].get_color() == "C1"
    both = PathDisplay.from_path(path, ax=list(axes), x=("macs", "parameters"))
    assert list(both.ax_) == list(axes)
    assert not len(axes[0].get_shared_y_axes().get_siblings(axes[0])) > 1


@pytest.mark.parametrize(
    ("params", "match"),
    [({"x": "size"}, "`x` must name"), ({"x": ["inputs", "macs"]}, "one axes for")],
)
def test_axes_and_sizes_that_do_not_fit_are_refused(path, params, match):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=match):
        PathDisplay.from_path(path, ax=ax, **params)


def test_estimator_without_a_path_is_refused(fitted):
    with pytest.raises(ValueError, match="JointPruneCV"):
        PathDisplay.from_estimator(fitted)


def test_path_of_a_search_is_that_of_the_best(searched):
    search = GridSearchCV(searched, {})
    search.best_estimator_ = searched
    assert PathDisplay.from_estimator(search).chosen == searched.best_index_
