"""Tracing by torch.fx, of code that may branch and loop by sizes.

The code is run on proxies, which stand for tensors and sizes. Where it needs the value
of a size, the graph so far is run on tensors that have a shape and no numbers. The
graph then holds for this size alone, so the channels that were counted must be kept.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import cached_property, wraps
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute, TraceError

from .._utils.torch import kind_of_rows
from .rules.functions import FILLED
from .rules.registry import registered_functions

DECIDES = "decides"  # in `meta` of a node whose value the code has decided by
ROWS = 2  # how many rows the graph is run on
OTHER_ROWS = (1, 1000)  # for which a branch must be the same


class Tracer(fx.Tracer):
    """Makes a graph of a module; looks into all layers but those of `is_leaf`.

    Where the code decides by numbers of a tensor, or branches by the number of rows,
    tracing ends in a `TraceError`.

    Parameters
    ----------
    module : nn.Module
    shape : tuple of int
        Shape of one row.
    is_leaf : callable
        Tells whether a layer is one node of the graph.

    Attributes
    ----------
    failed_in : str or None
        The innermost layer that could not be traced.
    """

    proxy_buffer_attributes = True  # or the graph would lack what is computed of them

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        is_leaf: Callable[[nn.Module], bool],
    ):
        super().__init__()
        self.module, self.shape, self.is_leaf = module, shape, is_leaf
        self.runs: dict[int, _Run] = {}
        self.failed_in: str | None = None
        self.running = False  # while the graph so far is run, nothing is traced

    def trace(self, root, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """Return the graph of a module."""
        layers = [
            (f"{type(layer).__name__} {name!r}", held, _snapshot(held))
            for name, layer in root.named_modules()
            if not isinstance(layer, torch.jit.ScriptModule)
            for held in (vars(layer), layer._buffers)
        ]
        try:
            with _sizes_one_by_one(), _registered_functions_whole(root):
                graph = super().trace(root, concrete_args)
        finally:
            assigned = _restore_(layers)
        if assigned:
            self.failed_in, name = assigned[0]
            raise TraceError(f"{name!r} holds what it computes: change it in place")
        return graph

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a layer is one node of the graph."""
        whole = self.is_leaf(m) or isinstance(m, torch.jit.ScriptModule)
        return whole or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return what the code gets in place of a tensor or a size."""
        return _Proxy(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Let the code branch on sizes."""
        answer = bool(self.decide(obj.node))
        for n_rows in OTHER_ROWS:
            try:
                other = bool(self.value(obj.node, n_rows))
            except Exception:  # it does not run on so many rows at all
                continue
            if other != answer:
                raise TraceError(f"{obj.node.name!r} decides by the number of rows")
        return answer

    def iter(self, obj: fx.Proxy) -> Iterator:
        """Let the code go through sizes, or through the parts of a tensor."""
        return (operator.getitem(obj, i) for i in range(self.length(obj.node)))

    def length(self, node: fx.Node) -> int:
        """Return how many sizes or parts there are: as many, whatever is pruned."""
        value = self.value(node)
        if not isinstance(value, tuple | list):
            raise TraceError(
                f"{node.name!r} is gone through one by one, or asked for its length, "
                "which `shape` tells"
            )
        return len(value)

    def decide(self, node: fx.Node) -> Any:
        """Return the value of a node, as sizes tell it, and note that it decides."""
        value = self.value(node)
        if isinstance(value, Tensor):
            raise TraceError(f"{node.name!r} decides by numbers of a tensor")
        node.meta[DECIDES] = True
        return value

    def value(self, node: fx.Node, n_rows: int = ROWS) -> Any:
        """Return the value of a node for a number of rows; tensors have no numbers."""
        from torch._subclasses.fake_tensor import (
            DataDependentOutputException,
            DynamicOutputShapeException,
        )

        self.running = True
        try:
            if n_rows not in self.runs:
                shape = (n_rows, *self.shape)
                self.runs[n_rows] = _Run(self.module, self.copy, shape)
            return self.runs[n_rows].value(node)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise TraceError(f"{error.func} decides by numbers of a tensor") from error
        finally:
            self.running = False

    @cached_property
    def copy(self) -> nn.Module:
        """The copy whose layers are run in place of the module's."""
        return deepcopy(self.module).eval()

    def call_module(self, m: nn.Module, forward: Callable, args, kwargs) -> Any:
        """Trace a layer, or run it."""
        if self.running:
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed_in is None:
                self.failed_in = f"{type(m).__name__} {self.path_of_module(m)!r}"
            raise

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache) -> Any:
        """Return a parameter as a node of the graph, or itself while it is run."""
        if self.running or attr_val is None:
            return attr_val
        name, held = self._tensors.get(id(attr_val), ("", None))
        if held is not attr_val:
            return super().getattr(attr, attr_val, parameter_proxy_cache)
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    @cached_property
    def _tensors(self) -> dict[int, tuple[str, Tensor]]:
        """Parameters and buffers by identity; torch.fx goes through all for each."""
        held: dict[int, tuple[str, Tensor]] = {}
        for name, t in [*self.root.named_parameters(), *self.root.named_buffers()]:
            held.setdefault(id(t), (name, t))
        return held


