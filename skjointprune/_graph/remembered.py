"""What layers keep of a run in attributes that are no parameters or buffers.

Some keep, outside training, what they have computed of their parameters. It is right
until a parameter changes, so a cut makes them forget it.
"""

from collections.abc import Mapping
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor, fx, nn

from .tensors import locate_tensor

ABSENT = object()  # the value of an attribute that there was not
OF_TORCH = frozenset(vars(nn.Module()))  # what every layer has, as its hooks


def take_snapshot(module: nn.Module) -> dict[str, Any]:
    """Return the attributes of each layer, with copies of lists, dicts and sets."""
    return {
        f"{path}.{name}" if path else name: _copied(value)
        for path, layer in module.named_modules()
        if not isinstance(layer, torch.jit.ScriptModule)
        for held in (vars(layer), layer._buffers)
        for name, value in held.items()
        if name not in OF_TORCH
    }


def _copied(value: Any) -> Any:
    return copy(value) if isinstance(value, list | dict | set) else value


def parts_of(value: Any, kind: type) -> list[Any]:
    """Return what is of a kind in a value, or in the list or dict that it is."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        return [part for each in value for part in parts_of(each, kind)]
    return [value] if isinstance(value, kind) else []


def find_proxies(module: nn.Module) -> dict[str, list[fx.Node]]:
    """Return the nodes of proxies that the code left in layers, by attribute."""
    found = {k: parts_of(v, fx.Proxy) for k, v in take_snapshot(module).items()}
    return {
        name: [p.node for p in proxies] for name, proxies in found.items() if proxies
    }


def find_tensors_kept(module: nn.Module, rows: Tensor) -> set[str]:
    """Return the attributes that hold other tensors after a run outside training."""
    run = deepcopy(module).eval()
    before = take_snapshot(run)
    with torch.no_grad():
        run(rows)
    return {
        name
        for name, value in take_snapshot(run).items()
        if not _is_buffer(run, name)
        and {*map(id, parts_of(value, Tensor))}
        - {*map(id, parts_of(before.get(name), Tensor))}
    }


def _is_buffer(module: nn.Module, name: str) -> bool:
    layer, attribute = locate_tensor(module, name)
    return attribute in layer._buffers


def restore_(module: nn.Module, before: Mapping[str, Any]) -> None:
    """Set attributes of layers to the values that they had before."""
    for name, value in before.items():
        layer, attribute = locate_tensor(module, name)
        held = layer._buffers if attribute in layer._buffers else vars(layer)
        if value is ABSENT:
            held.pop(attribute, None)
        else:
            held[attribute] = _copied(value)
