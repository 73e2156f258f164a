"""Check tables as they come: in a fit, and once fitted."""

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from .._utils.input_names import labels_of_columns
from .categorical_features import resolve_categories
from .columns import Columns
from .frames import as_table, columns_by_name, holds_plain_numbers, is_frame
from .open_table import refuse_streams
from .targets import LARGEST, SMALLEST

SPARSE = ["csr", "csc"]
LARGEST_UNSCALED = 1e30  # well within float32


def check_table(
    estimator: Any, X: Any, y: Any, *, y_numeric: bool
) -> tuple[Columns, Any, Any]:
    """Check a table and its targets; return numbers, with NaN where some are missing.

    Categories become positions of levels. Sets on the estimator what scikit-learn's
    `validate_data` does.

    Returns
    -------
    columns : Columns
    X : ndarray or CSR matrix of shape (rows, columns)
    y : ndarray

    Raises
    ------
    ValueError
        If X or y hold what cannot be learnt from.
    """
    of_both = {"multi_output": True, "y_numeric": y_numeric}
    X = as_table(X)
    labels = labels_of_columns(X)
    given = estimator.categorical_features
    by_type = isinstance(given, str) and given == "from_dtype"
    if holds_plain_numbers(X):
        given_X = X
        X, y = _validate(estimator, X, y, **of_both)
        names = getattr(estimator, "feature_names_in_", None)
        found = [] if by_type else resolve_categories(given, X, labels)
        columns = Columns(X.shape[1])
        if found:
            if issparse(X):
                raise ValueError(
                    "`categorical_features` needs a dense X. Got a sparse matrix; "
                    "encode its categories, or pass X.toarray()."
                )
            # as given: two large whole numbers may be one as a float64
            exact = is_frame(given_X) or isinstance(given_X, np.ndarray)
            levels_of = given_X if exact else X
            columns = Columns.find(levels_of, found)
            X = columns.read(levels_of, range(columns.n), names)
    else:
        validate_data(estimator, X, y, skip_check_array=True)
        names = getattr(estimator, "feature_names_in_", None)
        columns = Columns.find(X, resolve_categories(given, X, labels))
        X = columns.read(X, range(columns.n), names)
        X, y = check_X_y(X, y, ensure_all_finite=False, estimator=estimator, **of_both)
    refuse_infinite(X, names)
    refuse_unscalable(largest_of_columns(X), names, scaled=estimator.standardize)
    return columns, X, y


def _validate(estimator: Any, X: Any, y: Any, **params) -> tuple[Any, Any]:
    """Check X and y as scikit-learn does, but for infinity in X.

    float32 stays, and sparse X is CSR.
    """
    small = isinstance(X, np.ndarray) and X.dtype.itemsize <= 2
    X, y = validate_data(
        estimator,
        X,
        y,
        dtype=np.float32 if small else [np.float64, np.float32],
        accept_sparse=SPARSE,
        ensure_all_finite=False,
        **params,
    )
    if issparse(X):
        X = X.tocsr()
        _refuse_gaps(X)
    return X, y


def _refuse_gaps(X: Any) -> None:
    """Raise ValueError where a sparse matrix holds NaN."""
    if np.isnan(X.data).any():
        raise ValueError(
            "A sparse X must not hold NaN. Fill these, or pass X.toarray()."
        )


def largest_of_columns(X: Any) -> np.ndarray:
    """Return the largest number of each column, whatever its sign; NaN of none."""
    if issparse(X):
        return abs(X).max(axis=0).toarray().ravel()
    return np.fmax(np.fmax.reduce(X), -np.fmin.reduce(X))


def refuse_unscalable(largest: np.ndarray, names: Any, *, scaled: bool) -> None:
    """Raise ValueError where numbers of a column are too large, or too small, to scale.

    `largest` are the largest numbers of the columns.
    """
    refuse_huge(largest, names, LARGEST if scaled else LARGEST_UNSCALED)
    tiny = np.flatnonzero((largest > 0) & (largest < SMALLEST))
    if scaled and len(tiny):
        raise ValueError(
            f"The column {_called(names, tiny[0])} of X holds no number above "
            f"{SMALLEST:g}. Got {largest[tiny[0]]:g} as the largest; multiply the "
            "column, or make it 0."
        )


