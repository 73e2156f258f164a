"""State of a network: all that training and cuts change of it, as a tree of values.

The network itself is made again by the code that made it. Then it takes on a state.
"""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from .network import Axis, Channels, Network
from .remembered import OF_TORCH
from .tensors import get_tensor, locate_tensor, names_of_tensors

PLAIN = (int, float, bool, str, type(None))


def state_of(network: Network) -> dict[str, Any]:
    """Return the tensors of a network, what its layers hold, and its channels.

    Raises
    ------
    ValueError
        If a layer has a state of its own that is no tensor.
    """
    module = network.module
    strange = [name for name in module.state_dict() if name.endswith("_extra_state")]
    if strange:
        raise ValueError(
            f"The layer of {strange[0]!r} keeps a state that is no tensor, which a "
            "checkpoint cannot hold. Leave `checkpoint` at None."
        )
    names = names_of_tensors(module)
    held = {name: get_tensor(module, name) for name, (first, *_) in names.items()}
    owned = {name: t for name, t in held.items() if names[name][0] == name}
    return {
        "tensors": owned,
        "shared": {name: first for name, (first, *_) in names.items() if first != name},
        "frozen": [n for n, t in owned.items() if _is_frozen(t)],
        "layers": _attributes_of_layers(network),
        "channels": [_channels_to_dict(c) for c in network.channels],
        "input_shape": network.input_shape,
    }


def restore_state_(network: Network, state: dict[str, Any]) -> None:
    """Let a network take on a state, in place.

    Raises
    ------
    ValueError
        If it is the state of a network of other layers, tensors or channels.
    """
    module = network.module
    layers = dict(module.named_modules())
    attributes_before = _attributes_of_layers(network)
    names = [c.name for c in network.channels]
    if list(layers) != list(state["layers"]) or names != [
        c["name"] for c in state["channels"]
    ]:
        raise ValueError(
            "The network that `module` makes has other layers than the one that was "
            "written. Pass the `module` of the first call."
        )
    for path, attributes in state["layers"].items():
        before = attributes_before[path]
        for name, value in attributes.items():
            if isinstance(value, Tensor) or name not in before or before[name] != value:
                setattr(layers[path], name, value)
    frozen = {*state["frozen"]}
    for name, tensor in state["tensors"].items():
        _set_tensor_(module, name, tensor, trained=name not in frozen)
    for name, first in state["shared"].items():
        layer, attribute = locate_tensor(module, name)
        setattr(layer, attribute, get_tensor(module, first))
    for layer in layers.values():
        if isinstance(layer, nn.RNNBase):
            layer.flatten_parameters()  # which a GPU asks for
    for channels, held in zip(network.channels, state["channels"], strict=True):
        for name, value in _channels_from_dict(held).items():
            setattr(channels, name, value)
    network.input_shape = tuple(state["input_shape"])
    network.forget_()


def _set_tensor_(module: nn.Module, name: str, tensor: Tensor, trained: bool) -> None:
    """Give a tensor its numbers, or put another in its place where its size is other.

    Whoever holds a tensor that stays in place, as code compiled before, sees these.
    """
    layer, attribute = locate_tensor(module, name)
    old = getattr(layer, attribute, None)
    is_parameter = attribute in layer._parameters
    if (
        old is not None
        and old.shape == tensor.shape
        and old.stride() == tensor.stride()
        and old.dtype == tensor.dtype
    ):
        old.data.copy_(tensor)
    else:
        new = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
        setattr(layer, attribute, new)
    if is_parameter:
        getattr(layer, attribute).requires_grad_(trained)


def _is_frozen(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and not tensor.requires_grad


def _attributes_of_layers(network: Network) -> dict[str, dict[str, Any]]:
    """Return the attributes of each layer that hold numbers, text, or one tensor.

    `training` is one of them. What layers keep of a run, they can compute again.
    """
    found = {}
    for path, layer in network.module.named_modules():
        held = vars(layer)
        names = held.keys() - (OF_TORCH - {"training"})
        if isinstance(layer, torch.jit.ScriptModule):
            names = {"training"} & held.keys()
        prefix = f"{path}." if path else ""
        found[path] = {
            name: held[name]
            for name in sorted(names)
            if prefix + name not in network.remembered
            and (isinstance(held[name], Tensor) or _is_plain(held[name]))
        }
    return found


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(k) is str and _is_plain(v) for k, v in value.items())
    return type(value) in PLAIN


def _channels_to_dict(channels: Channels) -> dict[str, Any]:
    return {
        name: [{f.name: getattr(axis, f.name) for f in fields(Axis)} for axis in value]
        if isinstance(value, list)
        else value
        for name, value in vars(channels).items()
    }


def _channels_from_dict(held: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [Axis(**axis) for axis in value] if isinstance(value, list) else value
        for name, value in held.items()
    }
