"""Joint pruning of a network's weights and inputs, as scikit-learn estimators."""

from ._classifier import JointPruneClassifier
from ._report import NetworkSize, PruningReport
from ._selector import InputFeatureSelector

__all__ = [
    "InputFeatureSelector",
    "JointPruneClassifier",
    "NetworkSize",
    "PruningReport",
]
__version__ = "0.1.0"
