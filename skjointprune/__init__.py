"""Joint pruning of a network's weights and inputs, as scikit-learn estimators."""

from ._classifier import JointPruneClassifier
from ._classifier_cv import JointPruneClassifierCV
from ._onnx import export_onnx
from ._path import PruningPath, joint_prune_path
from ._regressor import JointPruneRegressor
from ._regressor_cv import JointPruneRegressorCV
from ._report import NetworkSize, PruningReport
from ._rules import register_rule
from ._selector import InputFeatureSelector

__all__ = [
    "InputFeatureSelector",
    "JointPruneClassifier",
    "JointPruneClassifierCV",
    "JointPruneRegressor",
    "JointPruneRegressorCV",
    "NetworkSize",
    "PruningPath",
    "PruningReport",
    "export_onnx",
    "joint_prune_path",
    "register_rule",
]
__version__ = "0.1.0"
