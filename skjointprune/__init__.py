"""Joint pruning of a network's weights and inputs, as scikit-learn estimators."""

from ._data.image_options import ImageInput
from ._data.step_function import StepFunction
from ._displays.knockoffs import KnockoffDisplay
from ._displays.path import PathDisplay
from ._displays.pruning import PruningDisplay
from ._displays.support import SupportDisplay
from ._error_rates.knockoff_result import KnockoffSelection
from ._error_rates.knockoff_selection import knockoff_selection
from ._error_rates.p_values import p_values
from ._error_rates.p_values_result import InputPValues
from ._estimators.classifier import JointPruneClassifier
from ._estimators.cross_validation import JointPruneCV
from ._estimators.path import PruningPath, joint_prune_path
from ._estimators.regressor import JointPruneRegressor
from ._estimators.selector import InputFeatureSelector
from ._estimators.survival import JointPruneSurvival
from ._files.onnx import export_onnx
from ._files.save_load import load, save
from ._graph.rules.registry import register_rule
from ._report.report import NetworkSize, PruningReport
from ._stability.resample import stability_selection
from ._stability.result import StabilitySelection
from ._version import __version__ as __version__

__all__ = [
    "ImageInput",
    "InputFeatureSelector",
    "InputPValues",
    "JointPruneCV",
    "JointPruneClassifier",
    "JointPruneRegressor",
    "JointPruneSurvival",
    "KnockoffDisplay",
    "KnockoffSelection",
    "NetworkSize",
    "PathDisplay",
    "PruningDisplay",
    "PruningPath",
    "PruningReport",
    "StabilitySelection",
    "StepFunction",
    "SupportDisplay",
    "export_onnx",
    "joint_prune_path",
    "knockoff_selection",
    "load",
    "p_values",
    "register_rule",
    "save",
    "stability_selection",
]
