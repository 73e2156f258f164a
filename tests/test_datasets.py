import numpy as np
import pytest
from numpy import pi, sin, sqrt
from scipy import stats

from skjointprune.datasets import PLANTED_KINDS, make_planted

# The rules of the docstring, once more
RULES = {
    "linear": lambda a, b, c, d, e: a - b + c - d + e > 0,
    "xor": lambda a, b: (a > 0) == (b > 0),
    "ring": lambda a, b: np.hypot(a, b) > sqrt(2 * np.log(2)),
    "friedman1": lambda a, b, c, d, e: (
        10 * sin(pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
    ),
    "correlated": lambda a, b, c: a + c > b,
    "products": lambda a, b, c, d: a * b + c * d,
    "sine": lambda a, b: sin(2 * a) + sin(2 * b),
    "duplicate": lambda a, b: (a > 0) == (b > 0),
    "heavy_tails": lambda a, b, c: 2 * (a - b + c),
    "imbalanced": lambda a, b, c: a + b + c > 2.849,
    "three_signs": lambda a, b, c: (a > 0) ^ (b > 0) ^ (c > 0),
}
NOISY = {"friedman1", "products", "sine", "heavy_tails"}
SHARES = dict.fromkeys(set(PLANTED_KINDS) - NOISY, 0.5) | {"imbalanced": 0.05}


@pytest.fixture(scope="module", params=PLANTED_KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def table(kind):
    return make_planted(kind, 4000, 30, random_state=0)


def test_the_target_is_the_rule_of_the_true_inputs_alone(kind, table):
    columns = table.data[:, table.true_inputs].T
    np.testing.assert_allclose(RULES[kind](*columns), table.signal)
    assert sorted(table.true_inputs) == np.flatnonzero(table.support).tolist()


def test_each_true_input_matters(kind, table):
    for i in range(len(table.true_inputs)):
        columns = table.data[:, table.true_inputs].T.copy()
        columns[i] = columns[i][::-1]
        changed = RULES[kind](*columns) != table.signal
        assert changed.mean() > 0.02


def test_what_is_added_to_the_rule_is_the_noise_that_was_said(kind, table):
    noise = table.target - table.signal
    if kind not in NOISY:
        assert not noise.any()
        return
    scale = 0.1 if kind in ("products", "sine") else 1
    law = stats.t(2) if kind == "heavy_tails" else stats.norm(scale=scale)
    assert stats.kstest(noise, law.cdf).pvalue > 0.01


def test_classes_are_balanced_where_they_should_be(kind, table):
    if table.task == "regression":
        assert table.target.dtype == float
    else:
        assert np.unique(table.target).tolist() == [0, 1]
        assert table.target.mean() == pytest.approx(SHARES[kind], abs=0.025)


def test_columns_are_independent_but_for_copies(kind, table):
    correlation = np.abs(np.corrcoef(table.data.T)) - np.eye(30)
    related = np.zeros((30, 30), dtype=bool)
    for copy, original in table.copies.items():
        family = [original, *(c for c, o in table.copies.items() if o == original)]
        related[np.ix_(family, family)] = True
        assert correlation[copy, original] > 0.85
    assert correlation[~related].max() < 0.08


def test_copies_are_no_true_inputs_and_tell_less_than_these(table):
    for copy, original in table.copies.items():
        assert table.support[original] and not table.support[copy]
        assert 0.25 < np.std(table.data[:, copy] - table.data[:, original]) < 0.55


@pytest.mark.parametrize(("kind", "n"), [("correlated", 6), ("duplicate", 1)])
def test_kinds_with_copies_have_as_many_as_was_said(kind, n):
    assert len(make_planted(kind, 10, 9, random_state=0).copies) == n


def test_a_seed_repeats_and_another_plants_elsewhere(kind, table):
    again = make_planted(kind, 4000, 30, random_state=0)
    for name in ("data", "target", "support"):
        np.testing.assert_array_equal(again[name], table[name])
    other = make_planted(kind, 50, 30, random_state=1)
    assert (other.true_inputs != table.true_inputs).any()


def test_the_description_names_the_kind_and_its_rule():
    assert make_planted("xor", 5, 5, random_state=0).DESCR.startswith("xor: 1 if z1 z2")


def test_every_kind_is_in_the_documentation(kind):
    assert f'"{kind}"' in make_planted.__doc__


@pytest.mark.parametrize(
    ("kind", "n_features", "named"),
    [("spiral", 10, "kind"), ("correlated", 8, "at least 9"), ("xor", 0, "n_features")],
)
def test_what_cannot_be_planted_is_refused(kind, n_features, named):
    with pytest.raises(ValueError, match=named):
        make_planted(kind, 10, n_features)


def test_a_rule_may_be_planted_in_given_inputs(kind):
    X = np.random.default_rng(0).normal(size=(60, 12))
    planted = make_planted(kind, X=X.tolist(), random_state=0)
    kept = ~np.isin(np.arange(12), list(planted.copies))
    np.testing.assert_array_equal(planted.data[:, kept], X[:, kept])
    assert len(planted.target) == 60 and planted.support.shape == (12,)
    given = X.copy()
    make_planted(kind, X=given, random_state=0)
    np.testing.assert_array_equal(given, X)
