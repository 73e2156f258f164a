"""Selection by knockoffs with the network that suits it, where none is given."""

from typing import Any

import numpy as np

from .._error_rates.knockoff_result import KnockoffSelection
from .._error_rates.knockoff_selection import knockoff_selection
from .._utils.warn import warn_caller
from .for_target import default_estimator

# Small, as it is fitted again and again to six times the columns. Few of these are
# kept, so that what is worth little is worth nothing; docs/tried.md has the figures.
KEPT_SHARE, LEAST_KEPT = 1 / 3, 20  # of the number of inputs
SMALL_NETWORK = {
    "hidden_layer_sizes": (64,),
    "prune": "inputs",
    "input_noise": 0.5,
    "max_epochs": 100,
    "retrain_epochs": 20,
    "validation_fraction": 0.2,
}


def select_by_knockoffs(
    estimator: Any, X: Any, y: Any, fdr: float, sample_weight: Any = None
) -> KnockoffSelection:
    """Select at a false discovery rate, by an estimator or the small network.

    The seed is that of the estimator.
    """
    if estimator is None:
        shape = np.shape(X)
        n_columns = shape[1] if len(shape) == 2 else 1  # other shapes are refused later
        kept = max(LEAST_KEPT, round(n_columns * KEPT_SHARE))
        kept = min(kept, 2 * n_columns)  # there are knockoffs as well
        estimator = default_estimator(y, **SMALL_NETWORK, n_features_to_select=kept)
    selection = knockoff_selection(
        estimator,
        X,
        y,
        fdr=fdr,
        sample_weight=sample_weight,
        random_state=estimator.get_params().get("random_state"),
    )
    if not selection.support_.any():
        warn_caller(
            f"No input is selected at `fdr`={fdr}: `transform` returns no columns. "
            "Raise it, or add rows."
        )
    return selection
