"""What each column of X costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .by_name import values_by_column

LARGEST = 1e15  # whose square is within float32


def check_costs(
    feature_costs: Any, n: int, names: Sequence[Any] | None
) -> np.ndarray | None:
    """Return the cost of each of n columns; 0 means that it always stays.

    Raises
    ------
    ValueError
        If they are not one finite number of at least 0 for each, by name or in order.
    """
    if feature_costs is None:
        return None
    values = values_by_column(feature_costs, n, names, "feature_costs")
    costs = np.asarray(values)
    if (
        costs.shape != (n,)
        or costs.dtype.kind not in "iuf"
        or not (np.isfinite(costs) & (costs >= 0)).all()
    ):
        raise ValueError(
            "`feature_costs` must hold one finite number of at least 0 for each of the "
            f"{n} columns of X. Got {feature_costs!r}; 1 is the usual cost."
        )
    beyond = (costs > LARGEST) | ((costs > 0) & (costs < 1 / LARGEST))
    if beyond.any():
        raise ValueError(
            f"`feature_costs` must be 0, or between {1 / LARGEST:g} and {LARGEST:g}. "
            f"Got {costs[beyond][0]:g}; use another unit."
        )
    return costs.astype(np.float32)
