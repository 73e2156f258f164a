import numpy as np
import pytest
from scipy.optimize import minimize

from skjointprune._error_rates.design import model_design
from skjointprune._error_rates.sample import (
    KnockoffSampler,
    minimum_reconstructability,
)


def neighbours(n, rho):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def alone(n):
    return [np.array([i]) for i in range(n)]


def drawn(X, m, groups=None, kind="gaussian", n_draws=1):
    rng = np.random.RandomState(0)
    design = model_design(X, kind, rng)
    groups = groups or alone(X.shape[1])
    sampler = KnockoffSampler(design, m, groups)
    return [sampler.draw(rng) for _ in range(n_draws)]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal(np.zeros(5), neighbours(5, 0.6), size=60_000)
    return 3 + X * [1, 2, 0.5, 1, 10]


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("groups", [None, [np.array([0, 1, 2]), np.array([3, 4])]])
def test_any_copies_of_an_input_may_change_places(rows, m, groups):
    """Means and covariances are the same, whichever copy is called the input."""
    (knockoffs,) = drawn(rows, m, groups)
    copies = np.stack([rows, *knockoffs]) / rows.std(axis=0)
    together = copies.transpose(1, 0, 2)  # (rows, copies, columns)

    def covariance(arranged):
        return np.cov(arranged.reshape(len(rows), -1).T)

    swapped = together.copy()
    changing = [1, 3] if groups is None else groups[1]
    swapped[:, [0, m]] = np.where(
        np.isin(np.arange(5), changing), swapped[:, [m, 0]], swapped[:, [0, m]]
    )
    np.testing.assert_allclose(covariance(swapped), covariance(together), atol=0.03)
    np.testing.assert_allclose(
        copies.mean(axis=1), np.tile(copies[0].mean(axis=0), (m + 1, 1)), atol=0.03
    )


@pytest.mark.parametrize("m", [1, 4])
def test_distances_are_those_of_a_numerical_minimiser(m):
    correlation = neighbours(6, 0.5)
    correlation[0, 5] = correlation[5, 0] = 0.2

    def loss(s):
        rest = (m + 1) * correlation - m * np.diag(s)
        if s.min() <= 0 or np.linalg.eigvalsh(rest)[0] <= 0:
            return 1e9
        return m * (1 / s).sum() + np.trace(np.linalg.inv(rest))

    s = minimum_reconstructability(correlation, m)
    best = minimize(
        loss,
        np.full(6, 0.3),
        method="Nelder-Mead",
        tol=1e-9,
        options={"maxiter": 20_000, "maxfev": 20_000},
    )
    assert loss(s) <= best.fun * (1 + 1e-6)
    np.testing.assert_allclose(s, best.x, atol=5e-3)


def test_independent_columns_have_independent_knockoffs():
    np.testing.assert_allclose(minimum_reconstructability(np.eye(4), 3), 1)


def test_groups_have_knockoffs_more_unlike_them_than_single_columns_have(rows):
    rng = np.random.default_rng(1)
    twins = np.column_stack([rows, rows + 0.05 * rng.normal(size=rows.shape)])[:5000]
    pairs = [np.array([i, i + 5]) for i in range(5)]

    def likeness(groups):
        (knockoffs,) = drawn(twins, 1, groups)
        return np.mean(
            [np.corrcoef(twins[:, i], knockoffs[0, :, i])[0, 1] for i in range(10)]
        )

    assert likeness(pairs) < likeness(None) - 0.2


def test_draws_differ_and_fit_fewer_rows_than_columns():
    X = np.random.default_rng(0).normal(size=(15, 40))
    a, b = drawn(X, 2, n_draws=2)
    assert a.shape == b.shape == (2, 15, 40)
    assert np.isfinite(a).all() and (a != b).all() and (a[0] != a[1]).all()


def test_knockoffs_by_ranks_are_numbers_of_their_columns():
    counts = np.random.default_rng(0).poisson([0.5, 2, 30], size=(400, 3)).astype(float)
    (knockoffs,) = drawn(counts, 2, kind="ranks")
    for j in range(3):
        assert set(np.unique(knockoffs[:, :, j])) <= set(counts[:, j])
        np.testing.assert_allclose(
            knockoffs[:, :, j].mean(), counts[:, j].mean(), rtol=0.1
        )
