"""State of a fitted estimator: JSON and tensors, and the estimator made from these."""

import json
from dataclasses import dataclass, field, fields
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._data.image_options import ImageInput
from .._error_rates.knockoff_result import KnockoffSelection
from .._estimators.base import JointPruneEstimator
from .._estimators.classifier import JointPruneClassifier
from .._estimators.cross_validation import JointPruneCV
from .._estimators.fitted import adopt, fit_of
from .._estimators.regressor import JointPruneRegressor
from .._estimators.selector import InputFeatureSelector
from .._estimators.survival import JointPruneSurvival
from .._storage.json_values import from_json, to_json
from .._utils.versions import versions
from .fit_state import describe_fit, restore_fit
from .network_state import is_custom

ESTIMATORS: dict[str, type[BaseEstimator]] = {
    kind.__name__: kind
    for kind in (
        InputFeatureSelector,
        JointPruneClassifier,
        JointPruneCV,
        JointPruneRegressor,
        JointPruneSurvival,
    )
}
# A fitted estimator does not need them: they may be of any type, and are left out.
TRAINING_ONLY = {
    "callbacks",
    "cv",
    "feature_groups",
    "images__transform",
    "optimizer",
    "penalty",
    "random_state",
    "scoring",
}
KNOCKOFFS = tuple(value.name for value in fields(KnockoffSelection))
# What cross-validation leaves beside the fitted estimator.
CV_ATTRIBUTES = (
    "alpha_",
    "alphas_",
    "cv_results_",
    "best_index_",
    "n_splits_",
    "jaccard_",
)


