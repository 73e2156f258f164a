import numpy as np
import pytest
from scipy.stats import false_discovery_control

from skjointprune._error_rates.rates import (
    adjust_p_values,
    e_bh_q_values,
    e_values,
    knockoff_q_values,
    knockoff_threshold,
)

RNG = np.random.default_rng(0)
CASES = [
    np.concatenate([RNG.normal(3, 1, 12), np.zeros(5), RNG.normal(0, 1, 30)]).round(1)
    for _ in range(5)
] + [np.zeros(4), np.array([2.0, 1.0, -3.0]), np.arange(1.0, 21)]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("W", CASES)
def test_the_threshold_is_the_one_found_by_trying_all(W, m, offset):
    for fdr in (0.05, 0.1, 0.25, 0.5):
        low = [
            t
            for t in np.abs(W[W != 0])
            if (offset + (-t >= W).sum()) / m <= fdr * max((t <= W).sum(), 1) + 1e-12
        ]
        found = knockoff_threshold(W, fdr, n_knockoffs=m, offset=offset)
        assert found == (min(low) if low else np.inf)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("W", CASES)
def test_q_values_tell_what_each_threshold_admits(W, m, offset):
    q_values = knockoff_q_values(W, n_knockoffs=m, offset=offset)
    for fdr in (0.05, 0.1, 0.25, 0.5, 0.9):
        threshold = knockoff_threshold(W, fdr, n_knockoffs=m, offset=offset)
        np.testing.assert_array_equal(q_values <= fdr + 1e-9, threshold <= W)


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("W", CASES)
def test_e_values_of_one_repeat_select_what_the_threshold_does(W, m):
    for fdr in (0.1, 0.25, 0.5):
        chosen = e_bh_q_values(e_values(W, fdr, n_knockoffs=m)) <= fdr + 1e-9
        threshold = knockoff_threshold(W, fdr, n_knockoffs=m)
        np.testing.assert_array_equal(chosen, threshold <= W)


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("fdr", [0.05, 0.3])
def test_e_values_of_inputs_that_say_nothing_add_up_to_their_number_at_most(m, fdr):
    rng = np.random.default_rng(0)
    n, n_draws = 20, 4000
    sizes = rng.exponential(size=(n_draws, n))
    signs = np.where(rng.random((n_draws, n)) < 1 / (m + 1), 1, -1)
    sums = [e_values(W, fdr, n_knockoffs=m).sum() for W in sizes * signs]
    error = np.std(sums) / np.sqrt(n_draws)
    assert np.mean(sums) <= n + 3 * error
    assert np.mean(sums) > 0.2 * n  # and they are not 0 throughout


def test_what_is_above_all_negatives_has_the_largest_e_value():
    e = e_values(np.array([5.0, 4.0, -3.0, 2.0, -1.0, 0.0]), 0.01, n_knockoffs=3)
    np.testing.assert_allclose(e, [18, 18, 0, 0, 0, 0])


def test_e_bh_selects_the_largest_set_whose_e_values_are_large_enough():
    e = np.array([30.0, 9.0, 12.0, 1.0, 0.0])
    for fdr in (0.1, 0.2, 0.5, 0.9):
        enough = [k for k in range(1, 6) if np.sort(e)[-k] >= 5 / (fdr * k)]
        k = max(enough, default=0)
        np.testing.assert_array_equal(
            np.flatnonzero(e_bh_q_values(e) <= fdr), np.sort(np.argsort(-e)[:k])
        )


@pytest.mark.parametrize(("name", "method"), [("bhq", "bh"), ("bhy", "by")])
def test_adjusted_p_values_are_those_of_scipy(name, method):
    p = np.random.default_rng(0).random(30) ** 3
    p[3] = p[7]
    np.testing.assert_allclose(
        adjust_p_values(p, name), false_discovery_control(p, method=method)
    )
