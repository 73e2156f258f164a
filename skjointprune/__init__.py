"""Joint pruning of a network's weights and inputs, as scikit-learn estimators."""

from ._classifier import JointPruneClassifier
from ._regressor import JointPruneRegressor
from ._report import NetworkSize, PruningReport
from ._selector import InputFeatureSelector

__all__ = [
    "InputFeatureSelector",
    "JointPruneClassifier",
    "JointPruneRegressor",
    "NetworkSize",
    "PruningReport",
]
__version__ = "0.1.0"
