"""Trees of values, packed: JSON, and copies of tensors beside it.

A tree is what `state_dict` methods return: lists, tuples and dicts of tensors, arrays,
numbers and text. A packed tree is a copy, which later training does not change.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .json_values import from_json, to_json


@dataclass(frozen=True)
class Packed:
    """A tree as JSON, and its tensors: contiguous, on the CPU.

    It may stand in another tree, as a part that is packed once.
    """

    model: Any
    tensors: list[Tensor] = field(default_factory=list)


def pack(tree: Any) -> Packed:
    """Return a packed copy of a tree.

    Raises
    ------
    TypeError
        If it holds something of another type, which it names.
    """
    tensors: list[Tensor] = []
    return Packed(_pack(tree, tensors), tensors)


def unpack(packed: Packed, device: torch.device) -> Any:
    """Return the tree; tensors that were on a GPU are on `device`.

    Each tensor has its strides of before, as some results depend on them to the bit.
    """
    return _unpack(packed.model, packed.tensors, device)


def _pack(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return _pack_tensor(value, tensors)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        held = torch.from_numpy(np.array(value, order="C"))
        return {"type": "numbers", "value": _pack_tensor(held, tensors)}
    if isinstance(value, Packed):
        start = len(tensors)
        tensors += value.tensors
        return {"type": "packed", "start": start, "value": value.model}
    if type(value) is list:
        return [_pack(v, tensors) for v in value]
    if type(value) is tuple:
        return {"type": "tuple", "value": [_pack(v, tensors) for v in value]}
    if isinstance(value, dict):  # also an OrderedDict, as torch's states are
        if all(type(k) is str for k in value) and "type" not in value:
            return {k: _pack(v, tensors) for k, v in value.items()}
        pairs = [[to_json(k), _pack(v, tensors)] for k, v in value.items()]
        return {"type": "dict", "value": pairs}
    return to_json(value)


def _pack_tensor(tensor: Tensor, tensors: list[Tensor]) -> dict[str, Any]:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise TypeError(f"a tensor of {tensor.layout} is more than its numbers")
    copied = tensor.detach().clone().cpu()
    described = {"type": "tensor", "value": len(tensors), "device": tensor.device.type}
    contiguous = copied.contiguous()
    if copied.stride() != torch.empty(copied.shape, device="meta").stride():
        described["stride"] = list(copied.stride())
    tensors.append(contiguous)
    return described


def _unpack(value: Any, tensors: list[Tensor], device: torch.device) -> Any:
    if isinstance(value, list):
        return [_unpack(v, tensors, device) for v in value]
    if not isinstance(value, dict):
        return value
    if "type" not in value:
        return {k: _unpack(v, tensors, device) for k, v in value.items()}
    kind, held = value["type"], value["value"]
    if kind == "tensor":
        return _unpack_tensor(value, tensors, device)
    if kind == "numbers":
        return _unpack_tensor(held, tensors, device).numpy()
    if kind == "packed":
        return _unpack(held, tensors[value["start"] :], device)
    if kind == "tuple":
        return tuple(_unpack(v, tensors, device) for v in held)
    if kind == "dict":
        return {from_json(k): _unpack(v, tensors, device) for k, v in held}
    return from_json(value)


def _unpack_tensor(
    value: dict[str, Any], tensors: list[Tensor], device: torch.device
) -> Tensor:
    # a copy: what is read from a file begins anywhere in memory, and what is trained
    # must not change what is packed
    held = tensors[value["value"]]
    where = torch.device("cpu") if value["device"] == "cpu" else device
    stride = value.get("stride")
    if stride is None:
        return held.clone().to(where)
    made = torch.empty_strided(held.shape, stride, dtype=held.dtype, device=where)
    return made.copy_(held)
