import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.helper import SliceDataset, SliceDict
from torch.utils.data import TensorDataset

from skjointprune._data.check_images import is_images
from skjointprune._data.frames import (
    as_table,
    column_of,
    columns_by_name,
    holds_category,
    holds_plain_numbers,
    is_frame,
    numbers_of,
    refuse_categories,
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


@pytest.mark.filterwarnings("ignore:Determining the column names of a LazyFrame")
@pytest.mark.parametrize(
    ("X", "remedy"),
    [
        (polars.DataFrame({"a": [1]}).lazy(), r"Got a LazyFrame; pass X.collect\(\)"),
        ({"a": [1, 2]}, r"Got a dict; pass pandas.DataFrame\(X\)"),
        (SliceDict(a=np.ones((2, 1))), r"Got a SliceDict; pass pandas.DataFrame"),
        ("table.csv", "Got a str; read the file"),
        (iter([[1]]), "Got a list_iterator; make an array"),
        (pd.DataFrame({"a": [1]}).to_records(), "a structured array; pass pandas"),
        (["cheap pills", "at noon"], "Got text; make columns of it"),
        (pd.Series(["cheap pills", "at noon"]), "Got text; make columns of it"),
        ([[1, 2], [3]], "Got rows of 1 and of 2; fill them up"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Got 'a' more than once"),
        (pyarrow.table([[1], [2]], names=["a", "a"]), "Got 'a' more than once"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_pass(X, remedy):
    with pytest.raises(ValueError, match=f"X .*{remedy}"):
        as_table(X)


def test_a_masked_value_is_a_gap_whatever_is_under_the_mask():
    X = np.ma.masked_array([[1, -999], [3, 4]], [[False, True], [False, False]])
    np.testing.assert_array_equal(as_table(X), [[1, np.nan], [3, 4]])


@pytest.mark.parametrize(
    "X", [torch.ones(2, 2, requires_grad=True), torch.ones(2, 2, dtype=torch.bfloat16)]
)
def test_tensors_that_numpy_cannot_read_are_tables(X):
    np.testing.assert_array_equal(np.asarray(as_table(X)), np.ones((2, 2)))


def test_text_and_times_in_an_array_are_no_plain_numbers():
    for X in (["a", "1"], ["2026-01-01", "2026-01-02"]):
        assert not holds_plain_numbers(np.array([X]))
    assert not holds_plain_numbers(np.array([["2026-01-01"]], dtype="M8[D]"))


def test_a_cell_may_hold_an_array_and_is_then_no_number():
    column = pd.Series([np.ones(2), None])
    assert values_of(column)[1] is None
    with pytest.raises(ValueError, match="'a' of X holds no numbers"):
        numbers_of(column, "a")


@pytest.mark.parametrize("convert", [pd.DataFrame, polars.DataFrame, np.array])
def test_categories_are_refused_where_only_numbers_will_do(convert):
    numbers = convert([[1.0, 2.0]])
    assert refuse_categories(numbers, "This") is numbers
    text = convert({"a": ["x"]} if convert is not np.array else [["x"]])
    with pytest.raises(ValueError, match=r"This takes numbers. Got the column ('a'|0)"):
        refuse_categories(text, "This")


def test_rows_of_a_dataset_that_skorch_slices_are_a_table():
    X = SliceDataset(TensorDataset(torch.arange(6.0).reshape(3, 2), torch.ones(3)))
    assert not is_images(X) and is_images(SliceDataset(X[:0]))
    np.testing.assert_array_equal(as_table(X), [[0, 1], [2, 3], [4, 5]])
