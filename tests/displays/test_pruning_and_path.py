import dataclasses
import sys

import numpy as np
import pytest
from _helpers import row_names
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneCV,
    PathDisplay,
    PruningDisplay,
    SupportDisplay,
    joint_prune_path,
)

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def path():
    clf = JointPruneClassifier((16,), max_epochs=20, retrain_epochs=8, random_state=0)
    return joint_prune_path(*load_iris(return_X_y=True), n_alphas=4, estimator=clf)


@pytest.fixture(scope="module")
def searched(planted):
    clf = JointPruneClassifier((8,), max_epochs=12, retrain_epochs=8, random_state=0)
    return JointPruneCV(clf, n_alphas=3, rule="best", cv=3).fit(*planted)


# --- paths


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


# --- units before and after


def test_layers_are_drawn_before_and_after(joint):
    display = PruningDisplay.from_estimator(joint)
    assert row_names(display.ax_) == ["inputs", "linear1"]
    before, after = display.ax_.containers
    assert [bar.get_width() for bar in before] == [1, 1]
    size = joint.report_.pruned
    shares = [size.inputs / 12, size.units["linear1"] / 16]
    np.testing.assert_allclose([bar.get_width() for bar in after], shares)
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f"{size.inputs} of 12", f"{size.units['linear1']} of 16"]


def test_counts_are_of_units_alone(joint):
    display = PruningDisplay.from_estimator(joint, normalize=False)
    before, after = display.ax_.containers
    assert [bar.get_width() for bar in before] == [16]
    assert [bar.get_width() for bar in after] == [joint.report_.pruned.units["linear1"]]


def test_what_is_kept_whole_is_marked(joint):
    whole = dataclasses.replace(joint.report_, kept_whole={"linear1": "a reason"})
    texts = [text.get_text() for text in PruningDisplay(whole).plot().ax_.texts]
    assert ["kept whole" in text for text in texts] == [False, True]


def test_network_without_hidden_layers_has_its_inputs(joint):
    bare = dataclasses.replace(
        joint.report_,
        dense=dataclasses.replace(joint.report_.dense, units={}),
        pruned=dataclasses.replace(joint.report_.pruned, units={}),
    )
    assert row_names(PruningDisplay(bare).plot().ax_) == ["inputs"]
    assert row_names(PruningDisplay(bare).plot(normalize=False).ax_) == []


# --- all of them


@pytest.fixture
def draws(fitted, path, joint):
    return {
        "image": lambda ax: SupportDisplay.from_estimator(
            fitted, image_shape=(3, 4), ax=ax
        ),
        "bars": lambda ax: SupportDisplay.from_estimator(fitted, ax=ax),
        "path": lambda ax: PathDisplay.from_path(path, ax=ax),
        "units": lambda ax: PruningDisplay.from_estimator(joint, ax=ax),
    }


@pytest.mark.parametrize("name", ["image", "bars", "path", "units"])
def test_displays_draw_on_the_axes_given_and_make_no_figure(draws, name):
    figure, ax = plt.subplots()
    display = draws[name](ax)
    assert display.ax_ is ax and display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", ["image", "bars", "path", "units"])
def test_displays_leave_backgrounds_to_the_style(draws, name):
    with plt.style.context("dark_background"):
        display = draws[name](None)
        axes = np.ravel(display.ax_)
        assert {ax.get_facecolor() for ax in axes} == {(0.0, 0.0, 0.0, 1.0)}
        assert display.figure_.get_facecolor() == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", ["image", "bars", "path", "units"])
def test_displays_without_matplotlib_say_what_to_install(draws, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "skjointprune\[plot\]"'):
        draws[name](None)


@pytest.mark.parametrize("display", [SupportDisplay, PathDisplay, PruningDisplay])
def test_displays_need_a_fitted_estimator(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(JointPruneCV())


@pytest.mark.parametrize("display", [SupportDisplay, PruningDisplay])
def test_selectors_of_a_fitted_estimator_are_drawn_without_a_fit(display, joint):
    selector = InputFeatureSelector(joint, prefit=True)
    shown = display.from_estimator(selector), display.from_estimator(joint)
    widths = [[b.get_width() for b in d.ax_.containers[-1]] for d in shown]
    assert widths[0] == widths[1] and max(widths[0]) > 0


@pytest.mark.parametrize("display", [SupportDisplay, PruningDisplay])
def test_displays_of_a_pipeline_or_a_search_are_of_its_end(display, fitted):
    pipe = make_pipeline(StandardScaler(), fitted)
    search = GridSearchCV(pipe, {})
    with pytest.raises(NotFittedError):
        display.from_estimator(search)
    search.best_estimator_ = pipe
    shown = [display.from_estimator(e) for e in (search, pipe, fitted)]
    names = [row_names(d.ax_) for d in shown]
    assert names[0] == names[1] == names[2]


@pytest.mark.parametrize("display", [SupportDisplay, PruningDisplay])
def test_displays_of_a_pipeline_that_ends_in_no_selector_ask_for_it(display, fitted):
    with pytest.raises(ValueError, match="step of a Pipeline"):
        display.from_estimator(make_pipeline(fitted, StandardScaler().fit([[0.0]])))


def test_path_of_a_search_is_that_of_the_best(searched):
    search = GridSearchCV(searched, {})
    search.best_estimator_ = searched
    assert PathDisplay.from_estimator(search).chosen == searched.best_index_


def test_permutation_importance_is_0_of_dropped_inputs_alone(fitted, planted):
    found = permutation_importance(fitted, *planted, n_repeats=3, random_state=0)
    dropped = ~fitted.support_
    assert (found.importances[dropped] == 0).all()
    assert (found.importances_mean[fitted.support_] > 0.05).all()
