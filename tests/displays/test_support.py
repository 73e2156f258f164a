import numpy as np
import pandas as pd
import pytest
from _helpers import row_names, shown
from matplotlib import pyplot as plt
from sklearn.feature_selection import SelectKBest
from sklearn.inspection import permutation_importance

from skjointprune import InputFeatureSelector, SupportDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


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
    with pytest.raises(ValueError, match="`importances_se`"):
        SupportDisplay([True, False], importances=[1, 0], importances_se=[1.0])


def lengths_of_error_bars(ax):
    (lines,) = ax.collections
    return [segment[1, 0] - segment[0, 0] for segment in lines.get_segments()]


def test_bars_show_the_standard_errors_that_are_known(fitted):
    display = SupportDisplay.from_estimator(fitted, n_top=5)
    order = np.argsort(-fitted.feature_importances_)[:3]
    np.testing.assert_allclose(
        lengths_of_error_bars(display.ax_), 2 * fitted.feature_importances_se_[order]
    )
    without = SupportDisplay(fitted.support_, importances=fitted.feature_importances_)
    assert not without.plot().ax_.collections


def test_permutation_importance_is_0_of_dropped_inputs_alone(fitted, planted):
    found = permutation_importance(fitted, *planted, n_repeats=3, random_state=0)
    dropped = ~fitted.support_
    assert (found.importances[dropped] == 0).all()
    assert (found.importances_mean[fitted.support_] > 0.05).all()
