import numpy as np
import pytest
from scipy import stats

from skjointprune._error_rates.design import model_design


def seeded(seed=0):
    return np.random.RandomState(seed)


@pytest.fixture
def heavy():
    """Columns of Student's distribution, of counts, and a constant one."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 1))
    t = stats.t(2).ppf(stats.norm.cdf(shared + rng.normal(size=(500, 2))))
    return np.column_stack([t, rng.poisson(1.0, (500, 2)), np.full(500, 3.0)])


def test_scores_go_back_to_the_rows_they_came_from(heavy):
    by_moments = model_design(heavy, "gaussian", seeded())
    np.testing.assert_allclose(by_moments.in_units_of_x(by_moments.scores), heavy)
    by_ranks = model_design(heavy, "ranks", seeded())
    back = by_ranks.in_units_of_x(by_ranks.scores)
    # scores are scaled a little, so that extreme ranks may take a neighbour's number
    assert (back == heavy).mean() > 0.95


def test_scores_of_ranks_are_normal_whatever_the_distribution(heavy):
    scores = model_design(heavy, "ranks", seeded()).scores[:, :4]
    for column in scores.T:
        assert stats.kstest(column, "norm").pvalue > 0.9
    assert (
        np.abs(np.corrcoef(scores.T)[2:, :2]).max() < 0.15
    )  # ties are broken by chance


def test_scores_of_ranks_do_not_depend_on_monotone_maps(heavy):
    a = model_design(heavy[:, :2], "ranks", seeded()).scores
    b = model_design(np.arctan(heavy[:, :2]), "ranks", seeded()).scores
    np.testing.assert_array_equal(a, b)


def test_correlations_are_regular_and_near_the_true_ones():
    rng = np.random.default_rng(0)
    true = 0.6 ** np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    X = rng.multivariate_normal(np.zeros(8), true, size=5000)
    design = model_design(X * np.arange(1, 9), "gaussian", seeded())
    np.testing.assert_allclose(design.correlation, true, atol=0.05)
    few = model_design(X[:5], "gaussian", seeded()).correlation
    assert np.linalg.eigvalsh(few)[0] > 1e-7
    np.testing.assert_allclose(np.diag(few), 1)


@pytest.mark.parametrize("kind", ["gaussian", "ranks"])
def test_a_constant_column_stays_constant(kind):
    X = np.column_stack([np.random.default_rng(0).normal(size=50), np.full(50, 7.0)])
    design = model_design(X, kind, seeded())
    np.testing.assert_allclose(design.correlation, np.eye(2), atol=1e-12)
    drawn = design.in_units_of_x(np.random.default_rng(1).normal(size=(3, 50, 2)))
    assert (drawn[..., 1] == 7).all()
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("n_rows", [120, 400])
def test_a_near_copy_still_tells_its_column_among_independent_ones(n_rows):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 20))
    X = np.column_stack([X, X[:, 0] + 0.1 * rng.normal(size=n_rows)])
    design = model_design(X, "gaussian", seeded())
    assert design.correlation[0, 20] > 0.98
    drawn = design.drawn_anew(np.array([20]), np.arange(n_rows), 1, seeded())
    assert np.corrcoef(drawn.ravel(), X[:, 0])[0, 1] > 0.98
    assert not design.is_told(np.array([20]))


def test_correlations_of_few_rows_are_shrunk():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 60))
    found = model_design(X, "gaussian", seeded()).correlation
    assert np.abs(found - np.eye(60)).max() < 0.1
    assert np.abs(np.corrcoef(X.T) - np.eye(60)).max() > 0.4


def test_what_others_tell_wholly_is_known():
    X = np.random.default_rng(0).normal(size=(200, 4))
    X = np.column_stack([X, X[:, 0] - X[:, 1], X[:, 3]])
    design = model_design(X, "gaussian", seeded())
    told = [design.is_told(np.array([i])) for i in range(6)]
    assert told == [True, True, False, True, True, True]
    assert not design.is_told(np.array([3, 5]))
