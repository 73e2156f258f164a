import numpy as np
import pandas as pd
import pytest

from skjointprune._data.by_name import listed, positions_of_names, values_by_column

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_values_come_in_the_order_of_the_columns(kind):
    given = kind({"c": 3.0, "a": 1.0, "b": 2.0})
    assert values_by_column(given, 3, NAMES, "prices") == [1.0, 2.0, 3.0]
    by_position = kind({2: "z", 0: "x", 1: "y"})
    assert values_by_column(by_position, 3, None, "prices") == ["x", "y", "z"]


@pytest.mark.parametrize("names", [[30, 10, 20], [("a", 3), ("a", 1), ("b", 2)]])
def test_names_may_be_other_than_text(names):
    given = {name: str(name) for name in sorted(names)}
    assert values_by_column(given, 3, names, "prices") == [*map(str, names)]


def test_a_whole_number_is_a_position_and_no_name():
    assert positions_of_names(["a", 0, np.int64(1), ("b", 2)]) == {"a": 0, ("b", 2): 3}
    assert positions_of_names(None) == {}


def test_what_has_no_names_is_returned_as_it_is():
    given = [3, 1, 2]
    assert values_by_column(given, 3, NAMES, "prices") is given


@pytest.mark.parametrize(
    ("given", "names", "match"),
    [
        ({"a": 1, "b": 1, "c": 1, "z": 1}, NAMES, "'z', which X lacks; use its names"),
        ({"a": 1, "b": 1}, NAMES, "'c' is left out; add it"),
        ({"a": 1}, NAMES, "'b', 'c' are left out; add them"),
        ({"a": 1, "b": 1, "c": 1}, None, "X has no names: use positions"),
        (pd.Series([1, 2, 3]), NAMES, "0, 1, 2, which X lacks"),
        (pd.Series([1] * 4, index=[*"abca"]), NAMES, "'a' more than once"),
    ],
)
def test_names_that_do_not_fit_are_listed(given, names, match):
    with pytest.raises(ValueError, match=f"`prices`.*{match}|{match}"):
        values_by_column(given, 3, names, "prices")


def test_of_many_names_the_first_are_shown():
    assert listed([*"abcdefg"]) == "'a', 'b', 'c', 'd', 'e' and 2 more"
