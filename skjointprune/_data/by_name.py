"""What is given for each column of X: in the order of X, or by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LISTED = 5  # names in an error


def values_by_column(
    given: Any, n: int, names: Sequence[Any] | None, parameter: str
) -> Any:
    """Return the values of a dict or a Series in the order of the columns of X.

    Anything else is returned as it is.

    Parameters
    ----------
    given : dict, Series or other
        Its keys, or its index, are names of columns; or positions, where X has no
        names.
    n : int
        How many columns X has.
    names : sequence or None
        Labels of the columns of a frame, which may be other than text.
    parameter : str
        For errors.

    Raises
    ------
    ValueError
        If a key is no column of X or is there twice, or a column has no value.
    """
    if isinstance(given, Mapping):
        keys, values = list(given), list(given.values())
    elif hasattr(given, "iloc") and getattr(given, "ndim", 0) == 1:  # a Series
        keys, values = list(given.index), given.tolist()
    else:
        return given
    columns = list(range(n)) if names is None else list(names)
    unknown = [key for key in keys if key not in columns]
    if unknown:
        what = "X has no names: use positions" if names is None else "use its names"
        raise ValueError(
            f"`{parameter}` must name columns of X. Got {listed(unknown)}, which X "
            f"lacks; {what}."
        )
    by_column = dict(zip(keys, values, strict=True))
    if len(by_column) < len(keys):
        twice = [key for key in by_column if keys.count(key) > 1]
        raise ValueError(
            f"`{parameter}` must name each column once. Got {listed(twice)} more than "
            "once; keep one."
        )
    left_out = [column for column in columns if column not in by_column]
    if left_out:
        raise ValueError(
            f"`{parameter}` must name all columns of X. {listed(left_out)} "
            f"{'is' if len(left_out) == 1 else 'are'} left out; add "
            f"{'it' if len(left_out) == 1 else 'them'}."
        )
    return [by_column[column] for column in columns]


def positions_of_names(names: Sequence[Any] | None) -> dict[Any, int]:
    """Return the position of each name; a whole number is none, but a position."""
    if names is None:
        return {}
    whole = int | np.integer
    return {name: i for i, name in enumerate(names) if not isinstance(name, whole)}


def listed(names: Sequence[Any]) -> str:
    """Return the first names, for an error."""
    shown = ", ".join(repr(name) for name in names[:LISTED])
    more = len(names) - LISTED
    return f"{shown} and {more} more" if more > 0 else shown
