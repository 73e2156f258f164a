"""The estimator within: in a search, at the end of a Pipeline, or in a selector."""

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def find_inner_estimator(selector: Any) -> Any:
    """Return the estimator that a selector fitted, or was given fitted; or None."""
    if getattr(selector, "prefit", False) is True:
        return getattr(selector, "estimator", None)
    return getattr(selector, "estimator_", None)


def find_final_estimator(estimator: Any) -> Any:
    """Return a fitted estimator: a search's best, a Pipeline's last step, or itself.

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


def find_estimator_with(attribute: str, estimator: Any) -> Any:
    """Return an estimator, or the one within a selector, that has an attribute.

    Raises
    ------
    ValueError
        If neither has.
    """
    for candidate in (estimator, find_inner_estimator(estimator)):
        if hasattr(candidate, attribute):
            return candidate
    raise ValueError(
        f"`estimator` must have `{attribute}`. Got {type(estimator).__name__}; pass "
        "the step of a Pipeline that selects, or a search that was refitted."
    )
