"""Trace a module, and send labels through its graph.

`torch.fx` gives the graph; two rows, run through it, give the shape of all that is
computed; the rules of `_rules` do the rest.
"""

import inspect
import operator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, fx, nn

from ._context import kind_of_rows
from ._function_rules import FILLED, function_rule, together
from ._labels import (
    CONSTANT,
    Counted,
    CountedFloat,
    CountedInt,
    Labels,
    all_differ,
    get_tensor,
    varies,
)
from ._own_weights import label_product, product_at
from ._rules import PinnedParts, layer_rule
from ._tracer import DECIDES, Tracer


def trace(module: nn.Module, shape: tuple[int, ...]) -> fx.Graph:
    """Return the graph of a module for rows of a shape.

    Tensors that its code makes are left in it.
    """
    name = type(module).__name__
    tracer = Tracer(module, shape, lambda layer: layer_rule(layer) is not None)
    try:
        _, *more = inspect.signature(module.forward).parameters.values()
        plain = (bool, int, float, str, type(None))
        defaults = {p.name: p.default for p in more if isinstance(p.default, plain)}
        graph = tracer.trace(module, concrete_args=defaults)
    except Exception as error:
        _refuse_what_does_not_run(module, shape)
        where = f" in its layer {tracer.failed_in}" if tracer.failed_in else ""
        raise ValueError(
            f"`module` {name} could not be traced{where} ({error}). Its forward must "
            "not branch on values or the number of rows, nor assign to elements; "
            "register a rule for the layer that does (skjointprune.register_rule)."
        ) from error
    _, *others = (n for n in graph.nodes if n.op == "placeholder")
    for node, parameter in zip(others, more, strict=True):
        if parameter.name in defaults:
            node.args = (defaults[parameter.name],)
        elif not node.args and not str(node.target).startswith("*"):
            raise ValueError(
                f"`module` {name} takes a second input, {parameter.name}. Give it a "
                "default, or let `forward` take the rows alone."
            )
    return graph


def _refuse_what_does_not_run(module: nn.Module, shape: tuple[int, ...]) -> None:
    try:
        with torch.no_grad():
            deepcopy(module).eval()(torch.zeros(2, *shape, **kind_of_rows(module)))
    except Exception as error:
        raise _does_not_run(module, shape, error) from error


def _does_not_run(
    module: nn.Module, shape: tuple[int, ...], error: Exception
) -> ValueError:
    size = " x ".join(map(str, shape))
    says = str(error).partition("\n")[0] or type(error).__name__
    if "type" in says or "Double" in says:
        remedy = "Let it compute in float32, which it is made to have here."
    elif len(shape) == 1:
        remedy = (
            "Make its first layer accept as many inputs as X has columns, or take "
            "them as a parameter `n_features_in`."
        )
    else:
        remedy = "Let it take the shape of a row as a parameter `input_shape`."
    return ValueError(
        f"`module` {type(module).__name__} does not run on {size} inputs "
        f"({says}). {remedy}"
    )


class _Shapes(fx.Interpreter):
    """Notes the shape of each tensor in the graph, and what is no tensor."""

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        if isinstance(out, Tensor):
            n.meta["shape"] = tuple(out.shape)
        else:
            n.meta["value"] = out
        return out


def run_shapes(module: nn.Module, graph: fx.Graph, shape: tuple[int, ...]) -> int:
    """Run two rows through a copy, so that a misfit shows before training.

    Notes the shapes in the graph; returns the number of outputs.
    """
    rows = torch.zeros(2, *shape, **kind_of_rows(module))
    try:
        traced = fx.GraphModule(deepcopy(module).eval(), graph)
        with torch.no_grad():
            out = _Shapes(traced).run(rows)
    except Exception as error:
        raise _does_not_run(module, shape, error) from error
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
        raise _not_logits(out, "2 rows")
    _refuse_what_drops_one_row(module, rows[:1], out.shape[1])
    return out.shape[1]


def _refuse_what_drops_one_row(module: nn.Module, row: Tensor, n: int) -> None:
    """Refuse a head that drops the dimension of rows where there is one."""
    try:
        with torch.no_grad():
            out = deepcopy(module).eval()(row)
    except Exception:  # normalisation may need more rows, and says so in predictions
        return
    if not isinstance(out, Tensor) or out.shape != (1, n):
        raise _not_logits(out, "1 row")


def _not_logits(out: Any, rows: str) -> ValueError:
    kind = type(out).__name__.removeprefix("immutable_")
    got = tuple(out.shape) if isinstance(out, Tensor) else kind
    return ValueError(
        "`module` must map rows to a tensor of shape (rows, outputs). Got "
        f"{got} from {rows}; return the logits alone."
    )


