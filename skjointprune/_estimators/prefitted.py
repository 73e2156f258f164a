"""An estimator that was fitted before, and is only to be read."""

from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted


def check_prefitted(estimator: Any, overrides: dict) -> Any:
    """Return an estimator that is fitted and that nothing overrides.

    Raises
    ------
    NotFittedError
        If it is not so. That is a ValueError that diagrams of an estimator expect.
    """
    if estimator is None:
        raise NotFittedError(
            "`prefit`=True needs a fitted `estimator`. Got None; pass one."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise NotFittedError(
            "`prefit`=True needs a fitted `estimator`. Got a "
            f"{type(estimator).__name__} that is not; where `clone` has "
            "emptied it, as searches do, pass FrozenEstimator(estimator), of "
            "sklearn.frozen."
        ) from error
    if overrides:
        raise NotFittedError(
            f"`prefit`=True only reads `estimator`, so {overrides} has no "
            "effect. Leave these at None."
        )
    return estimator
