"""Joint pruning of a network's weights and inputs, as scikit-learn estimators."""

from ._classifier import JointPruneClassifier
from ._classifier_cv import JointPruneClassifierCV
from ._onnx import export_onnx
from ._path import PruningPath, joint_prune_path
from ._path_display import PathDisplay
from ._persistence import load, save
from ._pruning_display import PruningDisplay
from ._regressor import JointPruneRegressor
from ._regressor_cv import JointPruneRegressorCV
from ._report import NetworkSize, PruningReport
from ._rules import register_rule
from ._selector import InputFeatureSelector
from ._stability import stability_selection
from ._stability_result import StabilitySelection
from ._support_display import SupportDisplay

__all__ = [
    "InputFeatureSelector",
    "JointPruneClassifier",
    "JointPruneClassifierCV",
    "JointPruneRegressor",
    "JointPruneRegressorCV",
    "NetworkSize",
    "PathDisplay",
    "PruningDisplay",
    "PruningPath",
    "PruningReport",
    "StabilitySelection",
    "SupportDisplay",
    "export_onnx",
    "joint_prune_path",
    "load",
    "register_rule",
    "save",
    "stability_selection",
]
__version__ = "0.1.0"
