"""Functions that are replaced while a module is traced, as they take no proxies."""

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._utils.replaced import replaced
from .proxies import PROXIES, Proxy, tracer_of
from .rules.faces import CONVOLUTIONS
from .rules.functions import FILLED
from .rules.registry import registered_functions

OF_NUMBERS = ("as_tensor", "scalar_tensor", "tensor")
OF_SIZES = ("expand", "repeat", "reshape", "tile", "view")  # methods


def _as_a_node(function: Callable, method: str | None = None) -> Callable:
    """Make of a function one that is a node of the graph where it is given proxies.

    A method of tensors has a name, by which the node calls it.
    """

    @wraps(function)
    def node_of(*args, **kwargs):
        tracer = tracer_of((args, kwargs))
        if tracer is None:
            return function(*args, **kwargs)
        if method is not None:
            return tracer.create_proxy("call_method", method, args, kwargs)
        return tracer.create_proxy("call_function", function, args, kwargs)

    return node_of


@contextmanager
def lengths_of_tensors() -> Iterator[None]:
    """Let the code ask for `len(x)`: of a tensor that is a size, not yet a number."""
    count = builtins.len

    def length(x: Any, /) -> Any:
        if isinstance(x, Proxy) and isinstance(x.tracer.value(x.node), Tensor):
            return x.tracer.create_proxy("call_function", count, (x,), {})
        return count(x)

    with replaced(builtins, {"len": length}):
        yield


@contextmanager
def tensors_by_their_kind() -> Iterator[None]:
    """Let the code ask `isinstance(x, Tensor)`, which is true of what stands for one.

    torch itself is told what is there, a proxy.
    """
    is_instance, is_tensor = builtins.isinstance, torch.is_tensor

    def known(x: Any, kinds: Any, /) -> bool:
        asks = type(x) in PROXIES and (
            kinds is Tensor or (type(kinds) is tuple and Tensor in kinds)
        )
        if asks and not _is_of_torch(sys._getframe(1).f_globals):
            x = x.tracer.value(x.node)
        return is_instance(x, kinds)

    def known_as_tensor(x: Any, /) -> bool:
        if type(x) in PROXIES and not _is_of_torch(sys._getframe(1).f_globals):
            x = x.tracer.value(x.node)
        return is_tensor(x)

    with (
        replaced(builtins, {"isinstance": known}),
        replaced(torch, {"is_tensor": known_as_tensor}),
    ):
        yield


def _is_of_torch(scope: dict[str, Any]) -> bool:
    """Tell whether code is of torch, or of this package, which knows proxies."""
    home = scope.get("__name__", "").partition(".")[0]
    return home in ("torch", __name__.partition(".")[0])


@contextmanager
def sizes_one_by_one() -> Iterator[None]:
    """Let the code call `torch.zeros(x.shape[0], 3)` and `torch.zeros(x.shape)`.

    torch itself takes proxies only in a tuple of several sizes. It takes none in those
    functions that make a tensor of numbers, in methods of such a tensor, nor as the
    number of groups of a convolution.
    """

    def packed(make: Callable) -> Callable:
        @wraps(make)
        def of_sizes(*sizes, **options):
            tracer = tracer_of(sizes)
            if tracer is None:
                return make(*sizes, **options)
            first = sizes[0]
            if isinstance(first, Proxy):
                first = tracer.value(first.node)
            given = sizes if isinstance(first, tuple | list) else (sizes,)
            return tracer.create_proxy("call_function", make, given, options)

        return of_sizes

    makers = {name: packed(getattr(torch, name)) for name in FILLED}
    makers |= {name: _as_a_node(getattr(torch, name)) for name in OF_NUMBERS}
    convolve = {name: _as_a_node(getattr(F, name)) for name in CONVOLUTIONS}
    methods = {name: _as_a_node(getattr(Tensor, name), name) for name in OF_SIZES}
    with (
        replaced(torch, makers | convolve),
        replaced(F, convolve),
        replaced(Tensor, methods),
    ):
        yield


@contextmanager
def registered_functions_whole(root: nn.Module) -> Iterator[None]:
    """Let each function that has a registered rule be one node of the graph.

    It is replaced where code finds it by a name: in its own module, and in those that
    define the forward of a layer. Functions of torch stay whole by themselves.
    """
    forwards = [getattr(type(layer), "forward", None) for layer in root.modules()]
    scopes = [getattr(forward, "__globals__", {}) for forward in forwards]
    functions = {id(f): f for f in registered_functions(scopes)}
    scopes += [f.__globals__ for f in functions.values()]
    found = [
        (scope, name, value)
        for scope in {id(scope): scope for scope in scopes}.values()
        for name, value in scope.items()
        if id(value) in functions
    ]
    try:
        for scope, name, function in found:
            scope[name] = _as_a_node(function)
        yield
    finally:
        for scope, name, function in found:
            scope[name] = function
