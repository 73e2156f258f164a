"""Tracing by torch.fx, of code that may branch and loop by sizes.

The code is run on proxies, which stand for tensors and sizes. Where it needs the value
of a size, the graph so far is run on tensors that have a shape and no numbers. The
graph then holds for this size alone, so the channels that were counted must be kept.
"""

import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from .._layers.sizes import WithSizes, put_sizes
from .._utils.torch import kind_of_rows
from .caches import forget
from .held_numbers import as_plain_number, numbers_by_name
from .patches import (
    lengths_of_tensors,
    registered_functions_whole,
    sizes_one_by_one,
    tensors_by_their_kind,
)
from .proxies import Proxy
from .refusals import Refused, line_now
from .remembered import ABSENT, find_proxies, restore_, take_snapshot
from .tensors import QUESTIONS

DECIDES = "decides"  # in `meta` of a node whose value the code has decided by
ROWS = 2  # how many rows the graph is run on
OTHER_ROWS = (1, 1000)  # for which a branch must be the same
# Layers of torch whose code is followed, as it is made of layers and functions.
LOOKED_INTO = (
    nn.Unflatten,
    nn.Transformer,
    nn.TransformerDecoderLayer,
)
BRANCHES = (
    "Its forward must not branch on values or the number of rows; register a rule for "
    "the layer that does (skjointprune.register_rule)."
)


