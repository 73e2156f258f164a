"""Joint pruning of a network's weights and inputs, as scikit-learn estimators."""

from ._estimators.classifier import JointPruneClassifier
from ._estimators.classifier_cv import JointPruneClassifierCV
from ._files.onnx import export_onnx
from ._estimators.path import PruningPath, joint_prune_path
from ._displays.path import PathDisplay
from ._files.save_load import load, save
from ._displays.pruning import PruningDisplay
from ._estimators.regressor import JointPruneRegressor
from ._estimators.regressor_cv import JointPruneRegressorCV
from ._report.report import NetworkSize, PruningReport
from ._graph.rules.layers import register_rule
from ._estimators.selector import InputFeatureSelector
from ._stability.resample import stability_selection
from ._stability.result import StabilitySelection
from ._displays.support import SupportDisplay

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
