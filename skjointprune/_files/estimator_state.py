"""A fitted estimator as JSON and tensors, and the estimator made from these."""

import json
import platform
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import sklearn
import skorch
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import Tensor, nn

from .._data.images import Images
from .._data.tables import Table
from .._estimators.classifier import JointPruneClassifier
from .._estimators.classifier_cv import JointPruneClassifierCV
from .._estimators.regressor import JointPruneRegressor
from .._estimators.regressor_cv import JointPruneRegressorCV
from .._estimators.selector import InputFeatureSelector
from .._report.report import NetworkSize, PruningReport
from .._training.batches import Batches
from .._training.net import PruningNet, finished
from .._training.settings import OPTIMIZERS
from .._utils.torch import choose_device
from .json_values import from_json, to_json
from .network_state import describe_network, is_custom, rebuild_network

ESTIMATORS: dict[str, type[BaseEstimator]] = {
    kind.__name__: kind
    for kind in (
        InputFeatureSelector,
        JointPruneClassifier,
        JointPruneClassifierCV,
        JointPruneRegressor,
        JointPruneRegressorCV,
    )
}
# A fitted estimator does not need them: they may be of any type, and are left out.
TRAINING_ONLY = {
    "callbacks",
    "cv",
    "optimizer",
    "penalty",
    "random_state",
    "scoring",
    "train_transform",
}
APART = {"net_", "history_", "report_"}  # attributes that are stored in another form
NOT_KEPT = {"_metadata_request", "_sklearn_output_config"}


