import dataclasses

import numpy as np
import pytest

from skjointprune import KnockoffSelection


def selection(statistics, **changed):
    """Make a result of statistics, (repeats, inputs)."""
    statistics = np.atleast_2d(np.asarray(statistics, dtype=float))
    alone = tuple(np.array([i]) for i in range(statistics.shape[1]))
    defaults = {"fdr": 0.2, "n_knockoffs": 1, "offset": 1, "groups": alone}
    return KnockoffSelection(statistics, **(defaults | changed))


FIVE_OF_EIGHT = [8, 7, 6, 5, 4, -1, 0, -2]


def test_of_one_repeat_the_threshold_selects():
    one = selection(FIVE_OF_EIGHT)
    assert one.get_support(indices=True).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(one.q_values_[:5], 1 / 5)
    assert not selection(FIVE_OF_EIGHT, fdr=0.19).support_.any()


def test_fewer_inputs_than_the_rate_allows_for_are_not_selected():
    for m, n in ((1, 5), (2, 3), (5, 1)):
        few = selection([9.0] * (n - 1) + [-1, -1, -1], n_knockoffs=m)
        enough = selection([9.0] * n + [-1, -1, -1], n_knockoffs=m)
        assert enough.smallest_selection == n
        assert enough.support_.sum() == n and not few.support_.any()
        assert (f"fewer than {n} are not selected" in repr(enough)) == (n > 1)
    assert selection([9.0, -1], offset=0).support_.tolist() == [True, False]


def test_repeats_select_what_most_of_them_do():
    always, half = [8, 7, 6, 5, 4, -1, -1, -1], [8, 7, 6, 5, -4, -1, -1, -1]
    five = selection([always] * 9 + [half], n_knockoffs=4)
    assert five.support_.tolist() == [True] * 5 + [False] * 3
    np.testing.assert_allclose(five.e_values_[3:6], [32, 32 * 9 / 10, 0])
    never = selection([always] + 9 * [[-1] * 8])
    assert not never.support_.any()


def test_q_values_say_what_is_selected_at_the_rate():
    rng = np.random.default_rng(0)
    for fdr in (0.1, 0.3, 0.6):
        many = selection(rng.normal(1, 2, (6, 30)), fdr=fdr, n_knockoffs=2)
        np.testing.assert_array_equal(many.support_, many.q_values_ <= fdr + 1e-9)
        k = many.support_.sum()
        if k:
            assert (many.e_values_[many.support_] >= 30 / (fdr * k) - 1e-6).all()


def test_another_rate_needs_no_new_fits():
    rng = np.random.default_rng(0)
    statistics = rng.normal(1, 2, (6, 30))
    strict = selection(statistics, fdr=0.1, n_knockoffs=2)
    lax = dataclasses.replace(strict, fdr=0.5)
    again = selection(statistics, fdr=0.5, n_knockoffs=2)
    np.testing.assert_array_equal(lax.q_values_, again.q_values_)
    assert lax.support_.sum() > strict.support_.sum()


def test_values_of_a_group_are_those_of_its_columns():
    groups = (np.array([2, 0]), np.array([1]), np.array([3]))
    grouped = selection([[5, -1, 4]], groups=groups, n_knockoffs=5)
    assert grouped.statistics_.tolist() == [5, -1, 5, 4]
    assert grouped.get_support().tolist() == [True, False, True, True]


def test_names_are_those_of_x_or_positions():
    one = selection(FIVE_OF_EIGHT)
    assert one.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3", "x4"]
    named = dataclasses.replace(
        one, feature_names_in=np.array(list("abcdefgh"), object)
    )
    assert named.get_feature_names_out().tolist() == list("abcde")


def test_repr_names_the_selected_inputs_first_the_surest():
    lines = repr(selection([4, -1, 8, 7, 6, 5])).splitlines()
    assert lines[0].startswith("5 of 6 inputs are selected at a false discovery rate")
    assert [line.split()[0] for line in lines[2:7]] == ["x2", "x3", "x4", "x5", "x0"]
    assert lines[2].split()[1:] == ["0.2", "8"]
    assert max(map(len, lines)) <= 100
    nothing = repr(selection([4, -1]))
    assert nothing.startswith("0 of 2") and "q-value" not in nothing


def test_repr_of_many_inputs_is_short():
    many = selection(np.arange(1.0, 61))
    assert "and 40 more" in repr(many) and len(repr(many).splitlines()) < 30


def test_html_has_all_selected_inputs_and_escapes_their_names():
    names = np.array([f"<b>{i}" for i in range(60)], dtype=object)
    html = selection(np.arange(1.0, 61), feature_names_in=names)._repr_html_()
    assert html.count("&lt;b&gt;") == 60 and "<b>1" not in html
    assert "40 more" in html
    assert "0 of 2 inputs" in selection([4, -1])._repr_html_()


@pytest.mark.parametrize("indices", [True, False])
def test_nothing_selected_is_an_empty_support(indices):
    support = selection([1, -2, 0]).get_support(indices=indices)
    assert support.sum() == 0
