import numpy as np
import pytest

from skjointprune._graph.ties import Ties


def tied(n, a, b):
    ties = Ties()
    ties.add(n)
    ties.tie(np.array(a, dtype=int), np.array(b, dtype=int))
    return ties


def components(n, pairs):
    """Return the smallest number of each component, by going through all pairs."""
    root = list(range(n))
    for _ in range(n):
        for i, j in pairs:
            root[i] = root[j] = min(root[i], root[j])
    return root


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_pairs", [3, 40, 120])
def test_the_smallest_of_all_that_are_tied_stands_for_them(seed, n_pairs):
    rng = np.random.default_rng(seed)
    n = 100
    a, b = rng.integers(n, size=(2, n_pairs))
    ties = tied(n, a, b)
    expected = components(n, list(zip(a, b, strict=True)))
    assert ties.roots(np.arange(n)).tolist() == expected
    assert [ties.root(i) for i in range(n)] == expected


def test_ties_one_by_one_are_those_made_at_once():
    rng = np.random.default_rng(0)
    a, b = rng.integers(60, size=(2, 50))
    at_once, one_by_one = tied(60, a, b), tied(60, [], [])
    for i, j in zip(a, b, strict=True):
        one_by_one.tie(np.array([i]), np.array([j]))
    x = np.arange(60)
    assert (at_once.roots(x) == one_by_one.roots(x)).all()


def test_a_long_chain_has_one_root_whatever_its_order():
    order = np.random.default_rng(0).permutation(5000)
    ties = tied(5000, order[1:], order[:-1])
    assert (ties.roots(np.arange(5000)) == 0).all()


def test_numbers_that_are_added_later_are_tied_to_none():
    ties = tied(10, [3], [7])
    ties.add(500)
    assert len(ties) == 510
    assert ties.roots(np.arange(8, 510)).tolist() == list(range(8, 510))
    assert ties.root(7) == 3


def test_no_pairs_tie_nothing():
    assert tied(3, [], []).roots(np.arange(3)).tolist() == [0, 1, 2]
