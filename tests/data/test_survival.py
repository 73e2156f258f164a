import numpy as np
import pandas as pd
import polars
import pytest

from skjointprune._data.survival import encode_survival, holds_survival, read_survival

EVENTS, TIMES = [True, False, True], [3.0, 1.0, 2.0]
PAIRS = np.column_stack([EVENTS, TIMES])


def structured(events=EVENTS, times=TIMES, names=("cens", "time"), kind="?"):
    y = np.empty(len(events), dtype=[(names[0], kind), (names[1], float)])
    y[names[0]], y[names[1]] = events, times
    return y


@pytest.mark.parametrize(
    "y",
    [
        structured(),
        structured()[["time", "cens"]],
        structured(kind=float),
        pd.DataFrame({"a": EVENTS, "b": TIMES}),
        pd.DataFrame({"b": TIMES, "a": EVENTS}),
        pd.DataFrame({"time": TIMES, "event": [1, 0, 1]}),
        pd.DataFrame({"died": [1, 0, 1], "days": [3, 1, 2]}),
        pd.DataFrame({"died": EVENTS, "days": TIMES}).convert_dtypes(),
        polars.DataFrame({"died": EVENTS, "days": TIMES}),
    ],
    ids=str,
)
def test_events_and_times_are_read_from_arrays_and_frames(y):
    np.testing.assert_array_equal(read_survival(y), PAIRS)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "requires y"),
        (np.ones((3, 2)), r"ndarray of shape \(3, 2\); pass a structured array"),
        ([1, 0, 1], "Got a list; pass a structured array"),
        (pd.DataFrame({"a": EVENTS}), r"the columns \['a'\]"),
        (structured([1, 2, 0], kind=int), "'cens' of y must be True .* Got 2;"),
        (structured([1, np.nan, 0], kind=float), "'cens' of y must be .* Got nan"),
        (structured(times=[1, -2, 3]), "'time' of y must hold times.* Got -2.0;"),
        (structured(times=[1, np.nan, 3]), "'time' of y must .* Got nan;"),
        (structured(times=[1, np.inf, 3]), "'time' of y must .* Got inf;"),
        (pd.DataFrame({"a": EVENTS, "b": list("xyz")}), "'b' of y must .* Got x;"),
        (pd.DataFrame({"a": EVENTS, "b": [1, None, 2]}), "'b' of y must .* Got nan;"),
        (
            pd.DataFrame({"a": [True, None, False], "b": TIMES}),
            "'a' of y must be True .* Got None;",
        ),
    ],
    ids=str,
)
def test_what_is_no_event_or_no_time_is_named(y, said):
    with pytest.raises(ValueError, match=said):
        read_survival(y)


def test_codes_are_rank_event_and_weight():
    encoded = encode_survival(PAIRS, np.array([1.0, 2.0, 3.0]))
    expected = [[2, 1, 0.5], [0, 0, 1], [1, 1, 1.5]]
    np.testing.assert_array_equal(encoded.values, expected)
    np.testing.assert_array_equal(encoded.targets.times, [1, 2, 3])
    np.testing.assert_array_equal(encoded.strata, [1, 0, 1])


@pytest.mark.parametrize(
    ("events", "times", "said"),
    [
        ([0, 0, 0], [1, 2, 3], "must hold events. Got 3 rows"),
        ([0, 0, 1], [1, 2, 3], "Got one time, 3, for all events"),
        ([1, 1, 1], [2, 2, 2], "Got one time, 2, for all events"),
    ],
)
def test_events_beside_which_no_row_is_at_risk_are_refused(events, times, said):
    with pytest.raises(ValueError, match=said):
        encode_survival(np.column_stack([events, times]), np.ones(3))


def test_an_event_is_compared_with_a_row_that_is_censored_at_its_time():
    y = np.column_stack([[1, 0], [2, 2]])
    assert encode_survival(y, np.ones(2)).values[:, 0].tolist() == [0, 0]


def test_the_hazard_is_breslows():
    """Two rows die at 1, of risks 1, 2 and 3 of 3; one at 2; the last is censored."""
    y = np.column_stack([[1, 1, 1, 0], [1, 1, 2, 3]])
    encoded = encode_survival(y, np.ones(4))
    outputs = np.log([[1], [2], [3], [4]])
    targets = encoded.targets.finished(lambda: (outputs, encoded.values, np.ones(4)))
    hazard = np.array([2 / 10, 2 / 10 + 1 / 7, 2 / 10 + 1 / 7])
    np.testing.assert_allclose(targets.hazard, hazard)
    np.testing.assert_allclose(
        targets.cumulative_hazards(np.log([1.0, 5.0])), [hazard, 5 * hazard]
    )


def test_a_weight_of_two_is_two_rows_in_the_hazard():
    y = np.column_stack([[1, 1, 0, 1], [1, 2, 2, 3]])
    outputs = np.random.default_rng(0).normal(size=(4, 1))
    weight = np.array([1, 2, 1, 2])
    once = encode_survival(y, weight)
    twice = encode_survival(np.repeat(y, weight, axis=0), np.ones(6))
    a = once.targets.finished(lambda: (outputs, once.values, weight))
    b = twice.targets.finished(
        lambda: (np.repeat(outputs, weight, axis=0), twice.values, np.ones(6))
    )
    np.testing.assert_allclose(a.hazard, b.hazard)


def test_a_structured_array_alone_is_survival_without_a_doubt():
    assert holds_survival(structured())
    assert not holds_survival(PAIRS)
    assert not holds_survival(pd.DataFrame({"a": EVENTS, "b": TIMES}))
