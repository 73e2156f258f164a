"""Weights that the code computes of parameters, or that have many dimensions.

`torch.einsum("bi,eij->bej", x, W)` and `F.linear(x, self.weight.tanh())` multiply by
such. A number of a weight belongs to a channel along each dimension, so there are
labels for each of them: its faces. Functions of parameters alone have the rules of all
functions, applied to one face at a time. Where rows are multiplied, channels of rows
meet a face, and another face makes the channels of the output.

Columns that read a channel go as zeros with it. So the rest of the weight is the same,
whatever is computed of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..labels import CONSTANT, varies
from ..tensors import QUESTIONS, get_tensor
from .arithmetic import elementwise
from .context import RuleContext, kept_whole
from .contractions import channels_along, letters_of
from .functions import FUNCTION_RULES, function_name
from .registry import registered_rule
from .shapes import ask_size, keeps, reshape

VIEWS = ("flatten", "reshape", "view")
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
MULTIPLY = ("addmm", "bmm", "einsum", "linear", "matmul", "mm", *CONVOLUTIONS)


@dataclass
class Face:
    """Labels of a weight along one dimension of a parameter, in the weight's shape.

    `of` are the parameters, their dimensions, and the labels of the slots there.
    """

    labels: Tensor
    of: list[tuple[str, int, Tensor]]


@dataclass
class Weight:
    """The faces of a tensor that is computed of parameters and buffers alone."""

    faces: list[Face]
    parameters: set[str]
    computed: bool = False

    def keep_whole(self, context: RuleContext, why: str) -> None:
        """Keep the parameters whole, and say so."""
        for name in self.parameters:
            if context.labels.is_parameter(name):
                context.labels.without_rule.setdefault(name, why)
        for face in self.faces:
            context.pin(face.labels, why)

    def along(self, dim: int) -> list[Face]:
        """Return the faces whose labels differ along a dimension."""
        return [face for face in self.faces if varies(face.labels, dim)]


def weight_of(module: nn.Module, name: str, context: RuleContext) -> Weight:
    """Return the labels of a parameter, new ones along each of its dimensions."""
    shape = tuple(get_tensor(module, name).shape)
    faces = []
    for dim, n in enumerate(shape):
        view = [1] * len(shape)
        view[dim] = n
        if n > 1:
            slots = context.labels.fresh(n)
            faces.append(Face(slots.view(view).expand(shape), [(name, dim, slots)]))
    return Weight(faces, {name})


def leads_to_products(node: fx.Node) -> bool:
    """Tell whether rows are multiplied by a tensor, or by what is computed of it.

    And whether nothing else is done with it.
    """
    if any(registered_rule(user) for user in node.users):
        return False
    return any(not _asks(user) for user in node.users) and all(
        _asks(user)
        or (
            leads_to_products(user)
            if _is_of_parameters(user)
            else _multiplies_by(user, node)
        )
        for user in node.users
    )


def _multiplies_by(user: fx.Node, node: fx.Node) -> bool:
    """Tell whether a function multiplies by a tensor, which is not its bias."""
    name = function_name(user)
    biases = [user.kwargs.get("bias"), *user.args[2:3]]
    if name == "addmm":
        biases = [*user.args[:1]]
    elif name not in ("linear", *CONVOLUTIONS):
        biases = []
    return name in MULTIPLY and node not in biases


def _asks(node: fx.Node) -> bool:
    return "value" in node.meta and (node.target is getattr or node.target in QUESTIONS)


def _is_of_parameters(node: fx.Node) -> bool:
    """Tell whether a tensor is computed of parameters, buffers and sizes alone."""
    if node.op in ("placeholder", "call_module", "output"):
        return False
    if node.op == "get_attr" or "value" in node.meta:
        return True
    return all(_is_of_parameters(n) for n in node.all_input_nodes)


def call_with_weights(
    context: RuleContext, node: fx.Node, args: Any, kwargs: dict[str, Any]
) -> Any:
    """Return labels of what a function makes of weights; NotImplemented without a rule.

    Of weights alone it makes a weight.
    """
    name = (function_name(node) or "").removesuffix("_")
    flat: list[Any] = []
    fx.node.map_aggregate((args, kwargs), flat.append)
    weights = [a for a in flat if isinstance(a, Weight)]
    others = [a for a in flat if isinstance(a, Tensor) and not (a == CONSTANT).all()]
    if others and name not in MULTIPLY:
        return NotImplemented
    if others:
        return _multiply(context, name, args, kwargs)
    rule = FUNCTION_RULES.get(name)
    parameters = {p for w in weights for p in w.parameters}
    if rule is None or name in MULTIPLY:
        return NotImplemented
    if len(weights) == 1 and name in VIEWS:
        faces = _view(context, weights[0])
        return Weight(faces, parameters, weights[0].computed)
    if len(weights) == 1:
        parts = _of_each_face(context, rule, weights[0], args, kwargs)
        if parts is None:
            return NotImplemented
        made = [Weight(faces, parameters, computed=True) for faces in parts]
        return made[0] if "shape" in node.meta else made
    if rule is not elementwise:
        return NotImplemented
    return Weight(_merged(context, weights), parameters, computed=True)


def _of_each_face(
    context: RuleContext, rule: Callable, weight: Weight, args: Any, kwargs: Any
) -> list[list[Face]] | None:
    """Return the faces of what a function makes, one tensor or several."""
    parts: list[list[Face]] = []
    for face in weight.faces:
        out = rule(context, *_with(face, args), **_with(face, kwargs))
        tensors = [out] if isinstance(out, Tensor) else out
        if not isinstance(tensors, list | tuple):
            return None
        parts = parts or [[] for _ in tensors]
        for part, labels in zip(parts, tensors, strict=True):
            part.append(Face(labels, face.of))
    return parts


def _with(face: Face, given: Any) -> Any:
    """Return arguments with the labels of a face in place of the weight."""
    return fx.node.map_aggregate(
        given, lambda a: face.labels if isinstance(a, Weight) else a
    )


def _view(context: RuleContext, weight: Weight) -> list[Face]:
    faces = [Face(reshape(context, face.labels), face.of) for face in weight.faces]
    sizes = () if context.asked is None else context.asked.sizes
    for dim, n in enumerate(sizes):
        along = [face for face in faces if varies(face.labels, dim)]
        x, out = weight.faces[0].labels, (along or faces)[0].labels
        ask_size(context, dim, n, out, dim, keeps(x, out, dim))
    return faces


def _merged(context: RuleContext, weights: list[Weight]) -> list[Face]:
    """Tie faces of several weights that differ along the same dimensions."""
    found: dict[tuple[bool, ...], Face] = {}
    for weight in weights:
        for face in weight.faces:
            labels = face.labels.expand(context.shape)
            along = tuple(varies(labels, d) for d in range(labels.ndim))
            if along in found:
                context.tie(found[along].labels, labels)
                of = found[along].of
                found[along] = Face(found[along].labels, [*of, *face.of])
            elif any(along):
                found[along] = Face(labels, face.of)
    return [*found.values()]


Term = tuple[Any, str]  # labels or a weight, and a letter for each dimension


def _multiply(context: RuleContext, name: str, args: Any, kwargs: Any) -> Any:
    """Return labels of rows that are multiplied by weights."""
    read = _read_product(name, args, kwargs, len(context.shape))
    if read is None:
        return NotImplemented
    terms, kept, bias, dim = read
    if isinstance(bias, Weight):
        return NotImplemented
    out = contract_weights(context, terms, kept)
    if isinstance(bias, Tensor):
        view = [1] * len(context.shape)
        view[dim] = len(bias)
        out = elementwise(context, out, bias.view(view))
    return out


def _read_product(
    name: str, args: Any, kwargs: Any, n_dims: int
) -> tuple[list[Term], str, Any, int] | None:
    """Return what a function multiplies, the letters that are kept, and the bias.

    The bias is along a dimension of the output, which comes last.
    """
    bias, dim = None, -1
    if name == "einsum" and not kwargs:
        equation, *operands = args
        if len(operands) == 1 and isinstance(operands[0], tuple | list):
            operands = list(operands[0])
        read = letters_of(equation, [_n_dims(x) for x in operands])
        if read is None:
            return None
        letters, kept = read
        return list(zip(operands, letters, strict=True)), kept, None, -1
    if name in ("bmm", "matmul", "mm", "addmm") and not kwargs:
        *more, a, b = args
        bias = more[0] if more else None
        if min(_n_dims(a), _n_dims(b)) < 2:
            return None
        many = ascii_uppercase[: n_dims - 2]
        terms = [
            (a, many[len(many) - _n_dims(a) + 2 :] + "nk"),
            (b, many[len(many) - _n_dims(b) + 2 :] + "km"),
        ]
        return terms, many + "nm", bias, dim
    given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
    if not {"input", "weight"} <= given.keys() or given.get("groups", 1) != 1:
        return None
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    if name == "linear":
        many = ascii_uppercase[: n_dims - 1]
        return [(x, many + "i"), (weight, "oi")], many + "o", bias, dim
    maps = n_dims - 2
    terms = [(x, "ni" + "ABC"[:maps]), (weight, "oi" + "abc"[:maps])]
    return terms, "no" + "XYZ"[:maps], bias, 1


def _n_dims(x: Any) -> int:
    """Return how many dimensions labels or a weight have."""
    return x.ndim if isinstance(x, Tensor) else x.faces[0].labels.ndim


def contract_weights(context: RuleContext, terms: list[Term], kept: str) -> Tensor:
    """Return labels of a sum of products of rows and weights.

    Channels of rows along a letter meet the face of a weight that differs as they do.
    Where no channels of rows are left in the output, a letter that weights alone have
    makes new ones: the last, unless nothing can go by that.
    """
    rows = [(x, letters) for x, letters in terms if isinstance(x, Tensor)]
    weights = [(w, letters) for w, letters in terms if isinstance(w, Weight)]
    out = torch.full(context.shape, CONSTANT)
    made: dict[str, list[tuple[Weight, Face, int]]] = {}
    for letter in dict.fromkeys("".join(letters for _, letters in terms)):
        dims = [(w, ls.index(letter)) for w, ls in weights if letter in ls]
        places = _places(rows, letter)
        along = _channels_of_rows(context, rows, letter)
        if along is not None:
            for w, dim in dims:
                _meet(context, w, dim, along, places[0])
            if letter in kept:
                spread = context.spread(along, kept.index(letter))
                context.tie(out, spread)
                out = torch.where(out == CONSTANT, spread, out)
            elif not dims:
                context.labels.summed.append(along)
        elif letter in kept and not places:
            faces = [(w, face, dim) for w, dim in dims for face in w.along(dim)]
            if len(faces) == len(dims) and _have_parameters(context, faces):
                made[letter] = faces
    if (out != CONSTANT).any() or not made:
        return out if (out != CONSTANT).any() else kept_whole(context, WHOLE)
    choices = sorted(made, key=kept.index, reverse=True)
    letter = context.labels.choose(context.owner, context.node, choices)
    new, *others = (_bind(context, w, face, dim) for w, face, dim in made[letter])
    for other in others:
        context.tie(new, other)
    context.labels.splits[context.node].x = new
    return context.spread(new, kept.index(letter))


WHOLE = "no dimension of a weight makes channels of its own"


def _places(rows: list[Term], letter: str) -> list[int]:
    """Return the dimensions of rows, from the end, that a letter stands for."""
    at = [(x, letters.find(letter)) for x, letters in rows]
    return [dim - x.ndim for x, dim in at if dim >= 0 and x.shape[dim] > 1]


def _channels_of_rows(
    context: RuleContext, rows: list[Term], letter: str
) -> Tensor | None:
    """Return the channels of rows along a letter, None if none differ.

    They stay where other rows have as many numbers there, which stay.
    """
    differ = [
        (x, letters)
        for x, letters in rows
        if letter in letters and context.labels.vary(x, letters.index(letter))
    ]
    along = channels_along(context, differ, letter)
    if along is not None and len(differ) < len(_places(rows, letter)):
        context.pin(along, f"others meet them at {context.node!r}, which do not go")
    return along


def _have_parameters(
    context: RuleContext, faces: list[tuple[Weight, Face, int]]
) -> bool:
    """Tell whether there are faces, and each is of a parameter."""
    return bool(faces) and all(
        any(context.labels.is_parameter(name) for name, *_ in face.of)
        for _, face, _ in faces
    )


def _meet(
    context: RuleContext,
    weight: Weight,
    dim: int,
    along: Tensor,
    of: int,
) -> None:
    """Let channels of rows meet that face of a weight which differs as they do."""
    for face in weight.along(dim):
        labels = context.channels(face.labels, dim)
        if _differ_alike(context.labels.roots(along), context.labels.roots(labels)):
            context.tie(_bind(context, weight, face, dim), along)
            for name, d, slots in face.of:
                if context.labels.is_parameter(name):
                    context.labels.bind(name, d, "read", slots, of)
            return
    context.pin(along, f"{context.node!r} multiplies them by a weight as a whole")


def _bind(context: RuleContext, weight: Weight, face: Face, dim: int) -> Tensor:
    """Say that slots of parameters go with the labels of a face; return these."""
    for name, d, slots in face.of:
        role = "produce" if context.labels.is_parameter(name) else "carry"
        context.labels.bind(name, d, role, slots)
        if weight.computed or role == "carry":
            context.labels.computed.add(name)
    return context.channels(face.labels, dim)


def _differ_alike(a: Tensor, b: Tensor) -> bool:
    """Tell whether two lists of labels are the same but for names."""
    pairs = len(torch.stack([a, b]).unique(dim=1).T)
    return pairs == len(a.unique()) == len(b.unique())
