"""Read columns of arrays, lists, and frames of pandas, polars and pyarrow."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

# how names of types begin, of pandas, polars, pyarrow and numpy
TYPES_OF_CATEGORIES = ("categor", "dictionary", "enum", "str", "large_str", "<u", ">u")
TYPES_OF_NO_NUMBERS = ("complex", "date", "duration", "interval", "period", "time")


def as_table(X: Any) -> Any:
    """Return X in a form that can be read column by column, where that is needed.

    A list of rows that holds more than numbers becomes an array of objects; anything
    else that is neither a frame nor an array stays as it is.
    """
    if hasattr(X, "to_pandas") and not hasattr(X, "get_columns"):  # as pyarrow has
        return X.to_pandas()
    if isinstance(X, list) and any(
        _is_more_than_a_number(v) for row in X if isinstance(row, list) for v in row
    ):
        return np.array(X, dtype=object)
    return X


def holds_plain_numbers(X: Any) -> bool:
    """Tell whether scikit-learn can read X at once: it holds no text and no pandas.NA.

    What is no table is left to scikit-learn as well, whose errors say what is wrong.
    """
    if is_frame(X):
        kinds = [d.kind if isinstance(d, np.dtype) else "O" for d in X.dtypes]
        return len(kinds) > 0 and set(kinds) <= set("fiub")
    if not (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2):
        return True
    return not any(map(_is_more_than_a_number, X.ravel().tolist()))


def _is_more_than_a_number(value: Any) -> bool:
    """Tell whether a value is text, a time, or pandas.NA."""
    times = (date, timedelta, np.datetime64, np.timedelta64)
    return isinstance(value, (str, *times)) or type(value).__name__ == "NAType"


def is_frame(X: Any) -> bool:
    """Tell whether X is a frame, whose columns have types and names."""
    return hasattr(X, "columns") and hasattr(X, "shape") and hasattr(X, "dtypes")


def column_of(X: Any, position: int) -> Any:
    """Return one column of a frame, or of an array."""
    if hasattr(X, "iloc"):
        return X.iloc[:, position]
    if hasattr(X, "get_columns"):  # polars
        return X.get_columns()[position]
    return X[:, position]


def columns_by_name(X: Any, names: Sequence[str]) -> Any:
    """Return some columns of a frame, in an order."""
    return X[list(names)]


def holds_category(column: Any) -> bool:
    """Tell whether a column holds a category by its type: text, or levels.

    A column of Python objects holds one where all that is not missing is text.
    """
    kind = str(column.dtype).lower()
    if kind.startswith(TYPES_OF_CATEGORIES) and not kind.startswith("struct"):
        return True
    if kind != "object":
        return False
    values = [value for value in _listed(column) if not _is_missing(value)]
    return bool(values) and all(isinstance(value, str) for value in values)


def values_of(column: Any) -> list[Any]:
    """Return the values of a column of levels, None where one is missing."""
    return [None if _is_missing(value) else value for value in _listed(column)]


def numbers_of(column: Any, name: Any) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing.

    Raises
    ------
    ValueError
        If it holds anything but numbers.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
        return column.astype(np.float64)
    kind = str(column.dtype).lower()
    if not kind.startswith(TYPES_OF_NO_NUMBERS):
        try:
            if hasattr(column, "iloc"):
                return column.to_numpy(dtype=np.float64, na_value=np.nan)
            return np.array(values_of(column), dtype=np.float64)
        except (TypeError, ValueError):
            pass
    raise ValueError(
        f"The column {name!r} of X holds no numbers. Got {column.dtype}; make numbers "
        "of it, or name it in `categorical_features`."
    )


def _listed(column: Any) -> Iterable[Any]:
    if hasattr(column, "to_list"):
        return column.to_list()
    return column.tolist()


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # of pandas.NA
        return True