def versions() -> dict[str, str]:
    """Return what a file was written with; nothing is decided by it."""
    from .._version import __version__

    return {
        "skjointprune": __version__,
        "torch": torch.__version__,
        "skorch": skorch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


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
        made = cls()
        made.model = made._describe(estimator, "", fitted=True)
        made.model["versions"] = versions()
        return made

    def _describe(self, estimator, prefix: str, fitted: bool) -> dict[str, Any]:
        kind = type(estimator)
        if kind not in ESTIMATORS.values():
            where = f"`{prefix[:-1]}` of type " if prefix else ""
            raise TypeError(
                f"`save` takes {', '.join(ESTIMATORS)}, fitted. Got {where}"
                f"{kind.__name__}; save it with joblib or skops."
            )
        if fitted:
            check_is_fitted(estimator)
        said: dict[str, Any] = {"class": kind.__name__}
        params = estimator.get_params(deep=False)
        if kind is InputFeatureSelector:
            prefit, inner = estimator.prefit, params.pop("estimator")
            if inner is not None:
                path = f"{prefix}estimator."
                said["estimator"] = self._describe(inner, path, fitted and prefit)
            if fitted and not prefit:
                path = f"{prefix}estimator_."
                said["estimator_"] = self._describe(estimator.estimator_, path, True)
            output = getattr(estimator, "_sklearn_output_config", {})
            said["output"] = output.get("transform")
        elif is_custom(params["module"]):
            self.module = params.pop("module")
            said["module"] = _name(self.module)
        said["params"] = self._params(params)
        if fitted and kind is not InputFeatureSelector:
            self._describe_fit(estimator, prefix, said)
        return said

    def _params(self, params: dict[str, Any]) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for name, value in params.items():
            try:
                written[name] = to_json(value)
            except TypeError as error:
                if not _is_of_training(name, params):
                    remedy = "Set it to numbers or text, or save with joblib."
                    if name.startswith("module__"):
                        remedy = (
                            "Let `module` be a function that sets it, such as a "
                            "functools.partial, and pass that to `load`."
                        )
                    raise TypeError(
                        f"`{name}` cannot be saved: {error}. {remedy}"
                    ) from error
                self.left_out.append(name)
        if "optimizer" in params and "optimizer" not in written:
            # What one optimiser takes, another may not.
            for name in [n for n in written if n.startswith("optimizer__")]:
                del written[name]
        return written

    def _describe_fit(self, estimator, prefix: str, said: dict[str, Any]) -> None:
        fit = {
            name: value
            for name, value in vars(estimator).items()
            if name not in estimator.get_params(deep=False)
        }
        groups = fit.get("feature_groups_")
        if groups is not None:  # shorter than arrays
            fit["feature_groups_"] = [columns.tolist() for columns in groups]
        attributes = {}
        for name in fit.keys() - APART - NOT_KEPT:
            try:
                attributes[name] = to_json(fit[name])
            except TypeError as error:
                raise TypeError(
                    f"`{name}` cannot be saved: {error}. Fit with labels that are "
                    "numbers or text, or save with joblib."
                ) from error
        said["attributes"] = {name: attributes[name] for name in sorted(attributes)}
        said["history"] = _history_to_json(estimator.history_)
        said["report"] = to_json(asdict(estimator.report_))
        network, tensors = describe_network(estimator)
        said["network"] = to_json(network)
        self.tensors |= {prefix + name: t for name, t in tensors.items()}


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
    if kind is InputFeatureSelector:
        return _restore_selector(model, params, tensors, module, prefix)
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
    estimator = kind(**params)
    if "attributes" in model:
        _restore_fit(estimator, model, tensors, prefix)
    return estimator


def _restore_selector(model, params, tensors, module, prefix) -> InputFeatureSelector:
    inner = {
        name: restore(model[name], tensors, module, f"{prefix}{name}.")
        for name in ("estimator", "estimator_")
        if name in model
    }
    selector = InputFeatureSelector(inner.get("estimator"), **params)
    if "estimator_" in inner or selector.prefit:
        selector.estimator_ = inner["estimator" if selector.prefit else "estimator_"]
    if model["output"] is not None:
        selector.set_output(transform=model["output"])
    return selector


def _restore_fit(estimator, model, tensors, prefix: str) -> None:
    for name, value in model["attributes"].items():
        # As a fit names what it leaves, and nothing that the class has.
        private = name.startswith("_") and not name.startswith("__")
        if not (private or name.endswith("_")) or hasattr(type(estimator), name):
            raise ValueError(f"{name!r} is no attribute of a fit")
        setattr(estimator, name, from_json(value))
    if hasattr(estimator, "feature_groups_"):
        estimator.feature_groups_ = [np.array(g) for g in estimator.feature_groups_]
    report = from_json(model["report"])
    dense, pruned = (NetworkSize(**report.pop(name)) for name in ("dense", "pruned"))
    estimator.report_ = PruningReport(dense, pruned, **report)
    estimator.history_ = _history_from_json(model["history"])
    own = {
        name.removeprefix(prefix): t
        for name, t in tensors.items()
        if name.startswith(prefix)
    }
    network = rebuild_network(estimator, from_json(model["network"]), own)
    estimator.net_ = _make_net(estimator, network)


def _make_net(estimator, network: nn.Module) -> PruningNet:
    """Make the net that a fit leaves, to predict with."""
    try:
        device = choose_device(estimator.device)
    except ValueError:  # of another machine
        device = torch.device("cpu")
    task = estimator._task()
    read = Table if len(estimator.input_shape_) == 1 else Images
    net = PruningNet(
        network,
        criterion=task.criterion,
        criterion__reduction="none",
        predict_nonlinearity=task.read,
        optimizer=OPTIMIZERS.get(estimator.optimizer, estimator.optimizer),
        lr=estimator.lr,
        iterator_train=Batches,
        iterator_valid=Batches,
        iterator_valid__batch_size=read.batch_size_to_score,
        train_split=None,
        device=device,
        verbose=0,
    ).initialize()
    net.module = finished
    return net


def _is_of_training(name: str, params: dict[str, Any]) -> bool:
    """Tell whether a finished network does without a parameter."""
    if name == "module__weights":  # to start from; unless `module` is the user's own
        return "module" in params
    return name in TRAINING_ONLY or name.startswith("optimizer__")


def _name(module: Any) -> str:
    named = module if hasattr(module, "__qualname__") else type(module)
    return f"{named.__module__}.{named.__qualname__}"


def _history_to_json(history: History) -> list[dict[str, Any]]:
    """Return the rows, neighbours of the same columns together, without batches."""
    plain = []
    for row in history:
        told = {}
        for name, value in row.items():
            if name != "batches":
                number = value.item() if isinstance(value, np.generic) else value
                try:
                    told[name] = to_json(number)
                except TypeError:
                    continue  # what a callback of the user's recorded
        plain.append(told)
    return [
        {"columns": list(columns), "rows": [list(row.values()) for row in rows]}
        for columns, rows in groupby(plain, key=tuple)
    ]


def _history_from_json(blocks: list[dict[str, Any]]) -> History:
    history = History()
    for block in blocks:
        for row in block["rows"]:
            values = [from_json(v) for v in row]
            named = zip(block["columns"], values, strict=True)
            history.append({"batches": [], **dict(named)})
    return history


def dumps(model: dict[str, Any]) -> bytes:
    """Return JSON, the same for equal models."""
    return json.dumps(model, separators=(",", ":"), allow_nan=False).encode()