@dataclass
class Description:
    """What there is to write of an estimator.

    `model` goes into JSON. `module` is the user's own network or what makes it, which
    a reader has to pass. `left_out` are names of parameters that have their defaults
    in `model`.
    """

    model: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    module: Any = None
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, estimator: BaseEstimator) -> "Description":
        """Describe a fitted estimator.

        Raises
        ------
        TypeError
            If it is of another kind, or a parameter or label of a type that cannot be
            expressed, which it names.
        ValueError
            If the network cannot be described.
        """
        description = cls()
        check_kind(estimator, "")
        check_is_fitted(estimator)
        description.model = description._describe(estimator, "", fitted=True)
        # nothing is decided by them
        description.model["versions"] = versions()
        return description

    def _describe(self, estimator, prefix: str, *, fitted: bool) -> dict[str, Any]:
        """Describe an estimator; `prefix` says where it is held, as "estimator."."""
        check_kind(estimator, prefix)
        state: dict[str, Any] = {"class": type(estimator).__name__}
        params = estimator.get_params(deep=False)
        if isinstance(estimator, JointPruneEstimator):
            params.pop("checkpoint")  # of a fit that is over
            params_of_network = dict(params)
            if is_custom(params["module"]):
                self.module = params.pop("module")
                state["module"] = _name(self.module)
            images = params.pop("images")
            if images is not None:
                state["images"] = self._params(images.get_params(), "images__")
            state["params"] = self._params(params)
            if fitted:
                state["fit"], tensors = describe_fit(
                    fit_of(estimator), params_of_network
                )
                self.tensors |= {prefix + name: t for name, t in tensors.items()}
            return state
        inner = params.pop("estimator")
        state["params"] = self._params(params)
        prefit = getattr(estimator, "prefit", False)
        if inner is not None:
            path = f"{prefix}estimator."
            state["estimator"] = self._describe(inner, path, fitted=fitted and prefit)
        if fitted and getattr(estimator, "fdr", None) is not None:
            state["knockoffs_"] = {
                name: to_json(getattr(estimator.knockoffs_, name)) for name in KNOCKOFFS
            }
        elif fitted and not prefit:
            path = f"{prefix}estimator_."
            state["estimator_"] = self._describe(
                estimator.estimator_, path, fitted=True
            )
        if isinstance(estimator, InputFeatureSelector):
            output = getattr(estimator, "_sklearn_output_config", {})
            state["output"] = output.get("transform")
        elif fitted:
            state["attributes"] = {
                name: to_json(getattr(estimator, name)) for name in CV_ATTRIBUTES
            }
        return state

    def _params(self, params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        written: dict[str, Any] = {}
        for name, value in params.items():
            try:
                written[name] = to_json(value)
            except TypeError as error:
                if not _is_of_training(prefix + name, params):
                    remedy = "Set it to numbers or text, or save with joblib."
                    if name.startswith("module__"):
                        remedy = (
                            "Let `module` be a function that sets it, such as a "
                            "functools.partial, and pass that to `load`."
                        )
                    raise TypeError(
                        f"`{prefix}{name}` cannot be saved: {error}. {remedy}"
                    ) from error
                self.left_out.append(prefix + name)
        if "optimizer" in params and "optimizer" not in written:
            # What one optimiser takes, another may not.
            for name in [n for n in written if n.startswith("optimizer__")]:
                del written[name]
        return written


def check_kind(estimator: Any, prefix: str) -> None:
    """Raise TypeError for what is no estimator of this package."""
    kind = type(estimator)
    if kind not in ESTIMATORS.values():
        where = f"`{prefix[:-1]}` of type " if prefix else ""
        raise TypeError(
            f"`save` takes {', '.join(ESTIMATORS)}, fitted. Got {where}"
            f"{kind.__name__}; save it with joblib or skops."
        )


def restore(
    model: dict[str, Any], tensors: dict[str, Tensor], module: Any, prefix: str = ""
) -> BaseEstimator:
    """Make the estimator that was described.

    Raises
    ------
    ValueError
        If `module` is needed and not there, or not needed, or does not fit. What is
        no description raises whatever comes of it.
    """
    kind = ESTIMATORS[model["class"]]
    params = {name: from_json(value) for name, value in model["params"].items()}
    if not issubclass(kind, JointPruneEstimator):
        return _restore_around(kind, model, params, tensors, module, prefix)
    if "module" in model:
        if not is_custom(module):
            raise ValueError(
                "The file holds a network whose code is not in this package: "
                f"{model['module']}. Got `module`={module!r}; pass what was `module` "
                "in the fit: load(path, module=…)."
            )
        params["module"] = module
    elif module is not None:
        raise ValueError(
            "The file holds a network of this package. Got `module` as well; leave it "
            "at None."
        )
    if "images" in model:
        options = {name: from_json(value) for name, value in model["images"].items()}
        params["images"] = ImageInput(**options)
    estimator = kind(**params)
    if "fit" in model:
        of_estimator = {
            name.removeprefix(prefix): t
            for name, t in tensors.items()
            if name.startswith(prefix)
        }
        adopt(estimator, restore_fit(estimator, model["fit"], of_estimator))
    return estimator


def _restore_around(
    kind: type[BaseEstimator],
    model: dict[str, Any],
    params: dict[str, Any],
    tensors: dict[str, Tensor],
    module: Any,
    prefix: str,
) -> BaseEstimator:
    """Make a selector, or what cross-validates, around the estimators it holds."""
    inner = {
        name: restore(model[name], tensors, module, f"{prefix}{name}.")
        for name in ("estimator", "estimator_")
        if name in model
    }
    outer = kind(inner.get("estimator"), **params)
    if getattr(outer, "prefit", False):
        outer.estimator_ = inner["estimator"]
    elif "estimator_" in inner:
        outer.estimator_ = inner["estimator_"]
    if "knockoffs_" in model:
        values = {name: from_json(v) for name, v in model["knockoffs_"].items()}
        outer.knockoffs_ = KnockoffSelection(**values)
    if model.get("output") is not None:
        outer.set_output(transform=model["output"])
    for name, value in model.get("attributes", {}).items():
        if name not in CV_ATTRIBUTES:
            raise ValueError(f"{name!r} is no attribute of {kind.__name__}")
        setattr(outer, name, from_json(value))
    return outer


def _is_of_training(name: str, params: dict[str, Any]) -> bool:
    """Tell whether a finished network does without a parameter."""
    if name == "module__weights":  # to start from; unless `module` is the user's own
        return "module" in params
    return name in TRAINING_ONLY or name.startswith("optimizer__")


def _name(module: Any) -> str:
    named = module if hasattr(module, "__qualname__") else type(module)
    return f"{named.__module__}.{named.__qualname__}"


def dumps(model: dict[str, Any]) -> bytes:
    """Return JSON, the same for equal models."""
    return json.dumps(model, separators=(",", ":"), allow_nan=False).encode()