def walk(
    module: nn.Module, graph: fx.Graph, labels: Labels, shape: tuple[int, ...]
) -> tuple[Tensor, dict[str, int]]:
    """Send labels through the graph.

    Returns those of the inputs, and how often a row uses each weight.
    """
    at: dict[fx.Node, Any] = {}
    positions: dict[str, int] = {}
    inputs = None

    def used(weight: str, times: int) -> None:
        if times:
            weight = labels.canonical(weight)
            positions[weight] = positions.get(weight, 0) + times

    for node in graph.nodes:
        product = product_at(module, node)
        if product is not None and not isinstance(at[product.given], Tensor):
            product = None
        for held in node.all_input_nodes:
            # With its first user, when more is known of what it meets.
            if held.op == "get_attr" and held not in at and product is None:
                labels.shape, labels.node = held.meta.get("shape", ()), held.name
                at[held] = _attribute(module, held, labels, at)
        if node.op == "get_attr":
            continue
        labels.shape, labels.node = node.meta.get("shape", ()), node.name
        args: Any = ()
        kwargs: Any = {}
        if product is None:
            given = (node.args, node.kwargs)
            args, kwargs = fx.node.map_arg(given, lambda n: at[n])
        if node.op == "placeholder":
            if inputs is None:
                inputs = labels.fresh(torch.Size(shape).numel()).view(shape)
                out: Any = inputs.expand(2, *shape)
            else:
                out = node.meta["value"]  # its default
        elif node.op == "output":
            labels.leave(args[0])
            break
        elif node.op == "call_module":
            out = _call_layer(module, node, args, kwargs, labels)
            name = str(node.target)
            times = _per_row(module, node)
            for own, p in module.get_submodule(name).named_parameters(recurse=False):
                used(f"{name}.{own}", times * (p.ndim > 1))
        elif product is not None:
            out = label_product(product, module, at[product.given], labels)
            spread = torch.Size(labels.shape).numel() // labels.shape[product.of]
            used(product.weight, spread // 2)
        else:
            out = _call(node, args, dict(kwargs), labels)
        if isinstance(out, PinnedParts) and "shape" in node.meta:
            out = out.label[0].expand(labels.shape)
        if isinstance(out, Tensor) and tuple(out.shape) != labels.shape:
            raise ValueError(
                f"The rule for {node.target} returned labels of shape "
                f"{tuple(out.shape)} for an output of shape {labels.shape}. Let it "
                "return one label for each number of the output."
            )
        at[node] = out
        if DECIDES in node.meta or node.target is torch._assert:
            why = f"the code decides by their number at {node.name!r}"
            labels.pin(_counted_behind(node, at), why)
    assert inputs is not None
    return inputs, positions


def _per_row(module: nn.Module, node: fx.Node) -> int:
    """Return at how many positions of a row a layer uses its weights."""
    layer = module.get_submodule(str(node.target))
    weight = getattr(layer, "weight", None)
    if isinstance(layer, nn.Embedding) or not isinstance(weight, Tensor):
        return 0
    spread_out = getattr(layer, "transposed", False)
    shape = (node.all_input_nodes[0] if spread_out else node).meta.get("shape", ())
    if weight.ndim < 2 or len(shape) < 2:
        return 0
    channels = shape[-1 if isinstance(layer, nn.Linear) else 1]
    return torch.Size(shape).numel() // 2 // channels


def _call_layer(
    module: nn.Module, node: fx.Node, args: Any, kwargs: Any, labels: Labels
) -> Any:
    """Apply the rule of a layer."""
    name = str(node.target)
    layer = module.get_submodule(name)
    if not args and len(kwargs) == 1:  # the input, by its name
        args, kwargs = tuple(kwargs.values()), {}
    plain = all(isinstance(a, Tensor) for a in args)
    plain &= not any(isinstance(a, Tensor | PinnedParts) for a in kwargs.values())
    hooked = layer._forward_pre_hooks or layer._forward_hooks  # do what they like
    rule = layer_rule(layer)
    if rule is not None and args and plain and not hooked:
        out = rule(layer, name, args[0] if len(args) == 1 else args, labels)
        if out is not NotImplemented:
            return out
    what = f"{type(layer).__name__} {name!r}" + " with hooks" * bool(hooked)
    if any(True for _ in layer.parameters()):
        labels.without_rule[name] = f"there is no rule for {what}"
    return _no_rule(labels, [args, kwargs], what)


def _call(node: fx.Node, args: Any, kwargs: dict[str, Any], labels: Labels) -> Any:
    """Apply the rule of a function or method, or compute where no channel is met."""
    if not args and "input" in kwargs:
        args = (kwargs.pop("input"),)
    flat: list[Any] = []
    fx.node.map_aggregate((args, kwargs), flat.append)
    x: Any = args[0] if args else None
    if isinstance(x, PinnedParts) and node.target in (operator.getitem, getattr):
        return x
    if node.target is operator.getitem and not isinstance(x, Tensor):
        return x[args[1]]
    if not any(isinstance(a, Tensor | PinnedParts) for a in flat):
        numbers = [a for a in flat if isinstance(a, Counted)]
        if "shape" in node.meta:
            alike = getattr(node.target, "__name__", None) in FILLED
            return labels.made([*args, *kwargs.values()], alike)
        number = _number(node.meta["value"], [of for n in numbers for of in n.of])
        for n in number if isinstance(number, tuple) else [number]:
            if isinstance(n, Counted):
                n.computed = True
        return number
    if node.target is getattr and "shape" in node.meta:
        return getattr(x, args[1])
    if isinstance(x, Tensor) and (node.target is getattr or node.target in QUESTIONS):
        return _answer(x, args, kwargs, node)
    rule = function_rule(node)
    out = NotImplemented
    if rule is not None and not any(isinstance(a, PinnedParts) for a in flat):
        try:
            inspect.signature(rule).bind(labels, *args, **kwargs)
        except TypeError:
            pass
        else:
            out = rule(labels, *args, **kwargs)
    if out is NotImplemented:
        name = getattr(node.target, "__name__", node.target)
        return _no_rule(labels, flat, f"{name} at {node.name!r}")
    return out


def _counted_behind(node: fx.Node, at: dict[fx.Node, Any]) -> list[Counted]:
    """Return the numbers of channels that a number, or an answer, comes of."""
    found, todo, seen = [], [node], set()
    while todo:
        seen.add(of := todo.pop())
        value = at.get(of)  # not of what a product multiplies by
        values = value if isinstance(value, tuple | list) else [value]
        numbers = [v for v in values if isinstance(v, Counted)]
        found += numbers
        # a size that is taken from several comes of none of the others
        if not numbers and of.target is not operator.getitem:
            todo += [n for n in of.all_input_nodes if n not in seen]
    return found


QUESTIONS = ("size", "numel", "dim", "ndimension", "is_floating_point", "get_device")


def _is_question(node: fx.Node) -> bool:
    """Tell whether a node asks for something other than numbers of a tensor."""
    asks = node.target is getattr or node.target in QUESTIONS
    return asks and "value" in node.meta


def _answer(x: Tensor, args: Any, kwargs: Any, node: fx.Node) -> Any:
    """Return a size, a type or a device, and mark what comes of how many there are."""
    value = node.meta["value"]
    along = [[(x, d)] if varies(x, d) else [] for d in range(x.ndim)]
    if isinstance(value, torch.Size):
        return tuple(_number(n, of) for n, of in zip(value, along, strict=True))
    if node.target == "size":
        return _number(value, along[args[1] if len(args) > 1 else kwargs["dim"]])
    if node.target == "numel":
        return _number(value, [of for ofs in along for of in ofs])
    return value


def _number(value: Any, of: list[tuple[Tensor, int]]) -> Any:
    """Mark a number, or several, if it comes of how many channels there are."""
    if not of or isinstance(value, bool | Counted):
        return value
    if isinstance(value, tuple):
        return tuple(_number(v, of) for v in value)
    kinds = {int: CountedInt, float: CountedFloat}
    if type(value) not in kinds:
        return value
    number = kinds[type(value)](value)
    number.of = of
    return number


def _no_rule(labels: Labels, given: Any, what: str) -> PinnedParts:
    why = f"there is no rule for {what}"
    labels.pin(given, why)
    label = labels.fresh(1)
    labels.pin(label, why)
    return PinnedParts(label)


def _met(node: fx.Node, at: dict[fx.Node, Any]) -> list[Tensor]:
    """Return labels of what a tensor meets elementwise."""
    users = [u for u in node.users if function_rule(u) is together]
    found = [at.get(n) for user in users for n in user.all_input_nodes]
    return [x for x in found if isinstance(x, Tensor)]


def _attribute(
    module: nn.Module, node: fx.Node, labels: Labels, at: dict[fx.Node, Any]
) -> Tensor:
    """Label a tensor that the code uses by itself."""
    name = str(node.target)
    if all(_is_question(user) for user in node.users):
        return labels.pinned(f"{name!r} is asked for its size or type")
    held = get_tensor(module, name)
    long = [d for d, n in enumerate(held.shape) if n > 1]
    if not long:
        return torch.full(held.shape, CONSTANT)
    if not labels.has(name):
        return labels.pinned("the code makes a tensor of their size")
    if len(long) > 1:  # at many positions: of channels where what it meets is
        long = [
            d
            for d in long
            for x in _met(node, at)
            if x.ndim >= held.ndim - d and all_differ(x, d - held.ndim)
        ]
    if len(set(long)) != 1:
        why = f"{name!r} is used by itself"
        for d in range(held.ndim):
            whole = labels.fresh(held.shape[d])
            labels.pin(whole, why)
            labels.carry(name, d, whole)
        return labels.pinned(why)
    v = labels.fresh(held.shape[long[0]])
    if isinstance(held, nn.Parameter):
        v = labels.produce(name, long[0], v)
    else:
        labels.carry(name, long[0], v)
    return labels.spread(v, long[0])
