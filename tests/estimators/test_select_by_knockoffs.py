"""`InputFeatureSelector` with `fdr`."""

import numpy as np
import pandas as pd
import pytest
from _helpers import RELEVANT
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skjointprune import (
    InputFeatureSelector,
    JointPruneRegressor,
    KnockoffDisplay,
    knockoff_selection,
)
from skjointprune._estimators.select_by_knockoffs import SMALL_NETWORK


@pytest.fixture(scope="module")
def few(quick):
    """A network that keeps few of the columns and their knockoffs."""
    return quick(
        n_features_to_select=12,
        prune="inputs",
        max_epochs=5,
        retrain_epochs=2,
        validation_fraction=0.3,
    )


@pytest.fixture(scope="module")
def selector(few, frame):
    """Selected at a rate out of a frame; to be read, not to be changed."""
    return InputFeatureSelector(few, fdr=0.2).fit(*frame)


def test_the_selection_is_that_of_the_function(selector, few, frame):
    X, y = frame
    found = knockoff_selection(few, X, y, fdr=0.2, random_state=0)
    np.testing.assert_array_equal(selector.get_support(), found.support_)
    np.testing.assert_array_equal(selector.knockoffs_.q_values_, found.q_values_)
    assert selector.get_support()[RELEVANT].all()


def test_what_is_selected_is_transformed_by_name(selector, frame):
    X, _ = frame
    names = selector.get_feature_names_out()
    assert names.tolist() == X.columns[selector.get_support()].tolist()
    np.testing.assert_array_equal(selector.transform(X), X[names])
    assert selector.n_features_in_ == 12
    assert selector.feature_names_in_.tolist() == X.columns.tolist()
    back = selector.inverse_transform(selector.transform(X))
    assert (back[:, ~selector.get_support()] == 0).all()


def test_arrays_have_no_names(few, planted):
    fitted = InputFeatureSelector(few, fdr=0.3).fit(*planted)
    assert not hasattr(fitted, "feature_names_in_")
    assert set(fitted.get_feature_names_out()) >= {"x1", "x5", "x8"}


def test_the_default_network_suits_the_target(monkeypatch):
    monkeypatch.setitem(SMALL_NETWORK, "max_epochs", 20)
    monkeypatch.setitem(SMALL_NETWORK, "retrain_epochs", 8)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5))
    fitted = InputFeatureSelector(fdr=0.3)
    assert "fdr=0.3" in repr(fitted)
    fitted.fit(X, X[:, 0] + X[:, 1])
    assert fitted.get_support()[:2].all()


@pytest.mark.parametrize("X", [[1, 2, 3], np.zeros((4, 2, 2, 2)), [["a"], ["b"]]])
def test_what_is_no_table_of_numbers_is_refused(X):
    with pytest.raises(ValueError):
        InputFeatureSelector(fdr=0.1).fit(X, np.arange(len(X)) / 2)


class Linear(LinearRegression):
    def get_support(self, indices=False):
        return np.ones(self.n_features_in_, dtype=bool)


def test_a_search_chooses_the_rate_in_a_pipeline(planted):
    X, y = planted
    pipe = make_pipeline(InputFeatureSelector(Linear()), LogisticRegression())
    grid = {"inputfeatureselector__fdr": [0.2, 0.5]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    chosen = search.best_estimator_[0]
    assert chosen.fdr == search.best_params_["inputfeatureselector__fdr"]
    assert search.predict(X).shape == (400,)


def test_clones_and_refits_forget_the_selection(selector, few, planted):
    copy = clone(selector)
    with pytest.raises(NotFittedError):
        copy.get_support()
    copy.set_params(fdr=None).fit(*planted)
    assert not hasattr(copy, "knockoffs_") and hasattr(copy, "estimator_")
    assert not hasattr(selector, "get_group_support")
    assert hasattr(copy, "get_group_support")


def test_the_diagram_has_the_selection_below(selector):
    html = selector._repr_mimebundle_()["text/html"]
    assert "false discovery rate of 0.2" in html and "col5" in html


@pytest.mark.usefixtures("closed_figures")
def test_the_display_is_that_of_the_selection(selector):
    display = KnockoffDisplay.from_estimator(selector)
    assert display.selection is selector.knockoffs_
    plt.close(display.figure_)


def test_nothing_selected_is_said(quick):
    X = np.random.default_rng(0).normal(size=(60, 5))
    y = np.tile([0, 1], 30)
    none = InputFeatureSelector(quick(max_epochs=2, retrain_epochs=1), fdr=0.02)
    with pytest.warns(UserWarning, match="No input is selected at `fdr`=0.02"):
        none.fit(pd.DataFrame(X).add_prefix("c"), y)
    assert none.transform(pd.DataFrame(X).add_prefix("c")).shape == (60, 0)


@pytest.mark.parametrize(
    "changed", [{"alpha": 0.1}, {"n_features_to_select": 3}, {"prefit": True}]
)
def test_other_ways_to_say_how_much_are_refused(few, planted, changed):
    with pytest.raises(ValueError, match="`fdr` says how much"):
        InputFeatureSelector(few, fdr=0.1, **changed).fit(*planted)


def test_a_failed_fit_leaves_the_selection(selector, frame):
    copied = clone(selector)
    copied.estimator = JointPruneRegressor()
    copied.knockoffs_ = before = selector.knockoffs_
    with pytest.raises(ValueError, match="y"):
        copied.fit(frame[0], frame[1])  # labels, not numbers
    assert copied.knockoffs_ is before
