import datetime

import numpy as np
import pandas as pd
import pytest

from skjointprune._data.frames import (
    as_table,
    column_of,
    columns_by_name,
    holds_category,
    is_frame,
    numbers_of,
    values_of,
)

polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

COLUMNS = {
    "text": ["a", None, "b"],
    "number": [1.5, None, 2.0],
    "whole": [1, None, 3],
    "flag": [True, None, False],
}
FRAMES = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "nullable": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "arrow": lambda: pd.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda: polars.DataFrame(COLUMNS),
    "pyarrow": lambda: pyarrow.table(COLUMNS),
}


@pytest.fixture(params=FRAMES.values(), ids=FRAMES.keys())
def frame(request):
    return as_table(request.param())


def test_a_frame_is_told_from_an_array(frame):
    assert is_frame(frame)
    assert not is_frame(np.zeros((2, 2))) and not is_frame([[1, 2]])


def test_columns_of_any_frame_are_read_alike(frame):
    assert values_of(column_of(frame, 0)) == ["a", None, "b"]
    expected = {1: [1.5, np.nan, 2], 2: [1, np.nan, 3], 3: [1, np.nan, 0]}
    for position, numbers in expected.items():
        read = numbers_of(column_of(frame, position), "x")
        np.testing.assert_array_equal(read, numbers)


def test_text_is_a_category_and_numbers_are_not(frame):
    found = [holds_category(column_of(frame, i)) for i in range(4)]
    assert found == [True, False, False, False]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 1], dtype="category"),
        pd.Series(["a", "b", None], dtype="string"),
        pd.Series(["a", "b", None], dtype=object),
        pd.Series(["a"], dtype=pd.ArrowDtype(pyarrow.string())),
        pd.Series(["a"], dtype=pd.ArrowDtype(pyarrow.dictionary("int32", "string"))),
        polars.Series(["a", "b"], dtype=polars.Categorical),
        polars.Series(["a", "b"], dtype=polars.Enum(["a", "b"])),
        np.array(["a", None], dtype=object),
    ],
)
def test_types_of_levels_and_text_hold_categories(column):
    assert holds_category(column)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2], dtype="Int8"),
        pd.Series([1, None], dtype=object),
        pd.Series([True, False]),
        polars.Series([{"a": 1}]),
        np.array([None, None], dtype=object),
    ],
)
def test_other_types_do_not(column):
    assert not holds_category(column)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([datetime.datetime(2026, 1, 1)]),
        pd.Series([1 + 2j]),
        pd.Series(["a", 1.0], dtype=object),
        polars.Series([datetime.date(2026, 1, 1)]),
        pd.Series([pd.Timedelta(1, "s")]),
    ],
)
def test_what_is_no_number_is_refused_by_the_name_of_its_column(column):
    with pytest.raises(ValueError, match="The column 'when' of X holds no numbers"):
        numbers_of(column, "when")


def test_columns_are_taken_by_name_in_an_order(frame):
    some = columns_by_name(frame, ["flag", "number"])
    assert list(some.columns) == ["flag", "number"]