def _snapshot(held: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a layer, with copies of lists, dicts and sets."""
    grows = (list, dict, set)
    return {k: copy(v) if isinstance(v, grows) else v for k, v in held.items()}


def _has_proxy(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        return any(map(_has_proxy, value))
    return isinstance(value, fx.Proxy)


def _restore_(layers: list[tuple[str, dict, dict]]) -> list[tuple[str, str]]:
    """Remove proxies that the code left in layers; return where they were."""
    found = []
    for layer, held, before in layers:
        own = [k for k in held if k not in ("_parameters", "_buffers", "_modules")]
        for name in [k for k in own if _has_proxy(held[k])]:
            found.append((layer, name))
            del held[name]
            held |= {name: before[name]} if name in before else {}
    return found


@contextmanager
def _sizes_one_by_one() -> Iterator[None]:
    """Let the code call `torch.zeros(x.shape[0], 3)` and `torch.zeros(x.shape)`.

    torch itself takes proxies only in a tuple of several sizes.
    """

    def packed(make: Callable) -> Callable:
        @wraps(make)
        def of_sizes(*sizes, **options):
            tracer = _tracer_of(sizes)
            if tracer is None:
                return make(*sizes, **options)
            first = sizes[0]
            if isinstance(first, _Proxy):
                first = tracer.value(first.node)
            given = sizes if isinstance(first, tuple | list) else (sizes,)
            return tracer.create_proxy("call_function", make, given, options)

        return of_sizes

    there = {name: getattr(torch, name) for name in FILLED}
    try:
        for name, make in there.items():
            setattr(torch, name, packed(make))
        yield
    finally:
        for name, make in there.items():
            setattr(torch, name, make)


def _tracer_of(given: Any) -> "Tracer | None":
    """Return the tracer of the proxies that a function is given, if there are any."""
    flat: list[Any] = []
    fx.node.map_aggregate(given, flat.append)
    return next((a.tracer for a in flat if isinstance(a, _Proxy)), None)


@contextmanager
def _registered_functions_whole(root: nn.Module) -> Iterator[None]:
    """Let each function that has a registered rule be one node of the graph.

    It is replaced where code finds it by a name: in its own module, and in those that
    define the forward of a layer. Functions of torch stay whole by themselves.
    """

    def as_a_node(function: Callable) -> Callable:
        @wraps(function)
        def node_of(*args, **kwargs):
            tracer = _tracer_of((args, kwargs))
            if tracer is None:
                return function(*args, **kwargs)
            return tracer.create_proxy("call_function", function, args, kwargs)

        return node_of

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
            scope[name] = as_a_node(function)
        yield
    finally:
        for scope, name, function in found:
            scope[name] = function


class _Run:
    """Runs a graph, as far as it is traced, on rows that have a shape and no numbers.

    The layers of a copy of the module are run.
    """

    def __init__(self, module: nn.Module, copy: nn.Module, shape: tuple[int, ...]):
        from torch._subclasses.fake_tensor import FakeTensorMode

        self.module, self.copy, self.shape = module, copy, shape
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.values: dict[fx.Node, Any] = {}
        self.last: fx.Node | None = None

    def value(self, node: fx.Node) -> Any:
        with self.mode:
            while node not in self.values:  # in order: some change tensors
                first = next(iter(node.graph.nodes))
                run = first if self.last is None else self.last.next
                self.values[run] = self._value(run)
                self.last = run
        return self.values[node]

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            kind = kind_of_rows(self.copy)
            return node.args[0] if node.args else torch.empty(self.shape, **kind)
        target: Any = node.target
        if node.op == "get_attr":  # of the module: constants get there while tracing
            return operator.attrgetter(target)(self.module)
        given = (node.args, node.kwargs)
        args, kwargs = fx.node.map_arg(given, lambda n: self.values[n])
        if node.op == "call_function":
            return target(*args, **kwargs)
        if node.op == "call_module":
            return self.copy.get_submodule(target)(*args, **kwargs)
        return getattr(args[0], target)(*args[1:], **kwargs)


class _Proxy(fx.Proxy):
    """A tensor or a size, which is a number where the code must have one."""

    tracer: Tracer

    def __getattr__(self, name: str) -> "_Attribute":
        return _Attribute(self, name)

    def __index__(self) -> int:
        return operator.index(self.tracer.decide(self.node))

    def __int__(self) -> int:
        return int(self.tracer.decide(self.node))

    def __float__(self) -> float:
        return float(self.tracer.decide(self.node))

    def __round__(self, n_digits: int | None = None) -> float:
        return round(self.tracer.decide(self.node), n_digits)

    def __len__(self) -> int:
        return self.tracer.length(self.node)

    def __hash__(self) -> int:  # of a size that is looked up in a set or dict
        if isinstance(self.tracer.value(self.node), Tensor):
            return id(self)
        return hash(self.tracer.decide(self.node))


class _Attribute(_Proxy, Attribute):
    """An attribute of a proxy, such as `shape`, or a method."""
