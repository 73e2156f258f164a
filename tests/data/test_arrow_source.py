from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
from _streams import write_parquet
from pandas import DataFrame

from skjointprune._data import arrow_source
from skjointprune._data.arrow_source import ArrowSource
from skjointprune._data.sources import LevelCodes

NONE = LevelCodes({})


def read(source, columns=None, codes=NONE):
    columns = range(source.n_columns) if columns is None else columns
    blocks = [
        block
        for piece in range(len(source.lengths))
        for block in source.blocks(piece, columns, codes)
    ]
    return np.concatenate([block.X for block in blocks])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None, 3], pa.int64()), [1, np.nan, 3]),
        (pa.array([True, None, False]), [1, np.nan, 0]),
        (pa.array([Decimal("1.5"), None, Decimal("2")]), [1.5, np.nan, 2]),
        (pa.array([None, None, None]), [np.nan] * 3),
        (pa.array([1.5, np.nan, None], pa.float32()), [1.5, np.nan, np.nan]),
        (pa.array([7.0, None, 7.0]).dictionary_encode(), [7, np.nan, 7]),
    ],
)
def test_numbers_of_any_type_are_floats(column, expected, tmp_path):
    table = pa.table({"x": column, "y": [0, 1, 2]})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    source = ArrowSource(pa.dataset.dataset(tmp_path), "y", None)
    np.testing.assert_array_equal(read(source)[:, 0], expected)


def test_categories_are_columns_of_text_and_dictionaries(tmp_path):
    text = pa.array(["b", None, "a"])
    columns = {"n": [1, 2, 3], "s": text, "d": text.dictionary_encode(), "y": [0, 1, 2]}
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    source = ArrowSource(pa.dataset.dataset(tmp_path), "y", None)
    assert source.categories == (1, 2)
    codes = LevelCodes({1: {"a": 0}, 2: {"a": 0, "b": 1}}, {1: 1.0, 2: -1.0})
    X = read(source, codes=codes)
    np.testing.assert_array_equal(X, [[1, 1, 1], [2, np.nan, np.nan], [3, 0, 0]])


def test_a_column_that_a_file_lacks_is_missing_there(tmp_path):
    first, second = {"a": [1.0], "b": [2.0], "y": [0.0]}, {"a": [3.0], "y": [1.0]}
    for name, columns in (("1", first), ("2", second)):
        pa.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    source = ArrowSource(pa.dataset.dataset(tmp_path), "y", None)
    np.testing.assert_array_equal(read(source), [[1, 2], [3, np.nan]])
    np.testing.assert_array_equal(read(source, [1])[:, 0], [2, np.nan])


def test_small_numbers_are_read_as_float32(tmp_path):
    frame = DataFrame({"a": np.zeros(4, "f4"), "b": np.zeros(4, "i2"), "y": 0.0})
    small = ArrowSource(write_parquet(frame, tmp_path / "1"), "y", None)
    large = ArrowSource(write_parquet(frame.assign(c=0), tmp_path / "2"), "y", None)
    assert read(small).dtype == np.float32 and read(large).dtype == np.float64


def test_row_groups_are_pieces_and_few_large_ones_are_read_at_once(
    tmp_path, monkeypatch
):
    frame = DataFrame({"a": np.arange(1000.0), "y": np.arange(1000.0)})
    source = ArrowSource(write_parquet(frame, tmp_path / "t", 100), "y", None)
    assert source.lengths.tolist() == [100] * 10
    assert source.pieces_at_once == arrow_source.MOST_PIECES_AT_ONCE
    monkeypatch.setattr(arrow_source, "BYTES_AT_ONCE", source.pieces[0].n_bytes * 3)
    assert source.pieces_at_once == 3
    monkeypatch.setattr(arrow_source, "BYTES_AT_ONCE", 1)
    assert source.pieces_at_once == 1


def test_the_first_rows_come_from_as_many_pieces_as_it_takes(tmp_path):
    frame = DataFrame({"a": np.arange(50.0), "y": 0.0})
    source = ArrowSource(write_parquet(frame, tmp_path / "t", 20), "y", None)
    for n in (5, 20, 45, 99):
        assert source.head(n)["a"].tolist() == list(range(min(n, 50)))
