import numpy as np
import pytest
from scipy.stats import false_discovery_control

from skjointprune import InputPValues


def result(p, **changed):
    p = np.asarray(p, dtype=float)
    alone = tuple(np.array([i]) for i in range(len(p)))
    return InputPValues(p, 1 - p, 0.1 * p, **({"groups": alone} | changed))


P = np.random.default_rng(0).random(40) ** 4


@pytest.mark.parametrize(("name", "method"), [("bhq", "bh"), ("bhy", "by")])
@pytest.mark.parametrize("fdr", [0.05, 0.2])
def test_rates_of_discoveries_are_those_of_scipy(name, method, fdr):
    expected = false_discovery_control(P, method=method) <= fdr
    np.testing.assert_array_equal(result(P).fdr_selection(fdr, name), expected)
    assert 0 < expected.sum() < 40


def test_bonferroni_divides_by_the_number_of_groups():
    groups = (np.array([0, 3]), np.array([1]), np.array([2]))
    three = result([0.01, 0.02, 0.5], groups=groups)
    assert three.fwer_selection(0.03).tolist() == [True, False, False, True]
    assert three.fwer_selection(0.06).tolist() == [True, True, False, True]
    assert three.pvalues_.tolist() == [0.01, 0.02, 0.5, 0.01]
    assert three.importances_[3] == 0.99 and three.importances_se_[3] == 0.001


def test_benjamini_and_yekutieli_select_no_more_than_benjamini_and_hochberg():
    strict, usual = result(P).fdr_selection(0.1, "bhy"), result(P).fdr_selection(0.1)
    assert (strict <= usual).all() and strict.sum() < usual.sum()


def test_repr_and_html_have_the_surest_first():
    names = np.array(["<a>", "b", "c"], dtype=object)
    three = result([0.5, 0.001, 0.04], feature_names_in=names)
    lines = repr(three).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["b", "c", "<a>"]
    assert lines[0].startswith("2 of 3 inputs at a false discovery rate of 0.1, 1 at")
    assert "&lt;a&gt;" in three._repr_html_()
    assert "and 20 more" in repr(result(P))
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r: r.fdr_selection(0), "`fdr`"),
        (lambda r: r.fdr_selection(0.1, "bh"), "`fdr_control`"),
        (lambda r: r.fwer_selection(1), "`fwer`"),
        (lambda r: r.fwer_selection(0.1, "holm"), "`procedure`"),
    ],
)
def test_rates_and_methods_are_checked(call, says):
    with pytest.raises(ValueError, match=says):
        call(result(P))
