"""Read columns of arrays, lists, and frames of pandas, polars and pyarrow."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from numbers import Number
from typing import Any

import numpy as np
from scipy.sparse import issparse
from skorch.helper import SliceDataset

from .by_name import listed
from .check_images import as_array

# how names of types begin, of pandas, polars, pyarrow and numpy
TYPES_OF_CATEGORIES = ("categor", "dictionary", "enum", "str", "large_str", "<u", ">u")
TYPES_OF_NO_NUMBERS = ("complex", "date", "duration", "interval", "period", "time")


def as_table(X: Any) -> Any:
    """Return X in a form that can be read column by column, where that is needed.

    A list of rows that holds more than numbers becomes an array of objects, a masked
    value NaN. Anything else that is neither a frame nor an array stays as it is.

    Raises
    ------
    ValueError
        If X is nothing that scikit-learn knows how to read, or a name is there twice.
    """
    X = np.asarray(X) if isinstance(X, SliceDataset) else as_array(X)
    _refuse_what_is_no_table(X)
    X = from_arrow(X)
    if is_frame(X):
        _refuse_names_given_twice(X)
    if isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "fiub":
        kind = np.result_type(X.dtype, np.float32)
        return np.ma.filled(X.astype(kind), np.nan)
    if isinstance(X, list) and any(
        _is_more_than_a_number(v) for row in X if isinstance(row, list) for v in row
    ):
        return np.array(X, dtype=object)
    return X


def from_arrow(X: Any) -> Any:
    """Return a table of pyarrow as a frame of pandas, and anything else as it is."""
    if hasattr(X, "to_pandas") and not hasattr(X, "get_columns"):  # as polars has
        return X.to_pandas()
    return X


def _refuse_what_is_no_table(X: Any) -> None:
    """Raise ValueError where scikit-learn would try to make a number of X."""
    if issparse(X):  # of which one kind is a dict
        return
    shape = None if isinstance(X, Mapping) else getattr(X, "shape", None)
    if isinstance(X, list | tuple):
        widths = {len(row) for row in X if isinstance(row, list | tuple)}
        if len(widths) > 1:
            raise ValueError(
                "The rows of X must have as many columns each. Got rows of "
                f"{' and of '.join(map(str, sorted(widths)[:2]))}; fill them up."
            )
        text = len(X) > 0 and isinstance(X[0], str)
    else:
        flat = shape is not None and len(shape) == 1 and hasattr(X, "dtype")
        text = flat and holds_category(X)
    if text:
        raise ValueError(
            "X must have two dimensions, rows and columns. Got text; make columns of "
            "it, as sklearn's TfidfVectorizer does, or pass a DataFrame."
        )
    if getattr(getattr(X, "dtype", None), "names", None):
        raise ValueError(
            "X must have two dimensions, rows and columns. Got a structured array; "
            f"pass {'pandas.DataFrame(X)' if X.ndim == 1 else 'an array of numbers'}."
        )
    known = list | tuple | Number | None
    if shape is None and not isinstance(X, known) and not hasattr(X, "__array__"):
        remedy = "make an array of it"
        if hasattr(X, "collect"):
            remedy = "pass X.collect()"
        elif isinstance(X, str | os.PathLike):
            remedy = "read the file, or open it as a pyarrow Dataset"
        elif isinstance(X, Mapping):
            remedy = "pass pandas.DataFrame(X)"
        raise ValueError(
            "X must be a table: an array, a sparse matrix, a DataFrame or a list of "
            f"rows. Got a {type(X).__name__}; {remedy}."
        )


def _refuse_names_given_twice(X: Any) -> None:
    """Raise ValueError where two columns of a frame have one name."""
    names = list(X.columns)
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise ValueError(
            f"The columns of X must have names of their own. Got {listed(twice)} more "
            "than once; rename or leave out all but one."
        )


def holds_plain_numbers(X: Any) -> bool:
    """Tell whether scikit-learn can read X at once: it holds no text and no pandas.NA.

    What is no table is left to scikit-learn as well, whose errors say what is wrong.
    """
    if is_frame(X):
        kinds = [d.kind if isinstance(d, np.dtype) else "O" for d in X.dtypes]
        return len(kinds) > 0 and set(kinds) <= set("fiub")
    if not (isinstance(X, np.ndarray) and X.dtype.kind in "OUmM" and X.ndim == 2):
        return True
    return X.dtype == object and not any(
        map(_is_more_than_a_number, X.ravel().tolist())
    )


def _is_more_than_a_number(value: Any) -> bool:
    """Tell whether a value is text, a time, or pandas.NA."""
    times = (date, timedelta, np.datetime64, np.timedelta64)
    return isinstance(value, (str, *times)) or type(value).__name__ == "NAType"


def is_frame(X: Any) -> bool:
    """Tell whether X is a frame, whose columns have types and names."""
    return hasattr(X, "columns") and hasattr(X, "shape") and hasattr(X, "dtypes")


def as_one_array(X: Any) -> np.ndarray:
    """Return a frame as an array, of numbers where all of its columns are numbers."""
    if hasattr(X, "iloc") and holds_plain_numbers(X):  # pandas makes objects of bools
        return X.to_numpy(dtype=np.result_type(*X.dtypes))
    return np.asarray(X)


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


def maker_like(X: Any) -> Callable[[np.ndarray], Any]:
    """Return what makes of numbers, (rows, columns), a table such as X is."""
    X = from_arrow(X)
    if not is_frame(X):
        return np.asarray
    make: Callable[..., Any] = type(X)
    if hasattr(X, "get_columns"):  # polars
        return partial(make, schema=X.columns)
    return partial(make, columns=X.columns)


def holds_category(column: Any) -> bool:
    """Tell whether a column holds a category by its type: text, or levels.

    A column of Python objects holds one where all that is not missing is text.
    """
    kind = str(column.dtype).lower()
    if kind.startswith(TYPES_OF_CATEGORIES) and not kind.startswith("struct"):
        return True
    if kind != "object":
        return False
    values = [value for value in _listed(column) if not is_missing(value)]
    return bool(values) and all(isinstance(value, str) for value in values)


def refuse_categories(X: Any, what: str) -> Any:
    """Return a frame, or an array, whose columns are to be numbers.

    Raises
    ------
    ValueError
        If one holds a category.
    """
    array = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OU"
    if array or is_frame(X):
        names = range(X.shape[1]) if array else list(X.columns)
        for i, name in enumerate(names):
            if holds_category(column_of(X, i)):
                raise ValueError(
                    f"{what} takes numbers. Got the column {name!r} of text or levels; "
                    "encode it, and put its columns together by `groups`."
                )
    return X


def values_of(column: Any) -> list[Any]:
    """Return the values of a column of levels, None where one is missing."""
    return [None if is_missing(value) else value for value in _listed(column)]


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


def is_missing(value: Any) -> bool:
    """Tell whether a value is None, NaN, or pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # of pandas.NA
        return True
    except ValueError:  # of an array
        return False
