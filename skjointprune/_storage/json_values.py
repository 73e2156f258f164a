"""Values to JSON and back, out of a fixed list of types: no code is stored, none run.

What JSON has is itself; all else is an object with a "type". Numbers come back to the
bit, as JSON is written with as many digits as that takes.
"""

import json
import math
from inspect import isclass
from typing import Any

import numpy as np
import torch

from ..modules._build import NAMED_MODULES
from ..modules._mlp import MLP
from ..penalties import PENALTIES

COLLECTIONS: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset}
NUMBERS = {
    np.dtype(code).name: np.dtype(code)
    for code in ("?", "b", "h", "i", "q", "B", "H", "I", "Q", "e", "f", "d")
}
# What a parameter may be that has a name here, and so needs no code in a file.
KNOWN: dict[str, Any] = {
    f"torch.optim.{name}": kind
    for name, kind in vars(torch.optim).items()
    if isclass(kind) and issubclass(kind, torch.optim.Optimizer)
}
KNOWN |= {f"modules.{name}": module for name, module in NAMED_MODULES.items()}
KNOWN["modules.MLP"] = MLP


def is_known(value: Any) -> bool:
    """Tell whether a class or function is stored by its name."""
    return any(value is known for known in KNOWN.values())


def to_json(value: Any) -> Any:
    """Return what `json.dumps` takes for a value.

    Raises
    ------
    TypeError
        If it holds something of another type, which it names.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        if math.isfinite(value):
            return value
        return {"type": "float", "value": repr(value)}
    if kind is list:
        return [to_json(v) for v in value]
    if kind is dict:
        if all(type(k) is str for k in value) and "type" not in value:
            return {k: to_json(v) for k, v in value.items()}
        pairs = [[to_json(k), to_json(v)] for k, v in value.items()]
        return {"type": "dict", "value": pairs}
    if kind in COLLECTIONS.values():
        items = [to_json(v) for v in value]
        if kind is not tuple:
            items.sort(key=json.dumps)  # the order of a set differs between processes
        return {"type": kind.__name__, "value": items}
    if isinstance(value, np.generic):
        dtype, (held,) = _array(np.asarray(value))
        return {"type": "scalar", "dtype": dtype, "value": held}
    if kind is np.ndarray:
        dtype, items = _array(value)
        shape = list(value.shape)
        return {"type": "array", "dtype": dtype, "shape": shape, "value": items}
    if kind is torch.device:
        return {"type": "device", "value": str(value)}
    for name, penalty in PENALTIES.items():
        if kind is penalty:
            return {"type": "penalty", "value": name}
    for name, known in KNOWN.items():
        if value is known:
            return {"type": "known", "value": name}
    if kind.__module__.partition(".")[0] == "pandas" and hasattr(value, "to_numpy"):
        return to_json(value.to_numpy())  # whose index no parameter reads
    what = f"the class {value.__name__}" if isclass(value) else repr(kind.__name__)
    raise TypeError(f"{what} is more than numbers, text and collections of these")


def _array(values: np.ndarray) -> tuple[str, list]:
    """Return the name of a type, and what is in an array, as JSON."""
    name = values.dtype.name
    if values.dtype.kind == "U":
        name = "str"
    elif name not in NUMBERS and name != "object":
        raise TypeError(f"an array of {name} is neither of numbers nor of text")
    flat = values.ravel().tolist()
    if name == "object":
        strange = [v for v in flat if not isinstance(v, str | int | float | np.generic)]
        if strange:
            raise TypeError(f"{type(strange[0]).__name__!r} is no number and no text")
    return name, [to_json(v) for v in flat]


def from_json(value: Any) -> Any:
    """Return the value that `to_json` was given.

    Raises
    ------
    ValueError, TypeError, KeyError, RuntimeError
        If it was given none.
    """
    if isinstance(value, list):
        return [from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "type" not in value:
        return {k: from_json(v) for k, v in value.items()}
    kind, held = value["type"], value["value"]
    if kind == "float":
        return float(held)
    if kind == "dict":
        return {from_json(k): from_json(v) for k, v in held}
    if kind in COLLECTIONS:
        return COLLECTIONS[kind](from_json(held))
    if kind == "scalar":
        return _read_array([held], value["dtype"])[0]
    if kind == "array":
        return _read_array(held, value["dtype"]).reshape(value["shape"])
    if kind == "device":
        return torch.device(held)
    if kind == "penalty":
        return PENALTIES[held]()
    if kind == "known":
        return KNOWN[held]
    raise ValueError(f"there is no type {kind!r}")


def _read_array(items: list, dtype: str) -> np.ndarray:
    items = from_json(items)
    if dtype == "object":
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    if dtype == "str":  # as wide as the longest, whatever the file asks for
        return np.array([str(v) for v in items], dtype=str)
    return np.array(items, dtype=NUMBERS[dtype])
