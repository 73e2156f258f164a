import numpy as np
import pandas as pd
import pytest
from _helpers import RELEVANT
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skjointprune import JointPruneCV, JointPruneRegressor, knockoff_selection


@pytest.fixture(scope="module")
def table():
    """Ten of 30 inputs decide y."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 30))
    y = X[:, :10] @ np.tile([1.0, -1.0], 5) + rng.normal(size=300)
    X.flags.writeable = y.flags.writeable = False
    return X, y


class Watched(LinearRegression):
    """Keep the rows and seeds of each fit; worth is the first row's numbers."""

    seen: list = []  # noqa: RUF012

    def __init__(self, random_state=None):
        self.random_state = random_state
        super().__init__()

    def fit(self, X, y, sample_weight=None):
        self.seen.append((X, self.random_state, sample_weight))
        super().fit(X, y, sample_weight=sample_weight)
        self.coef_ = X[0]
        return self


@pytest.fixture
def seen():
    Watched.seen.clear()
    return Watched.seen


def test_inputs_that_decide_are_found_by_a_network(quick, planted):
    clf = quick(
        n_features_to_select=4,
        prune="inputs",
        validation_fraction=0.3,
        batch_size=32,
    )
    selection = knockoff_selection(
        clf, *planted, fdr=0.2, n_repeats=3, n_knockoffs=3, random_state=0
    )
    assert selection.support_[RELEVANT].all()
    assert selection.support_.sum() <= 4


@pytest.mark.parametrize("kind", ["gaussian", "ranks"])
def test_inputs_that_decide_are_found_by_a_lasso(table, kind):
    selection = knockoff_selection(
        Lasso(0.05), *table, fdr=0.2, knockoffs=kind, random_state=0
    )
    assert (np.flatnonzero(selection.support_[:10])).size == 10
    assert selection.support_[10:].sum() <= 3


def test_nothing_is_selected_where_y_says_nothing(table):
    X, y = table
    found = [
        knockoff_selection(
            Lasso(0.05),
            X,
            np.random.default_rng(seed).permutation(y),
            n_repeats=3,
            random_state=seed,
        ).support_.any()
        for seed in range(20)
    ]
    assert sum(found) <= 4


def test_false_inputs_are_ahead_of_their_knockoffs_one_time_in_so_many(table):
    X, y = table
    for m in (1, 3):
        selection = knockoff_selection(
            LinearRegression(), X, y, n_knockoffs=m, n_repeats=20, random_state=0
        )
        ahead = (selection.statistics_by_repeat[:, 10:] > 0).mean()
        assert ahead == pytest.approx(1 / (m + 1), abs=0.1)


def test_statistics_change_sign_where_an_input_and_its_knockoff_change_places(table):
    X, y = table
    knockoffs = np.random.default_rng(1).normal(size=X.shape)
    swapped_x, swapped_knockoffs = X.copy(), knockoffs.copy()
    swapped_x[:, 3:7], swapped_knockoffs[:, 3:7] = knockoffs[:, 3:7], X[:, 3:7]

    def statistics(X, knockoffs):
        return knockoff_selection(
            LinearRegression(), X, y, knockoffs=knockoffs, n_repeats=1, random_state=0
        ).statistics_

    before, after = statistics(X, knockoffs), statistics(swapped_x, swapped_knockoffs)
    sign = np.where((np.arange(30) >= 3) & (np.arange(30) < 7), -1, 1)
    np.testing.assert_allclose(after, sign * before, atol=1e-10)


def test_a_statistic_is_how_much_the_first_is_worth_more_than_the_second(table, seen):
    X = np.zeros((4, 3))
    X[0] = [5, 1, 2]
    knockoffs = np.zeros((1, 2, 4, 3))
    knockoffs[0, :, 0] = [[3, 4, 2], [1, 2, 0]]
    selection = knockoff_selection(
        Watched(), X, np.arange(4.0), knockoffs=knockoffs, n_repeats=1
    )
    assert selection.n_knockoffs == 2
    np.testing.assert_allclose(selection.statistics_, [2, -2, 0])


def test_places_are_drawn_anew_in_each_repeat(table, seen):
    X, y = table
    knockoffs = 100 + X
    knockoff_selection(
        Watched(), X, y, knockoffs=knockoffs, n_repeats=3, random_state=0
    )
    first = np.array([joined[:, ::2].mean(axis=0) > 50 for joined, *_ in seen])
    assert first.shape == (3, 30)
    assert 0.3 < first.mean() < 0.7
    assert len(np.unique(first, axis=0)) == 3
    assert len({seed for _, seed, _ in seen}) == 3


def test_groups_change_places_as_a_whole_and_share_their_fate(table, seen):
    X, y = table
    groups = [[0, 1, 2], [10, 11, 12]]
    knockoff_selection(Watched(), X, y, knockoffs=100 + X, n_repeats=1, groups=groups)
    first = seen[0][0][:, ::2].mean(axis=0) > 50
    assert len(set(first[:3])) == len(set(first[10:13])) == 1
    selection = knockoff_selection(
        Lasso(0.05), X, y, fdr=0.2, groups=groups, random_state=0
    )
    assert selection.statistics_by_repeat.shape == (10, 26)
    assert selection.support_[:10].all() and not selection.support_[10:13].any()
    assert len(set(selection.q_values_[:3])) == 1


