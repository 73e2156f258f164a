"""State of a fit: JSON and tensors, and the fit made from these."""

from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
import torch
from skorch.history import History
from torch import Tensor

from .._data.columns import Columns
from .._data.image_inputs import ImageInputs
from .._data.image_options import ImageInput
from .._data.inputs import Inputs
from .._data.survival import Survival
from .._data.table_inputs import TableInputs
from .._data.targets import Classes, LabelSets, Numbers, Targets
from .._report.report import NetworkSize, PruningReport
from .._storage.json_values import from_json, to_json
from .._training.fit import Fit
from .._training.net import build_net, finish_
from .._training.settings import OPTIMIZERS
from .._training.tasks import task_for
from .._utils.torch import choose_device
from .network_state import describe_network, rebuild_network

TARGETS = {kind.__name__: kind for kind in (Classes, LabelSets, Numbers, Survival)}


def describe_fit(
    fit: Fit, params: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what goes into JSON, and the tensors of the network.

    `params` are those of the estimator, from which the dense network is made.

    Raises
    ------
    TypeError
        If labels are of a type that cannot be expressed.
    ValueError
        If the network cannot be described.
    """
    network, tensors = describe_network(fit, params)
    state = {
        "inputs": _inputs_to_json(fit.inputs),
        "targets": _targets_to_json(fit.targets),
        "support": to_json(fit.support),
        "importances": to_json(fit.importances),
        "importance_errors": to_json(fit.importance_errors),
        "history": _history_to_json(fit.history),
        "report": to_json(asdict(fit.report)),
        "network": to_json(network),
    }
    return state, tensors


def restore_fit(
    estimator: Any, state: dict[str, Any], tensors: dict[str, Tensor]
) -> Fit:
    """Return the fit that was described, for an estimator of the same parameters."""
    inputs = _inputs_from_json(state["inputs"], estimator.images)
    targets = _targets_from_json(state["targets"])
    support = from_json(state["support"])
    report = from_json(state["report"])
    dense, pruned = (NetworkSize(**report.pop(name)) for name in ("dense", "pruned"))
    params = estimator.get_params(deep=False)
    description = from_json(state["network"])
    network = rebuild_network(inputs, targets, support, params, description, tensors)
    net = build_net(
        network,
        task_for(targets, params.get("loss")),
        optimizer=OPTIMIZERS.get(estimator.optimizer, estimator.optimizer),
        lr=estimator.lr,
        batch_size_to_score=inputs.batch_size_to_score,
        train_split=None,
        device=_device_here(estimator.device),
        verbose=0,
    )
    finish_(net, net.module_)
    return Fit(
        inputs,
        targets,
        net,
        support,
        *_importances_from_json(state),
        _history_from_json(state["history"]),
        PruningReport(dense, pruned, **report),
    )


def _importances_from_json(state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return importances and their standard errors.

    Files of earlier versions have saliencies, whose square is an estimate of a loss.
    """
    importances = from_json(state["importances"])
    if "importance_errors" in state:
        return importances, from_json(state["importance_errors"])
    return importances**2, np.full(importances.shape, np.nan)


def _device_here(device: Any) -> torch.device:
    try:
        return choose_device(device)
    except ValueError:  # of another machine
        return torch.device("cpu")


def _inputs_to_json(inputs: Inputs) -> dict[str, Any]:
    if type(inputs) not in (TableInputs, ImageInputs):
        raise TypeError(
            f"A file cannot hold X of the kind {type(inputs).__name__}. Save the "
            "estimator with joblib."
        )
    state: dict[str, Any] = {"kind": type(inputs).__name__, "shape": list(inputs.shape)}
    if isinstance(inputs, TableInputs):
        state["names"] = to_json(inputs.names)
        state["groups"] = [columns.tolist() for columns in inputs.groups]
        state["costs"] = to_json(inputs.costs)
        state["columns"] = _columns_to_json(inputs.columns)
    elif isinstance(inputs, ImageInputs):
        state["kinds"] = list(inputs.kinds)
    return state


def _inputs_from_json(state: dict[str, Any], images: ImageInput | None) -> Inputs:
    shape = tuple(state["shape"])
    if state["kind"] == ImageInputs.__name__:
        return ImageInputs(shape, tuple(state["kinds"]), images or ImageInput())
    groups = [np.array(columns) for columns in state["groups"]]
    names, costs = from_json(state["names"]), from_json(state["costs"])
    columns = _columns_from_json(state.get("columns"), shape[0])
    return TableInputs(shape, names, groups, columns, costs)


def _columns_to_json(columns: Columns) -> dict[str, Any]:
    try:
        levels = {str(i): to_json(of_one) for i, of_one in columns.levels.items()}
    except TypeError as error:
        raise TypeError(
            f"The levels of a category cannot be saved: {error}. Fit with levels that "
            "are numbers or text, or save with joblib."
        ) from error
    return {
        "levels": levels,
        "rare": list(columns.rare),
        "gaps": list(columns.gaps),
        "means": to_json(columns.means),
    }


def _columns_from_json(state: dict[str, Any] | None, n: int) -> Columns:
    """Return columns; those of files of earlier versions held numbers without gaps."""
    if state is None:
        return Columns(n)
    levels = {int(i): list(from_json(v)) for i, v in state["levels"].items()}
    return Columns(
        n,
        levels,
        tuple(state["rare"]),
        tuple(state["gaps"]),
        from_json(state["means"]),
    )


def _targets_to_json(targets: Targets) -> dict[str, Any]:
    try:
        values = {name: to_json(value) for name, value in vars(targets).items()}
    except TypeError as error:
        raise TypeError(
            f"`classes_` cannot be saved: {error}. Fit with labels that are numbers or "
            "text, or save with joblib."
        ) from error
    return {"kind": type(targets).__name__} | values


def _targets_from_json(state: dict[str, Any]) -> Targets:
    values = {name: from_json(v) for name, v in state.items() if name != "kind"}
    return TARGETS[state["kind"]](**values)


def _history_to_json(history: History) -> list[dict[str, Any]]:
    """Return the rows, neighbours of the same columns together, without batches."""
    plain = []
    for row in history:
        plain_row = {}
        for name, value in row.items():
            if name != "batches":
                number = value.item() if isinstance(value, np.generic) else value
                try:
                    plain_row[name] = to_json(number)
                except TypeError:
                    continue  # what a callback of the user's recorded
        plain.append(plain_row)
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
