"""Propagation of labels through a graph, by the rules of layers and functions."""

import inspect
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Number, Real
from typing import Any

import torch
from torch import Tensor, fx, nn

from .._layers.attention import MultiheadAttention
from .._layers.sizes import asked_sizes
from .attributes import label_attribute
from .counted import Counted, CountedFloat, CountedInt
from .decisions import settle_decisions
from .held_numbers import HeldInt
from .labels import CONSTANT, Labels, varies
from .refusals import naming_the_line
from .rules.context import PinnedParts, RuleContext, filled
from .rules.faces import Weight
from .rules.functions import FILLED, function_name
from .rules.products import Product, label_product, only_multiplies, product_at
from .rules.recurrent import uses_of
from .rules.registry import function_rule, layer_rule, registered_rule
from .rules.weights import call_with_weights
from .tensors import QUESTIONS


def propagate_labels(
    module: nn.Module, graph: fx.Graph, labels: Labels, shape: tuple[int, ...]
) -> tuple[Tensor, dict[str, int]]:
    """Send labels through the graph.

    Returns the labels of the inputs, and how often a row uses each weight.
    """
    at: dict[fx.Node, Any] = {}
    positions: dict[str, int] = {}
    labels.n_inputs = torch.Size(shape).numel()
    inputs = labels.fresh(labels.n_inputs).view(shape)
    rows, *_ = graph.find_nodes(op="placeholder")

    def count_uses(weight: str, times: int) -> None:
        weight = labels.canonical(weight)
        positions[weight] = positions.get(weight, 0) + times

    for node in graph.nodes:
        context = _context_at(node, labels)
        product = product_at(module, node)
        # labelled with its first user, when more is known
        if node.op == "get_attr" or only_multiplies(module, node):
            continue
        if node is rows:
            out: Any = inputs.expand(2, *shape)
        elif node.op == "placeholder":
            out = node.meta["value"]  # its default
        elif product is not None and _is_labelled(product, at):
            with naming_the_line(node.name, node.meta.get("line")):
                x, bias = at[product.given], product.added
                added = None if bias is None else _labels_of(module, bias, labels, at)
                out = label_product(product, module, x, added, context)
            count_uses(product.weight, out.numel() // 2 // out.shape[product.of])
        else:
            args, kwargs = _given(module, node, labels, at)
            if node.op == "output":
                labels.set_outputs(args[0])
                break
            if node.op == "call_module":
                out = _call_layer(module, node, args, kwargs, context)
                for weight, times in _uses(module, node).items():
                    count_uses(weight, times)
            else:
                out = _call(node, args, dict(kwargs), context)
        if isinstance(out, PinnedParts) and "shape" in node.meta:
            out = out.label[0].expand(context.shape)
        _check_labels(node, out, context.shape)
        at[node] = out
    settle_decisions(graph, labels, at)
    return inputs, positions


def _is_labelled(product: Product, at: dict[fx.Node, Any]) -> bool:
    """Tell whether labels are known of all that is not a parameter."""
    bias = product.added
    known = bias is None or bias.op == "get_attr" or isinstance(at[bias], Tensor)
    return known and isinstance(at[product.given], Tensor)


def _context_at(node: fx.Node, labels: Labels) -> RuleContext:
    owners = node.meta.get("nn_module_stack") or {"": ("", None)}
    owner, _ = list(owners.values())[-1]
    return RuleContext(labels, node.name, node.meta.get("shape", ()), owner)


def _check_labels(node: fx.Node, out: Any, shape: tuple[int, ...]) -> None:
    """Refuse what a rule returns if it is not one label for each number."""
    if isinstance(out, Tensor):
        if tuple(out.shape) == shape:
            return
        returned = f"labels of shape {tuple(out.shape)}"
    elif isinstance(out, Weight):
        return
    elif "shape" in node.meta and node.op != "placeholder":
        returned = type(out).__name__
    else:
        return
    raise ValueError(
        f"The rule for {_name_of(node)} returned {returned} for an output of shape "
        f"{shape}. Let it return one label for each number of the output."
    )


def _name_of(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _given(
    module: nn.Module, node: fx.Node, labels: Labels, at: dict[fx.Node, Any]
) -> tuple[Any, Any]:
    """Return the arguments of a node, with labels for tensors.

    Tensors of the module are labelled where they are met first.
    """
    given = (node.args, node.kwargs)
    return fx.node.map_arg(given, lambda n: _labels_of(module, n, labels, at))


def _labels_of(
    module: nn.Module, node: fx.Node, labels: Labels, at: dict[fx.Node, Any]
) -> Any:
    """Return the labels of a node, new ones of a tensor of the module."""
    if node.op == "get_attr" and node not in at:
        at[node] = label_attribute(module, node, _context_at(node, labels), at)
    return at[node]


def _uses(module: nn.Module, node: fx.Node) -> dict[str, int]:
    """Return how often a layer uses each of its weights for one row."""
    layer = module.get_submodule(str(node.target))
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        given = node.all_input_nodes[0].meta.get("shape", ())
        return uses_of(layer, str(node.target), given)
    weight = getattr(layer, "weight", None)
    if isinstance(layer, nn.Embedding) or not isinstance(weight, Tensor):
        return {}
    spread_out = getattr(layer, "transposed", False)
    shape = (node.all_input_nodes[0] if spread_out else node).meta.get("shape", ())
    if weight.ndim < 2 or len(shape) < 2:
        return {}
    channels = shape[-1 if isinstance(layer, nn.Linear) else 1]
    times = torch.Size(shape).numel() // 2 // channels
    own = layer.named_parameters(str(node.target), recurse=False)
    return {name: times for name, p in own if p.ndim > 1}


def _call_layer(
    module: nn.Module, node: fx.Node, args: Any, kwargs: Any, context: RuleContext
) -> Any:
    """Apply the rule of a layer."""
    name = str(node.target)
    layer = module.get_submodule(name)
    if not args and len(kwargs) == 1:  # the input, by its name
        args, kwargs = tuple(kwargs.values()), {}
    while args and args[-1] is None:  # an option that is left out
        args = args[:-1]
    if isinstance(layer, nn.LSTM | nn.LSTMCell) and len(args) == 2:
        x, state = args  # of two parts
        args = (x, *state) if isinstance(state, tuple) else args
    if isinstance(layer, MultiheadAttention):
        kwargs = _without_masks(kwargs, context)
    plain = all(isinstance(a, Tensor) for a in args)
    plain &= not any(isinstance(a, Tensor | PinnedParts) for a in kwargs.values())
    hooked = layer._forward_pre_hooks or layer._forward_hooks  # may do anything
    rule = layer_rule(layer)
    if rule is not None and args and plain and not hooked:
        x = args[0] if len(args) == 1 else args
        with _blaming_the_rule_for(f"{type(layer).__name__} {name!r}"):
            out = rule(layer, name, x, context)
        if out is not NotImplemented:
            return out
    what = f"{type(layer).__name__} {name!r}" + " with hooks" * bool(hooked)
    if any(True for _ in layer.parameters()):
        context.labels.without_rule[name] = f"there is no rule for {what}"
    return _no_rule(context, [args, kwargs], what)


def _without_masks(kwargs: Any, context: RuleContext) -> Any:
    """Pin masks of attention that are for all heads; return what else is given."""
    masks = {
        name: given
        for name, given in kwargs.items()
        if name in ("attn_mask", "key_padding_mask")
        if isinstance(given, Tensor) and given.ndim < 3
    }
    context.pin(masks, f"they are a mask at {context.node!r}")
    return {name: given for name, given in kwargs.items() if name not in masks}


@contextmanager
def _blaming_the_rule_for(what: str) -> Iterator[None]:
    """Raise an error that names the layer or function whose rule fails."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"The rule for {what} raises {type(error).__name__}: {error}. Correct it "
            "(docs/add-a-layer.md says what a rule may do), or register one that "
            "returns NotImplemented."
        ) from error


def _call(
    node: fx.Node, args: Any, kwargs: dict[str, Any], context: RuleContext
) -> Any:
    """Apply the rule of a function or method, or compute where it is given numbers."""
    if not args and "input" in kwargs:
        args = (kwargs.pop("input"),)
    flat: list[Any] = []
    fx.node.map_aggregate((args, kwargs), flat.append)
    x: Any = args[0] if args else None
    what = f"{_name_of(node)} at {node.name!r}"
    if isinstance(x, PinnedParts) and node.target in (operator.getitem, getattr):
        return x
    if any(isinstance(a, Weight) for a in flat):
        return _call_with_weights(node, args, kwargs, flat, context)
    if node.target is operator.getitem and not isinstance(x, Tensor):
        return x[args[1]]
    if not any(isinstance(a, Tensor | PinnedParts) for a in flat):
        numbers = [a for a in flat if isinstance(a, Counted)]
        if "shape" in node.meta:
            alike = function_name(node) in FILLED
            return filled(context, [*args, *kwargs.values()], alike)
        held = [a for a in flat if isinstance(a, HeldInt)]
        if node.target is operator.mul and held and not numbers:
            return held[0].multiple(node.meta["value"])
        of = [of for n in numbers for of in n.of]
        if not isinstance(node.meta["value"], Number | tuple | list):
            context.pin(numbers, f"the code computes {what} of their number")
        return _number(node.meta["value"], of, True, _divided_by(node, args, flat))
    if node.target is getattr and "shape" in node.meta:
        return x if args[1] in ("real", "imag") else getattr(x, args[1])
    asks = node.target is getattr or node.target in QUESTIONS
    asks |= isinstance(node.meta.get("value"), str)  # of `x.type()`
    if isinstance(x, Tensor) and asks:
        return _answer(x, args, kwargs, node)
    out = NotImplemented
    if not any(isinstance(a, PinnedParts) for a in flat):
        registered = registered_rule(node)
        if registered is not None:
            with _blaming_the_rule_for(what):
                out = registered(context, *args, **kwargs)
        else:
            if not isinstance(node.target, torch._ops.OpOverload):
                context.asked = asked_sizes(function_name(node) or "", args, kwargs)
            with naming_the_line(what, node.meta.get("line")):
                out = _apply(function_rule(node), context, *args, **kwargs)
            made = "shape" in node.meta and _are_of_the_code(flat)
            if out is NotImplemented and made:
                return torch.full(context.shape, CONSTANT)
    return _no_rule(context, flat, what) if out is NotImplemented else out


def _are_of_the_code(given: list[Any]) -> bool:
    """Tell whether a function is given no channels, nor their number."""
    tensors = [a for a in given if isinstance(a, Tensor)]
    counts = any(isinstance(a, Counted) for a in given)
    return not counts and all((x == CONSTANT).all() for x in tensors)


def _call_with_weights(
    node: fx.Node, args: Any, kwargs: Any, flat: list[Any], context: RuleContext
) -> Any:
    """Apply the rule of a function that is given weights of labels."""
    x, what = args[0], f"{_name_of(node)} at {node.name!r}"
    if isinstance(x, Weight) and "value" in node.meta:  # a question
        along = [x.along(d)[:1] for d in range(x.faces[0].labels.ndim)]
        of = [[(face.labels, d) for face in faces] for d, faces in enumerate(along)]
        return _size_or_sizes(of, args, kwargs, node)
    out = NotImplemented
    if not any(isinstance(a, PinnedParts) for a in flat):
        if isinstance(x, Weight):
            some = (x.faces[0].labels, *args[1:])
            context.asked = asked_sizes(function_name(node) or "", some, kwargs)
        with naming_the_line(what, node.meta.get("line")):
            out = call_with_weights(context, node, args, kwargs)
    if out is not NotImplemented:
        return out
    for weight in flat:
        if isinstance(weight, Weight):
            weight.keep_whole(context, f"there is no rule for {what}")
    return _no_rule(context, [a for a in flat if not isinstance(a, Weight)], what)


def _apply(rule: Callable | None, *args: Any, **kwargs: Any) -> Any:
    """Apply a rule, if there is one and it takes the arguments of the call."""
    if rule is None:
        return NotImplemented
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError:
        return NotImplemented
    return rule(*args, **kwargs)


def _answer(x: Tensor, args: Any, kwargs: Any, node: fx.Node) -> Any:
    """Return a size, a type or a device; sizes are marked as numbers of channels."""
    along = [[(x, d)] if varies(x, d) else [] for d in range(x.ndim)]
    return _size_or_sizes(along, args, kwargs, node)


def _size_or_sizes(
    along: list[list[tuple[Tensor, int]]], args: Any, kwargs: Any, node: fx.Node
) -> Any:
    """Return what a node asks for, with what counts channels along each dimension."""
    value = node.meta["value"]
    if isinstance(value, torch.Size):
        return tuple(_number(n, of) for n, of in zip(value, along, strict=True))
    if node.target == "size":
        return _number(value, along[args[1] if len(args) > 1 else kwargs["dim"]])
    if node.target is len:
        return _number(value, along[0])
    if node.target == "numel":
        return _number(value, [of for ofs in along for of in ofs])
    return value


def _divided_by(node: fx.Node, args: Any, flat: list[Any]) -> int | None:
    """Return the number by which a size was divided, if only that was done."""
    numbers = [a for a in flat if isinstance(a, Counted)]
    held = [a for a in flat if isinstance(a, HeldInt)]
    if node.target in (operator.floordiv, operator.truediv):
        size, by = args
        plain = isinstance(size, Counted) and not size.computed and len(size.of) == 1
        written = isinstance(by, int) and not isinstance(by, Counted)
        if plain and written:
            return by
    return numbers[0].by if len(numbers) == 1 and not held else None


def _number(
    value: Any,
    of: list[tuple[Tensor, int]],
    computed: bool = False,
    by: int | None = None,
) -> Any:
    """Mark a number, or each of several, as computed from numbers of channels."""
    if not of or isinstance(value, bool | Counted):
        return value
    if isinstance(value, tuple | list):
        return tuple(_number(v, of, computed, by) for v in value)
    number: CountedInt | CountedFloat
    if isinstance(value, Integral):  # of numpy, too
        number = CountedInt(value)
    elif isinstance(value, Real):
        number = CountedFloat(value)
    else:
        return value
    number.of, number.computed, number.by = of, computed, by
    return number


def _no_rule(context: RuleContext, given: Any, what: str) -> PinnedParts:
    why = f"there is no rule for {what}"
    context.pin(given, why)
    label = context.labels.fresh(1)
    context.pin(label, why)
    return PinnedParts(label)