def test_twins_are_found_as_a_group(table):
    X, y = table
    twins = X[:, :10] + 0.1 * np.random.default_rng(1).normal(size=(300, 10))
    both = pd.DataFrame(np.hstack([X, twins])).add_prefix("c")
    pairs = [[f"c{i}", f"c{30 + i}"] for i in range(10)]
    selection = knockoff_selection(
        Lasso(0.05), both, y, fdr=0.2, groups=pairs, random_state=0
    )
    assert selection.support_[:10].all() and selection.support_[30:].all()


def test_a_seed_repeats_whatever_the_number_of_processes(table):
    trees = ExtraTreesRegressor(3)
    one, two, other = (
        knockoff_selection(
            trees, *table, n_repeats=2, random_state=seed, n_jobs=n_jobs
        ).statistics_by_repeat
        for seed, n_jobs in ((0, None), (0, 2), (1, None))
    )
    np.testing.assert_array_equal(one, two)
    assert (one[0] != one[1]).any() and (one != other).any()


def test_knockoffs_may_be_arrays_or_a_callable(table, seen):
    X, y = table
    given = np.random.default_rng(0).normal(size=(2, 3, *X.shape))
    calls = []

    def draw(X, random_state):
        calls.append(random_state)
        return np.random.default_rng(random_state).normal(size=(2, *X.shape))

    for knockoffs, m, n_joined in (
        (given[0, 0], 1, 2),
        (given[:, 0], 1, 2),
        (given, 3, 4),
        (draw, 2, 3),
    ):
        seen.clear()
        selection = knockoff_selection(
            Watched(), X, y, knockoffs=knockoffs, n_repeats=2
        )
        assert selection.n_knockoffs == m
        assert [joined.shape for joined, *_ in seen] == 2 * [(300, 30 * n_joined)]
    assert len(set(calls)) == 2


def test_the_names_of_columns_are_those_of_the_result(table, seen):
    X, y = table
    frame = pd.DataFrame(X).add_prefix("c")
    selection = knockoff_selection(
        Lasso(0.05), frame, y, fdr=0.2, n_repeats=2, random_state=0
    )
    names = selection.get_feature_names_out().tolist()
    assert names == [f"c{i}" for i in selection.get_support(indices=True)]


def test_a_pipeline_tells_by_its_last_step(table):
    X, y = table
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    selection = knockoff_selection(
        pipe, 1000 * X, y > 0, fdr=0.2, n_repeats=3, random_state=0
    )
    assert selection.support_[:10].sum() >= 8


def test_weights_of_rows_reach_the_fits(table, seen):
    weights = np.arange(300.0)
    knockoff_selection(Watched(), *table, n_repeats=1, sample_weight=weights)
    np.testing.assert_array_equal(seen[0][2], weights)


def test_an_estimator_stays_as_it_was(table):
    lasso = Lasso(0.05, random_state=7)
    knockoff_selection(lasso, *table, n_repeats=1)
    assert lasso.random_state == 7 and not hasattr(lasso, "coef_")


class Silent(BaseEstimator):
    def fit(self, X, y):
        return self


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"y": None}, ValueError, "y=None"),
        ({"offset": 0, "n_repeats": 2}, ValueError, "`offset`=0"),
        ({"knockoffs": np.zeros((300, 29))}, ValueError, "(300, 29)"),
        ({"knockoffs": np.zeros((5, 300, 30))}, ValueError, "Got 5"),
        ({"knockoffs": lambda X, seed: X[:5]}, ValueError, "(5, 30)"),
        ({"knockoffs": np.full((300, 30), np.nan)}, ValueError, "finite"),
        ({"knockoffs": "binary"}, ValueError, "'binary'"),
        ({"fdr": 1.0}, ValueError, "fdr"),
        ({"groups": [[0, 0]]}, ValueError, "`groups`"),
        (
            {"estimator": JointPruneRegressor(feature_groups=[[0, 1]])},
            ValueError,
            "other positions. Got `feature_groups`=",
        ),
        (
            {"estimator": JointPruneCV(JointPruneRegressor(feature_costs=[1] * 30))},
            ValueError,
            "other positions. Got `estimator__feature_costs`=",
        ),
        ({"estimator": Silent()}, TypeError, "Silent"),
        ({"estimator": KNeighborsRegressor()}, TypeError, "KNeighborsRegressor"),
        (
            {"estimator": make_pipeline(PolynomialFeatures(1), LinearRegression())},
            ValueError,
            "Pipeline",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(table, changed, error, says):
    X, y = table
    arguments = {"estimator": Lasso(), "y": y, "n_repeats": 2} | changed
    with pytest.raises(error, match=says.replace("(", r"\(").replace(")", r"\)")):
        knockoff_selection(X=X, **arguments)


def test_gaps_are_refused(table):
    X = table[0].copy()
    X[0, 1] = np.nan
    with pytest.raises(ValueError, match="NaN in the column 1 of X"):
        knockoff_selection(Lasso(), X, table[1])
