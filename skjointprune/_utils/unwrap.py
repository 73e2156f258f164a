"""Find the estimator that holds what is to be shown."""

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def inner_of(estimator: Any) -> Any:
    """Return the estimator that a selector fitted, or was given fitted; or None."""
    if getattr(estimator, "prefit", False) is True:
        return getattr(estimator, "estimator", None)
    return getattr(estimator, "estimator_", None)


def fitted_end_of(estimator: Any) -> Any:
    """Return a fitted estimator: what a search found best, a Pipeline's last step.

    Raises
    ------
    NotFittedError
        If it is not fitted.
    """
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        else:
            check_is_fitted(estimator)
            return estimator


def holder_of(estimator: Any, attribute: str) -> Any:
    """Return an estimator, or the one within a selector, that has an attribute.

    Raises
    ------
    ValueError
        If neither has.
    """
    for owner in (estimator, inner_of(estimator)):
        if hasattr(owner, attribute):
            return owner
    raise ValueError(
        f"`estimator` must have `{attribute}`. Got {type(estimator).__name__}; pass "
        "the step of a Pipeline that selects, or a search that was refitted."
    )