class Tracer(fx.Tracer):
    """Makes a graph of a module; looks into all layers but those of `is_leaf`.

    Where the code decides by numbers of a tensor, or branches by the number of rows,
    tracing ends in a `Refused`.

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
    remembered : dict of str to Any
        The attributes in which layers keep what they computed of parameters and sizes
        alone, and what was there before.
    alone : fx.Node or None
        Where the code treats one row by itself in another way than several.
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
        self.remembered: dict[str, Any] = {}
        self.alone: fx.Node | None = None
        self.hashed: list[Proxy] = []  # sizes that were looked up, as in a cache
        self.running = False  # while the graph so far is run, nothing is traced

    def trace(self, root, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """Return the graph of a module."""
        before = take_snapshot(root)
        try:
            with (
                lengths_of_tensors(),
                tensors_by_their_kind(),
                sizes_one_by_one(),
                registered_functions_whole(root),
                numbers_by_name(root),
            ):
                graph = super().trace(root, concrete_args)
        finally:
            kept = find_proxies(root)
            self.remembered = {name: before.get(name, ABSENT) for name in kept}
            restore_(root, self.remembered)
            forget(self.hashed, root)
        for attribute, nodes in kept.items():
            self._refuse_what_is_kept_of_rows(root, attribute, nodes)
        return graph

    def create_args_for_root(self, *given: Any, **options: Any) -> Any:
        """Return the function to trace and its arguments: no more than it names."""
        function, args = super().create_args_for_root(*given, **options)
        for i, arg in enumerate(args):
            target = str(arg.node.target) if isinstance(arg, fx.Proxy) else ""
            if i == 1 and target.startswith("*"):  # rows are the first of several
                arg.node.target = target.lstrip("*")
                args[i] = (arg,)
            elif i > 1 and target.startswith("*"):
                arg.node.graph.erase_node(arg.node)
                args[i] = {} if target.startswith("**") else ()
        return function, args

    def _refuse_what_is_kept_of_rows(
        self, root: nn.Module, attribute: str, nodes: list[fx.Node]
    ) -> None:
        path, _, name = attribute.rpartition(".")
        layer = root.get_submodule(path)
        read = [source for node in nodes for source in _sources(node)]
        trained = layer.training and any(n.op == "get_attr" for n in read)
        if trained or any(n.op == "placeholder" for n in read):
            self.failed_in = f"{type(layer).__name__} {path!r}" if path else None
            raise Refused(
                f"{name!r} holds what it computes: change it in place",
                f"Keep nothing of a run in attributes: register {name!r} as a buffer "
                f"and change its numbers (`self.{name}.copy_(…)`), or leave it out.",
                nodes[-1].meta.get("line"),
            )

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a layer is one node of the graph."""
        whole = self.is_leaf(m) or isinstance(m, torch.jit.ScriptModule)
        if type(m) in LOOKED_INTO and not whole:
            return False
        return whole or super().is_leaf_module(m, module_qualified_name)

    def create_proxy(self, kind, target, args, kwargs, *more, **options) -> Any:
        """Make a node, with the sizes that its layer puts in, if it is such a layer."""
        scopes = [name for name, _ in self.module_stack.values()]
        owner = self.module.get_submodule(scopes[-1]) if scopes else self.module
        follows = isinstance(owner, WithSizes)
        if follows and not args and "input" in kwargs:
            args, kwargs = (kwargs["input"],), {**kwargs}
            del kwargs["input"]
        if follows and args and isinstance(args[0], fx.Proxy):
            name = target if kind == "call_method" else getattr(target, "__name__", "")
            args = (args[0], *self._unpacked(args[1:]))
            given = (self.value(args[0].node), *args[1:])
            call = put_sizes(vars(owner), name, given, kwargs, traced=True)
            args, kwargs = (args[0], *call.args[1:]), call.kwargs
        return super().create_proxy(kind, target, args, kwargs, *more, **options)

    def create_arg(self, a: Any) -> Any:
        """Return what a node is given: for a number of numpy, one of Python."""
        return super().create_arg(a.item() if isinstance(a, np.number) else a)

    def _unpacked(self, sizes: tuple) -> tuple:
        """Return sizes one by one where a call is given a shape that is computed."""
        if len(sizes) != 1 or not isinstance(sizes[0], fx.Proxy):
            return sizes
        given = self.value(sizes[0].node)
        if not isinstance(given, tuple | list):
            return sizes
        return ([operator.getitem(sizes[0], i) for i in range(len(given))],)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return what the code gets in place of a tensor or a size."""
        return Proxy(node, self)

    def create_node(self, *args, **kwargs) -> fx.Node:
        """Return a node of the graph that knows the line of the code that made it."""
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = line_now()
        return node

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Let the code branch on sizes."""
        answer = bool(self.decide(obj.node))
        for n_rows in OTHER_ROWS:
            try:
                other = bool(self.value(obj.node, n_rows))
            except Exception:  # it does not run on so many rows at all
                continue
            if other != answer and n_rows == 1:
                self.alone = self.alone or obj.node
            elif other != answer:
                raise decides_by_rows(obj.node)
        return answer

    def iter(self, obj: fx.Proxy) -> Iterator:
        """Let the code go through sizes, or through the parts of a tensor."""
        return (operator.getitem(obj, i) for i in range(self.length(obj.node)))

    def length(self, node: fx.Node) -> int:
        """Return how many sizes or parts there are: as many, whatever is pruned."""
        value = self.value(node)
        if not isinstance(value, tuple | list):
            raise Refused(
                f"{node.name!r} is gone through one by one",
                "Let it compute all rows at once, or go through parts that `chunk` or "
                "`unbind` make.",
            )
        return len(value)

    def decide(self, node: fx.Node) -> Any:
        """Return the value of a node, as sizes tell it, and note that it decides."""
        value = self.value(node)
        if isinstance(value, Tensor):
            raise Refused(f"{node.name!r} decides by numbers of a tensor", BRANCHES)
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
            fact = f"{error.func} decides by numbers of a tensor"
            raise Refused(fact, BRANCHES) from error
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
            if m not in (self.submodule_paths or {}):
                return self._call_a_new_layer(m, forward, args, kwargs)
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed_in is None:
                name = (self.submodule_paths or {}).get(m)
                self.failed_in = type(m).__name__ + (f" {name!r}" if name else "")
            raise

    def _call_a_new_layer(self, m: nn.Module, forward: Callable, args, kwargs) -> Any:
        """Look into a layer that the code has made, if it has nothing to train."""
        held = [*m.named_parameters(), *m.named_buffers()]
        if held:
            raise Refused(
                f"{type(m).__name__} is no layer of `module`, so its {held[0][0]!r} "
                "would not be trained",
                "Make it in `__init__`, and keep it as an attribute, or in an "
                "nn.ModuleList.",
            )
        return forward(*args, **kwargs)

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


def decides_by_rows(node: fx.Node) -> Refused:
    """Return an error that says that the code branches by the number of rows."""
    fact = f"{node.name!r} decides by the number of rows"
    return Refused(fact, BRANCHES, node.meta.get("line"))


def _sources(node: fx.Node) -> list[fx.Node]:
    """Return the nodes of rows and parameters whose numbers a node is computed of."""
    seen: dict[fx.Node, None] = {node: None}
    todo = [node]
    while todo:
        n = todo.pop()
        asked = n.args[1] if n.target is getattr else n.target
        if asked not in (*QUESTIONS, "shape", "ndim"):
            new = [before for before in n.all_input_nodes if before not in seen]
            seen |= dict.fromkeys(new)
            todo += new
    return [n for n in seen if n.op in ("placeholder", "get_attr")]


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
        # nodes of one layer may be run in another, whose sizes are not theirs
        with self.mode, torch._C.DisableTorchFunction():
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
        plain = fx.node.map_aggregate((node.args, node.kwargs), as_plain_number)
        args, kwargs = fx.node.map_arg(plain, lambda n: self.values[n])
        if node.op == "call_function":
            return target(*args, **kwargs)
        if node.op == "call_module":
            return self.copy.get_submodule(target)(*args, **kwargs)
        return getattr(args[0], target)(*args[1:], **kwargs)
