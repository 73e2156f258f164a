"""Metadata routing: what splitter and scorer of a cross-validation are given."""

from typing import Any

from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from .._utils.sklearn import _routing_enabled
from .base import JointPruneEstimator
from .for_target import default_estimator


def request_weights(estimator: JointPruneEstimator) -> JointPruneEstimator:
    """Return an estimator whose own score, the default one, takes weights."""
    if _routing_enabled():
        return clone(estimator).set_score_request(sample_weight=True)
    return estimator


def make_router(cv: Any) -> MetadataRouter:
    """Return the router of a `JointPruneCV`, from its `fit` to splitter and scorer."""
    estimator = cv.estimator
    if estimator is None:  # whose score takes the same
        estimator = default_estimator(None)
    scorer = check_scoring(request_weights(estimator), scoring=cv.scoring)
    return (
        MetadataRouter(owner=cv)
        .add_self_request(cv)
        .add(
            splitter=check_cv(cv.cv),
            method_mapping=MethodMapping().add(caller="fit", callee="split"),
        )
        .add(
            scorer=scorer,
            method_mapping=MethodMapping().add(caller="fit", callee="score"),
        )
    )


def route(cv: Any, sample_weight: Any, params: dict[str, Any]) -> Bunch:
    """Return what splitter and scorer are given of the parameters of a `fit`.

    Raises
    ------
    TypeError
        If routing is not enabled and a parameter is not `groups`.
    """
    if _routing_enabled():
        if sample_weight is not None:
            params = params | {"sample_weight": sample_weight}
        return process_routing(cv, "fit", **params)
    unknown = set(params) - {"groups"}
    if unknown:
        raise TypeError(
            f"`fit` got {sorted(unknown)}. Enable metadata routing "
            "(`sklearn.set_config(enable_metadata_routing=True)`) to pass it on."
        )
    score = {}
    if sample_weight is not None and cv.scoring is None:
        score = {"sample_weight": sample_weight}
    return Bunch(splitter=Bunch(split=params), scorer=Bunch(score=score))
