"""Tables whose columns are drawn anew: numbers, and no gaps."""

from typing import Any

import numpy as np
from sklearn.utils import check_array

from .._data.check_images import refuse_images
from .._data.frames import as_table, refuse_categories
from .._data.open_table import refuse_streams
from .._utils.input_names import labels_of_columns, names_of_columns


def read_numbers(
    X: Any, what: str, least_rows: int
) -> tuple[np.ndarray, np.ndarray | None, list | None]:
    """Return X as numbers, the names of its columns if all are text, and their labels.

    `what` is the function that asks, for messages.

    Raises
    ------
    ValueError
        If X is no table of finite numbers, or has too few rows.
    """
    refuse_streams(X, what)
    refuse_images(X, what)
    names, labels = names_of_columns(X), labels_of_columns(X)
    numbers = check_array(
        refuse_categories(as_table(X), what),
        dtype=np.float64,
        ensure_min_samples=least_rows,
        ensure_all_finite="allow-nan",
        input_name="X",
    )
    with_gaps = np.flatnonzero(np.isnan(numbers).any(axis=0))
    if len(with_gaps):
        at = int(with_gaps[0])
        raise ValueError(
            f"{what} draws columns anew, which takes all their numbers. Got NaN in the "
            f"column {at if labels is None else labels[at]!r} of X; fill its gaps."
        )
    return numbers, names, labels
