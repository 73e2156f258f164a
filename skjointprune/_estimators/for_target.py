"""Which estimator a target calls for, where none is given."""

from sklearn.utils.multiclass import type_of_target

from .base import JointPruneEstimator
from .classifier import JointPruneClassifier
from .regressor import JointPruneRegressor


def default_estimator(y, **params) -> JointPruneEstimator:
    """Return a regressor for a continuous y, else a classifier; both repeat."""
    continuous = y is not None and type_of_target(y).startswith("continuous")
    kind = JointPruneRegressor if continuous else JointPruneClassifier
    return kind(random_state=0, **params)
