"""Trace a module by `torch.fx`, whose code may decide by sizes.

The code is run on proxies, which have no numbers. But how many numbers a tensor has is
known once rows have a shape. So where the code asks for a size, to branch or to loop,
as much of the graph as that takes is run on two rows. The answer holds for this size:
what it counts must stay as many.
"""

import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute, TraceError

from ._context import kind_of_rows

DECIDES = "decides"  # in `meta` of a node whose value the code has decided by
QUESTIONS = ("size", "numel", "dim", "ndimension", "is_floating_point", "get_device")


class Tracer(fx.Tracer):
    """Looks into all layers but those that `is_leaf` tells to be of one piece.

    Parameters
    ----------
    module : nn.Module
    shape : tuple of int
        Of one row.
    is_leaf : callable
        Given a layer.
    """

    proxy_buffer_attributes = True  # or what comes of them is lost from the graph

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        is_leaf: Callable[[nn.Module], bool],
    ):
        super().__init__()
        self.module, self.shape, self.is_leaf = module, shape, is_leaf
        self.running = False
        self.values: dict[fx.Node, Any] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a layer is one node of the graph."""
        return self.is_leaf(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return what the code gets in place of a tensor or a size."""
        return _Proxy(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Let the code branch on sizes."""
        return bool(self.decide(obj.node))

    def iter(self, obj: fx.Proxy) -> Iterator:
        """Let the code go through sizes, or through the parts of a tensor."""
        self.run(obj.node)
        if not isinstance(self.values[obj.node], tuple | list):
            return super().iter(obj)
        return (operator.getitem(obj, i) for i in range(len(self.values[obj.node])))

    def decide(self, node: fx.Node) -> Any:
        """Return the value of a node, if sizes tell it, and note that it mattered."""
        self.run(node)
        if self._is_of_numbers(node):
            raise TraceError(f"{node.name!r} decides by numbers of a tensor")
        node.meta[DECIDES] = True
        return self.values[node]

    def run(self, node: fx.Node) -> None:
        """Compute the value of a node for two rows, and what it takes."""
        if self.running:
            return
        self.running = True  # or what is run would be traced
        try:
            with torch.no_grad():
                self._run(node)
        finally:
            self.running = False

    def _run(self, node: fx.Node) -> None:
        todo = [node]
        while todo:
            missing = [n for n in todo[-1].all_input_nodes if n not in self.values]
            if missing:
                todo += missing
            else:
                last = todo.pop()
                self.values[last] = self._value(last)

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            kind = kind_of_rows(self._copy)
            return node.args[0] if node.args else torch.zeros(2, *self.shape, **kind)
        target: Any = node.target
        if node.op == "get_attr":
            return operator.attrgetter(target)(self._copy)
        given = (node.args, node.kwargs)
        args, kwargs = fx.node.map_arg(given, lambda n: self.values[n])
        if node.op == "call_function":
            return target(*args, **kwargs)
        if node.op == "call_module":
            return self._copy.get_submodule(target)(*args, **kwargs)
        return getattr(args[0], target)(*args[1:], **kwargs)

    @property
    def _copy(self) -> nn.Module:
        if "_copied" not in vars(self):
            self._copied = deepcopy(self.module).eval()
        return self._copied

    def _is_of_numbers(self, node: fx.Node) -> bool:
        """Tell whether a value comes of what is in tensors, and not of their sizes."""
        if isinstance(self.values[node], Tensor):
            return True
        asks = node.target in QUESTIONS or node.target is getattr
        return any(
            not (asks and isinstance(self.values[n], Tensor)) and self._is_of_numbers(n)
            for n in node.all_input_nodes
        )

    def call_module(self, m: nn.Module, forward: Callable, args, kwargs) -> Any:
        """Trace a layer, or run it where it is the copy's."""
        if self.running:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache) -> Any:
        """Return a parameter as a node of the graph, or the copy's as it is."""
        if self.running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


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

    def __len__(self) -> int:
        self.tracer.run(self.node)
        value = self.tracer.values[self.node]
        if not isinstance(value, tuple | list):
            raise TraceError(f"{self.node.name!r} is asked for its length")
        return len(value)


class _Attribute(_Proxy, Attribute):
    """An attribute of one, such as `shape`, or a method."""
