import numpy as np
import pytest
from matplotlib import pyplot as plt

from skjointprune import KnockoffDisplay, KnockoffSelection

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture
def selection():
    statistics = np.array([[5.0, -1, 7, 0, 6], [4.0, -3, 8, 0, 6]])
    groups = tuple(np.array([i]) for i in range(5))
    return KnockoffSelection(statistics, 0.2, 5, 1, groups, np.array(list("abcde")))


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_bars_are_mean_statistics_selected_ones_first(selection):
    display = KnockoffDisplay.from_selection(selection)
    assert labels(display.ax_) == ["c", "e", "a", "d", "b"]
    lengths = [bar.get_width() for group in display.ax_.containers for bar in group]
    assert lengths == [7.5, 6, 4.5, 0, -2]
    _, texts = display.ax_.get_legend_handles_labels()
    assert "selected at 0.2 (3)" in texts and "not selected (2)" in texts


def test_each_repeat_has_its_dots(selection):
    ax = KnockoffDisplay.from_selection(selection, n_top=2).ax_
    dots = next(line for line in ax.lines if line.get_marker() == ".")
    assert sorted(dots.get_xdata()) == [6, 6, 7, 8]
    assert labels(ax) == ["c", "e"]


def test_axes_that_are_given_are_drawn_on(selection):
    _, ax = plt.subplots()
    assert KnockoffDisplay.from_selection(selection, ax=ax).ax_ is ax


@pytest.mark.parametrize("n_top", [0, 2.5, "all"])
def test_numbers_of_bars_are_checked(selection, n_top):
    with pytest.raises(ValueError, match="`n_top`"):
        KnockoffDisplay.from_selection(selection, n_top=n_top)
