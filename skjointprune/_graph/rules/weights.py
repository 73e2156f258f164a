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
from typing import Any

from torch import Tensor, fx

from ..labels import CONSTANT, varies
from .context import RuleContext
from .elementwise import NUMBER_BY_NUMBER
from .faces import MULTIPLY, Face, Weight
from .functions import FUNCTION_RULES, function_name
from .shapes import ask_size, keeps, reshape
from .weight_products import multiply_by_weights

VIEWS = ("flatten", "reshape", "view")


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
        return multiply_by_weights(context, name, args, kwargs)
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
    if rule not in NUMBER_BY_NUMBER:
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
