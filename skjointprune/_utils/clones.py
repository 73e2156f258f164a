"""Clones of estimators, each with seeds of its own."""

from typing import Any

from sklearn.base import clone
from sklearn.utils import check_random_state


def clone_with_seed(estimator: Any, seed: int) -> Any:
    """Return a clone whose every `random_state` is drawn from a seed."""
    estimator = clone(estimator)
    rng = check_random_state(seed)
    for name in sorted(estimator.get_params()):
        if name == "random_state" or name.endswith("__random_state"):
            estimator.set_params(**{name: int(rng.randint(2**31 - 1))})
    return estimator
