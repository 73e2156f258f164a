"""Whole numbers that layers hold as attributes, known by their names while traced.

`assert x.shape[1] == self.n_features` compares a size with such a number. Whoever finds
it in the graph can tell which attribute it is, and renew that one when channels go.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import nn


class HeldInt(int):
    """A whole number that is an attribute of a layer.

    `name` is that of the attribute in the network. `used` tells whether the code has
    computed with it, or compared it, by itself: no node of the graph says so. It is
    noted only while the code is traced. `in_product` tells whether it is a factor of a
    product that begins with 1, as of known lengths by which einops divides others.
    """

    name: str
    traced: bool = True
    used: bool = False
    in_product: bool = False

    def multiple(self, value: int) -> "HeldInt":
        """Return a multiple of this number, which follows it."""
        found = HeldInt(value)
        found.name, found.traced, found.used = self.name, False, self.used
        return found


def _is_one(factor: Any) -> bool:
    """Tell whether a factor is the number 1, and no proxy that stands for it."""
    return type(factor) is int and factor == 1


def _noting_use(function: Callable) -> Callable:
    @wraps(function)
    def noting(self: HeldInt, *args: Any) -> Any:
        if function.__name__ in ("__mul__", "__rmul__") and _is_one(args[0]):
            self.in_product = True
            return self
        out = function(self, *args)
        if out is NotImplemented or not self.traced:  # a proxy makes a node of it
            return out
        if function.__name__ not in COMPARED or args[0] != 0:  # no size is 0
            self.used = True
        return out

    return noting


BY_ITSELF = "abs ceil float floor int invert neg pos round trunc"
WITH_ANOTHER = "add and divmod floordiv lshift mod mul or pow rshift sub truediv xor"
COMPARED = [f"__{name}__" for name in ["eq", "ge", "gt", "le", "lt", "ne"]]
COMPUTED = [
    f"__{side}{name}__"
    for name in f"{BY_ITSELF} {WITH_ANOTHER}".split()
    for side in ("", "r")
]
for _method in (*COMPARED, *COMPUTED):
    if hasattr(int, _method):
        setattr(HeldInt, _method, _noting_use(getattr(int, _method)))
HeldInt.__hash__ = int.__hash__  # type: ignore[method-assign]


def as_plain_number(value: Any) -> Any:
    """Return a number that knows no name, and all else as it is."""
    return int.__index__(value) if isinstance(value, HeldInt) else value


@contextmanager
def numbers_by_name(module: nn.Module) -> Iterator[None]:
    """Let the attributes of layers that are whole numbers know their names."""
    there = []
    for path, layer in module.named_modules():
        if isinstance(layer, torch.jit.ScriptModule):
            continue
        for name, value in vars(layer).items():
            if type(value) is int and value > 1:
                held = HeldInt(value)
                held.name = f"{path}.{name}".removeprefix(".")
                there.append((vars(layer), name, value, held))
    for attributes, name, _, held in there:
        attributes[name] = held
    try:
        yield
    finally:
        for attributes, name, value, held in there:
            held.traced = False
            if attributes.get(name) is held:
                attributes[name] = value