def _called(names: Any, i: int) -> str:
    """Return what a column is called in errors; `names` may hold positions."""
    name = i if names is None else names[i]
    return repr(name) if isinstance(name, str) else str(name)


def refuse_infinite(X: Any, names: Any) -> None:
    """Raise ValueError where a column holds infinity; NaN may be there."""
    numbers = X.data if issparse(X) else X
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(numbers.sum()):
            return
    infinite = np.flatnonzero(np.isinf(largest_of_columns(X)))
    if len(infinite):
        raise ValueError(
            f"The column {_called(names, infinite[0])} of X holds infinity. Replace "
            "it, or make it NaN, which stands for a gap."
        )


def refuse_huge(largest: np.ndarray, names: Any, limit: float) -> None:
    """Raise ValueError where the largest number of a column is beyond a limit."""
    huge = np.flatnonzero(largest.astype(np.float64) > limit)
    if len(huge):
        raise ValueError(
            f"The column {_called(names, huge[0])} of X holds numbers beyond "
            f"{limit:g}. Got {largest[huge[0]]:g}; if that stands for a gap, make it "
            "NaN, else divide the column."
        )


def read_table(
    estimator: Any,
    X: Any,
    columns: Columns,
    names: Any,
    support: np.ndarray,
) -> Any:
    """Check rows as in a fit; return the retained columns, whatever is in others.

    Returns
    -------
    ndarray or sparse matrix of shape (rows, retained)

    Raises
    ------
    ValueError
        If X has other columns than in the fit, or retained ones hold infinity or what
        is no number.
    """
    kept = np.flatnonzero(support)
    kept_names = kept if names is None else np.asarray(names)[kept]
    X = select_columns(estimator, X, names, kept)
    if issparse(X):
        if columns.levels.keys() & {*kept.tolist()}:
            raise ValueError(
                "X must be dense, as some of its columns hold categories. Got a sparse "
                "matrix; pass what `fit` took, or X.toarray()."
            )
        X = check_array(
            X,
            accept_sparse="csr",
            ensure_all_finite=False,
            estimator=estimator,
        )
        _refuse_gaps(X)
        refuse_infinite(X, kept_names)
        return X
    if columns.levels or not holds_plain_numbers(X):
        X = columns.read(X, kept.tolist(), kept_names)
    X = check_array(
        X,
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        estimator=estimator,
    )
    refuse_infinite(X, kept_names)
    return columns.fill(X, kept.tolist())


def select_columns(estimator: Any, X: Any, names: Any, kept: np.ndarray) -> Any:
    """Return some columns of X, which has those of the fit, and is not looked into.

    A frame may lack columns that are not asked for.
    """
    refuse_streams(X, "Selecting columns")
    X = as_table(X)
    if names is not None and is_frame(X):
        there = set(X.columns)
        known = [name for name in names if name in there]
        enough = there.issuperset(np.asarray(names)[kept])
        if enough and there.issubset(names) and known != list(X.columns):
            raise ValueError(  # in the words of scikit-learn
                "The feature names should match those that were passed during fit.\n"
                "Feature names must be in the same order as they were in fit.\n"
            )
        if known != list(X.columns) or not enough:
            # as scikit-learn does, and in its words
            validate_data(estimator, X, reset=False, skip_check_array=True)
        return columns_by_name(X, np.asarray(names)[kept])
    if is_frame(X):
        validate_data(estimator, X, reset=False, skip_check_array=True)
        return X.iloc[:, kept] if hasattr(X, "iloc") else X[:, kept.tolist()]
    X = validate_data(
        estimator,
        X,
        reset=False,
        dtype=None,
        accept_sparse=SPARSE,
        ensure_all_finite=False,
    )
    return X[:, kept]
