"""Which columns of X hold categories."""

from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from .by_name import listed, positions_of_names, values_by_column
from .frames import column_of, holds_category, is_frame


def resolve_categories(
    categorical_features: Any, X: Any, names: Sequence[Any] | None
) -> list[int]:
    """Return the positions of the columns that hold categories, ascending.

    Parameters
    ----------
    categorical_features : "from_dtype", mask, names, positions, dict, Series or None
        As a parameter of the estimators.
    X : frame, ndarray or sparse matrix
    names : sequence or None
        Labels of the columns of a frame, which may be other than text.

    Raises
    ------
    ValueError
        If a mask has another length than X has columns, or a name or a position is
        none of X.
    """
    if categorical_features is None:
        return []
    n = X.shape[1]
    if isinstance(categorical_features, str):
        if categorical_features != "from_dtype":
            raise ValueError(
                "`categorical_features` must be 'from_dtype', a mask, names or "
                f"positions. Got {categorical_features!r}; put one name in a list."
            )
        if not is_frame(X) and getattr(X, "dtype", np.dtype(float)).kind != "O":
            return []
        return [i for i in range(n) if holds_category(column_of(X, i))]
    given = values_by_column(categorical_features, n, names, "categorical_features")
    given = list(given) if isinstance(given, Set) else given
    values = np.asarray(given, dtype=object).ravel().tolist()
    if values and all(isinstance(value, bool | np.bool_) for value in values):
        if len(values) != n:
            raise ValueError(
                "`categorical_features` as a mask must have one value for each of the "
                f"{n} columns of X. Got {len(values)}; or pass names or positions."
            )
        return [i for i, value in enumerate(values) if value]
    position = positions_of_names(names)
    found = [position.get(value, value) for value in values]
    wrong = [
        value
        for value, i in zip(values, found, strict=True)
        if not isinstance(i, int | np.integer) or not 0 <= i < n
    ]
    if wrong:
        raise ValueError(
            "`categorical_features` must name columns of X, or be positions below "
            f"{n}. Got {listed(wrong)}; use what X has."
        )
    return sorted({int(i) for i in found})
