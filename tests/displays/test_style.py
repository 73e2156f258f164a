import sys

import numpy as np
import pytest
from _helpers import row_names
from matplotlib import pyplot as plt
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skjointprune import (
    InputFeatureSelector,
    JointPruneCV,
    PathDisplay,
    PruningDisplay,
    SupportDisplay,
)

pytestmark = pytest.mark.usefixtures("closed_figures")


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
    open_before = plt.get_fignums()
    display = draws[name](ax)
    assert display.ax_ is ax and display.figure_ is figure
    assert plt.get_fignums() == open_before


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
