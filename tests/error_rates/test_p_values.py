import numpy as np
import pandas as pd
import pytest
from _helpers import RELEVANT
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
)
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from skjointprune import JointPruneSurvival, p_values
from skjointprune._error_rates.p_values import _losses


@pytest.fixture(scope="module")
def table():
    """Three of 20 inputs decide y; neighbours are alike."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20))
    for i in range(1, 20):
        X[:, i] = 0.7 * X[:, i - 1] + 0.7 * X[:, i]
    y = X[:, [2, 9, 15]] @ [1.0, -1.0, 1.0] + 0.5 * rng.normal(size=300)
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.mark.parametrize("conditional", ["gaussian", "ranks"])
def test_inputs_that_decide_are_found_and_not_their_neighbours(table, conditional):
    found = p_values(
        LinearRegression(), *table, conditional=conditional, random_state=0
    )
    assert found.fdr_selection(0.1)[[2, 9, 15]].all()
    assert found.fdr_selection(0.1).sum() <= 4
    assert np.flatnonzero(found.fwer_selection(0.01)).tolist() == [2, 9, 15]


def test_p_values_of_inputs_that_say_nothing_are_seldom_small():
    rng = np.random.default_rng(0)
    p = []
    for seed in range(25):
        X = rng.normal(size=(100, 12))
        X[:, 6:] += X[:, :6]
        y = X[:, 0] + rng.normal(size=100)
        found = p_values(LinearRegression(), X, y, random_state=seed, n_permutations=5)
        p.append(found.pvalues_[1:])
    for level in (0.02, 0.1, 0.3):
        assert (np.ravel(p) <= level).mean() < 1.3 * level


def test_copies_of_inputs_that_decide_are_no_more_than_chance():
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(200, 20))
        copy = X[:, :1] + 0.3 * rng.normal(size=(200, 1))
        y = X[:, 0] + rng.normal(size=200)
        X = np.column_stack([X, copy, X[:, 1]])
        found.append(
            p_values(Ridge(), X, y, random_state=seed, n_permutations=5).pvalues_
        )
    p = np.array(found)
    assert (p[:, 20] < 0.05).mean() < 0.15
    assert (p[:, [1, 21]] == 1).all()  # of twins each tells the other


def test_a_network_is_asked_for_what_it_keeps_alone(quick, planted):
    clf = quick(n_features_to_select=4)
    found = p_values(clf, *planted, cv=3, random_state=0)
    assert np.flatnonzero(found.fdr_selection(0.05)).tolist() == RELEVANT
    unread = found.importances_ == 0
    assert unread.any() and (found.pvalues_[unread] == 1).all()


def test_importances_are_the_loss_of_losing_what_others_do_not_tell():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2))
    X[:, 1] = 0.8 * X[:, 0] + 0.6 * X[:, 1]
    y = 2 * X[:, 0] + 0.1 * rng.normal(size=4000)
    found = p_values(LinearRegression(), X, y, random_state=0)
    # the difference of two draws, given the other column, of variance 0.36 each
    expected = 4 * 2 * 0.36 / y.var()
    assert abs(found.importances_[0] - expected) < 4 * found.importances_se_[0]
    assert abs(found.importances_[1]) < 0.01


def test_p_values_are_those_of_a_t_test_over_rows(table):
    found = p_values(LinearRegression(), *table, random_state=0)
    t = found.importances_ / found.importances_se_
    np.testing.assert_allclose(found.pvalues_, stats.t(299).sf(t), rtol=1e-6)


def test_twins_are_found_as_a_group_and_not_alone(table):
    X, y = table
    twin = X[:, 2] + 0.02 * np.random.default_rng(0).normal(size=300)
    frame = pd.DataFrame(np.column_stack([X, twin])).add_prefix("c")
    alone = p_values(LinearRegression(), frame, y, random_state=0)
    pair = p_values(
        LinearRegression(), frame, y, groups=[["c2", "c20"]], random_state=0
    )
    assert pair.fdr_selection()[[2, 20]].all()
    assert pair.pvalues_[2] == pair.pvalues_[20] < 1e-3 * alone.pvalues_[[2, 20]].min()
    assert pair.names[20] == "c20"


def test_a_seed_repeats_whatever_the_number_of_processes(table):
    one, two, other = (
        p_values(LinearRegression(), *table, cv=2, random_state=seed, n_jobs=n).pvalues_
        for seed, n in ((0, None), (0, 2), (1, None))
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_folds_may_be_given(table):
    folds = KFold(3)
    a = p_values(LinearRegression(), *table, cv=folds, random_state=0)
    b = p_values(
        LinearRegression(), *table, cv=list(folds.split(table[0])), random_state=0
    )
    np.testing.assert_array_equal(a.pvalues_, b.pvalues_)


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), RidgeClassifier(), make_pipeline(StandardScaler(), SVR())],
)
def test_any_estimator_that_predicts_will_do(table, estimator):
    X, y = table
    regression = hasattr(estimator, "steps")
    target = y if regression else np.where(y > 0, "high", "low")
    found = p_values(estimator, X, target, cv=3, random_state=0)
    assert found.pvalues_[[2, 9, 15]].max() < 0.01


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_an_estimator_is_given_frames_where_x_is_one(table, library):
    kind = pytest.importorskip(library).DataFrame
    names = [f"x{i}" for i in range(20)]
    X = kind(dict(zip(names, table[0].T, strict=True)))
    of_three = ColumnTransformer([("kept", "passthrough", ["x2", "x9", "x15"])])
    estimator = make_pipeline(of_three, LinearRegression())
    found = p_values(estimator, X, table[1], cv=3, random_state=0)
    assert np.flatnonzero(found.pvalues_ < 0.01).tolist() == [2, 9, 15]
    bare = p_values(LinearRegression(), table[0], table[1], cv=3, random_state=0)
    framed = p_values(LinearRegression(), X, table[1], cv=3, random_state=0)
    np.testing.assert_allclose(framed.pvalues_, bare.pvalues_)


class Sure(ClassifierMixin, BaseEstimator):
    classes_ = np.array(["a", "b"])

    def __init__(self):
        self.fitted_ = True

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def test_losses_are_cross_entropies_misses_or_squared_errors():
    X = np.array([[0.1], [0.5], [1.0]])
    losses = _losses(Sure(), X, np.array(["a", "b", "c"]), np.ones(()))
    np.testing.assert_allclose(losses[:2], -np.log([0.9, 0.5]))
    assert np.isfinite(losses[2]) and losses[2] > 10  # of a class that is not known
    line = LinearRegression().fit(X, np.column_stack([X, -X]))
    losses = _losses(line, X, np.zeros((3, 2)), np.array([1.0, 0.5]))
    np.testing.assert_allclose(losses, 5 * X[:, 0] ** 2, atol=1e-12)


def test_the_unit_of_a_target_does_not_matter(table):
    X, y = table
    found = [
        p_values(LinearRegression(), X, scale * y, random_state=0).pvalues_
        for scale in (1, 1e90, 1e-90)
    ]
    np.testing.assert_allclose(found[1], found[0])
    np.testing.assert_allclose(found[2], found[0])


def test_what_does_not_fit_is_refused_by_name(table):
    X, y = table
    with pytest.raises(ValueError, match="y=None"):
        p_values(LinearRegression(), X, None)
    with pytest.raises(ValueError, match="`groups`"):
        p_values(LinearRegression(), X, y, groups=[[99]])
    with pytest.raises(ValueError, match=r"at least one split. Got none from \[\]"):
        p_values(LinearRegression(), X, y, cv=[])
    events = pd.DataFrame({"event": y > 0, "time": np.abs(y)})
    with pytest.raises(ValueError, match=r"losses of single rows, .* DataFrame; use"):
        p_values(JointPruneSurvival(), X, events)
    with pytest.raises(ValueError, match="'conditional'"):
        p_values(LinearRegression(), X, y, conditional="lasso")
    text = pd.DataFrame(X).add_prefix("x").assign(city="Oslo")
    with pytest.raises(ValueError, match=r"`p_values` .* the column 'city' of text"):
        p_values(LinearRegression(), text, y)
    gap = pd.DataFrame(X).add_prefix("x")
    gap.loc[3, "x2"] = np.nan
    with pytest.raises(ValueError, match="NaN in the column 'x2' of X"):
        p_values(LinearRegression(), gap, y)


class Flat(LinearRegression):
    """Predicts one dimension, whatever y had, as forests do."""

    def predict(self, X):
        return super().predict(X).ravel()


def test_targets_may_be_one_column(table):
    X, y = table
    right = p_values(Flat(), X, y, random_state=0)
    found = p_values(Flat(), X, pd.DataFrame({"y": y}), random_state=0)
    np.testing.assert_allclose(found.pvalues_, right.pvalues_, rtol=1e-6)
