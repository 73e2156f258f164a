import dataclasses
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneClassifierCV,
    PathDisplay,
    PruningDisplay,
    SupportDisplay,
    joint_prune_path,
)

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def path():
    clf = JointPruneClassifier((16,), max_epochs=20, retrain_epochs=8, random_state=0)
    return joint_prune_path(*load_iris(return_X_y=True), n_alphas=4, estimator=clf)


@pytest.fixture(scope="module")
def searched(planted):
    clf = JointPruneClassifierCV(
        (8,), n_alphas=3, cv=3, max_epochs=12, retrain_epochs=8, random_state=0
    )
    return clf.fit(*planted)


@pytest.fixture(scope="module")
def of_images():
    """A classifier of images (2, 6, 7) whose class is in one row."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2, 6, 7)).astype(np.float32)
    y = rng.integers(0, 2, 200)
    X[y == 1, 1, 2] += 2
    clf = JointPruneClassifier(
        module=lambda n_outputs: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, n_outputs),
        ),
        input_groups="row",
        n_features_to_select=2,
        max_epochs=8,
        retrain_epochs=1,
        lr=1e-2,
        random_state=0,
    )
    return clf.fit(X, y)


def shown(display):
    """Return the values an image shows, and where it shows none."""
    values = display.im_.get_array()
    return values.filled(0), ~np.ma.getmaskarray(values)


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


# --- support


def test_image_shows_importances_of_retained_pixels_alone(fitted):
    display = SupportDisplay.from_estimator(fitted, image_shape=(3, 4))
    values, there = shown(display)
    np.testing.assert_array_equal(there, fitted.support_.reshape(3, 4))
    expected = fitted.feature_importances_.reshape(3, 4)
    np.testing.assert_allclose(values, np.where(there, expected, 0))
    assert "3 of 12 inputs retained" in display.ax_.get_xlabel()


def test_image_of_an_image_shows_what_the_network_sees(fitted):
    image = np.arange(12.0).reshape(3, 4)
    display = SupportDisplay.from_estimator(
        fitted, image_shape=(3, 4), values=image, colorbar=False
    )
    values, there = shown(display)
    np.testing.assert_array_equal(values, np.where(there, image, 0))


def test_images_are_shown_without_being_told_their_shape(of_images):
    display = SupportDisplay.from_estimator(of_images)
    assert display.support.shape == (2, 6, 7)
    _, there = shown(display)
    np.testing.assert_array_equal(there[:, :7], of_images.support_[0])
    np.testing.assert_array_equal(there[:, 8:], of_images.support_[1])
    assert "2 of 6 rows" in display.ax_.get_xlabel()
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == ["channel 0", "channel 1"]


def test_image_of_one_channel_is_shown_in_all(of_images):
    image = np.arange(42.0).reshape(6, 7)
    displays = [
        SupportDisplay.from_estimator(of_images, values=values)
        for values in (image, image[None], np.array([image, image]))
    ]
    first, *others = (shown(display)[0] for display in displays)
    assert first.any()
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_cropped_rows_columns_and_channels_are_counted():
    support = np.zeros((3, 8, 9), dtype=bool)
    support[np.ix_([0, 2], range(1, 5), range(2, 9))] = True
    ax = SupportDisplay(support).plot().ax_
    said = "in 2 of 3 channels, 4 of 8 rows, 7 of 9 columns"
    assert said in ax.get_xlabel()
    assert [t.get_text() for t in ax.texts][1] == "channel 1 (dropped)"


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9])
def test_no_channel_covers_another(n):
    support = np.random.default_rng(0).random((n, 5, 6)) > 0.5
    importances = np.arange(1.0, support.size + 1).reshape(support.shape)
    values, there = shown(SupportDisplay(support, importances=importances).plot())
    assert sorted(values[there]) == sorted(importances[support])


def test_bars_rank_names_and_tell_retained_from_dropped(frame, quick):
    clf = quick(n_features_to_select=3).fit(*frame)
    display = SupportDisplay.from_estimator(clf, n_top=5)
    names = row_names(display.ax_)
    assert len(names) == 5
    order = np.argsort(-clf.feature_importances_)[:3]
    assert names[:3] == clf.feature_names_in_[order].tolist()
    assert not set(names[3:]) & set(clf.get_feature_names_out())
    (bars,) = display.ax_.containers
    np.testing.assert_allclose(
        [bar.get_width() for bar in bars], clf.feature_importances_[order]
    )
    colors = [label.get_color() for label in display.ax_.get_yticklabels()]
    assert colors[0] == colors[2] != colors[3] == colors[4]
    legend = {t.get_text() for t in display.ax_.get_legend().get_texts()}
    assert legend == {"retained (3 of 12)", "dropped (9)"}


def test_bars_of_images_have_the_names_of_the_estimator(of_images):
    display = SupportDisplay.from_estimator(of_images, kind="bar", n_top=None)
    kept = row_names(display.ax_)[: of_images.support_.sum()]
    assert sorted(kept) == sorted(of_images.get_feature_names_out())


def test_bars_of_a_table_that_is_an_image_have_names_of_columns(fitted):
    display = SupportDisplay.from_estimator(fitted, image_shape=(3, 4), kind="bar")
    assert set(row_names(display.ax_)[:3]) == set(fitted.get_feature_names_out())


def test_names_of_a_series_are_read_by_position(fitted):
    names = pd.Series([f"col{i}" for i in range(12)], index=range(5, 17))
    display = SupportDisplay.from_estimator(fitted, feature_names=names)
    assert set(row_names(display.ax_)) == set(names)


def test_all_bars_are_there_if_asked_for(fitted):
    display = SupportDisplay.from_estimator(fitted, n_top=None)
    assert len(row_names(display.ax_)) == 12


def test_names_may_hold_dollars_and_be_long(fitted):
    names = [f"${{_{'long' * 20}{i}" for i in range(12)]
    display = SupportDisplay.from_estimator(fitted, feature_names=names, n_top=None)
    display.figure_.canvas.draw()  # where a formula would not parse
    drawn = row_names(display.ax_)
    assert max(map(len, drawn)) <= 32 and len(set(drawn)) == 12


def test_letters_fit_their_rows(fitted):
    _, ax = plt.subplots(figsize=(6.4, 2))
    SupportDisplay.from_estimator(fitted, n_top=None, ax=ax).figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    bottoms = np.array([box.y0 for box in boxes])
    assert (bottoms[:-1] >= np.array([box.y1 for box in boxes[1:]]) - 1).all()


def test_selector_shows_what_its_estimator_found(planted, quick):
    selector = InputFeatureSelector(quick(n_features_to_select=3)).fit(*planted)
    display = SupportDisplay.from_estimator(selector, kind="bar")
    assert display.importances[selector.get_support()].min() > 0


def test_selectors_of_scikit_learn_have_a_support_without_importances(planted):
    selector = SelectKBest(k=3).fit(*planted)
    display = SupportDisplay.from_estimator(selector, image_shape=(3, 4))
    _, there = shown(display)
    np.testing.assert_array_equal(there.ravel(), selector.get_support())
    bars = SupportDisplay.from_estimator(selector, n_top=5)
    names = row_names(bars.ax_)
    assert names[:3] == selector.get_feature_names_out().tolist()
    assert [bar.get_width() for bar in bars.ax_.containers[0]] == [1, 1, 1]
    assert len(names) == 5 and not len(bars.ax_.get_xticks())


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"image_shape": (3, 3)}, "12 inputs in all. Got"),
        ({"image_shape": (12,)}, "height, width"),
        ({"image_shape": 4}, "height, width.*Got 4"),
        ({"image_shape": "ab"}, "height, width.*Got 'ab'"),
        ({"image_shape": (-3, -4)}, "height, width"),
        ({"image_shape": (3.5, 4)}, "height, width"),
        ({"feature_names": ["a"]}, "one name for each"),
        ({"kind": "pie"}, "'image', 'bar' or None"),
        ({"kind": "image"}, "needs its shape"),
        ({"image_shape": (3, 4), "values": "saliency"}, "'support' or an image"),
        ({"image_shape": (3, 4), "values": np.zeros((2, 2))}, "shape"),
        ({"n_top": 0}, "at least 1"),
        ({"n_top": 2.5}, "`n_top` must be a whole number"),
    ],
)
def test_what_cannot_be_shown_is_refused(fitted, params, match):
    with pytest.raises(ValueError, match=match):
        SupportDisplay.from_estimator(fitted, **params)


def test_importances_of_other_inputs_are_refused():
    with pytest.raises(ValueError, match="`importances`"):
        SupportDisplay([True, False], importances=[1.0])


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
    with pytest.raises(ValueError, match="JointPruneClassifierCV"):
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
        display.from_estimator(JointPruneClassifierCV())


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
