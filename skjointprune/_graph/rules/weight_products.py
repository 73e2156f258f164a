"""Products of rows and weights: which faces meet channels of rows, and which make some.

`weights.py` says what faces are.
"""

from string import ascii_uppercase
from typing import Any

import torch
from torch import Tensor

from ..._layers.sizes import ARGUMENTS
from ..labels import CONSTANT
from .context import RuleContext, kept_whole
from .contractions import channels_along, letters_of, letters_of_tensordot
from .elementwise import elementwise
from .faces import Face, Weight

Term = tuple[Any, str]  # labels or a weight, and a letter for each dimension


def multiply_by_weights(context: RuleContext, name: str, args: Any, kwargs: Any) -> Any:
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
    if name == "tensordot":
        a, b, *dims = args
        dims = dims[0] if dims else kwargs.get("dims", 2)
        letters, kept = letters_of_tensordot(dims, _n_dims(a), _n_dims(b))
        return list(zip((a, b), letters, strict=True)), kept, None, -1
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
    met: list[Face | None] = []
    for letter in dict.fromkeys("".join(letters for _, letters in terms)):
        dims = [(w, ls.index(letter)) for w, ls in weights if letter in ls]
        places = _places(rows, letter)
        along = _channels_of_rows(context, rows, letter)
        if along is not None:
            met += [_meet(context, w, dim, along, places[0]) for w, dim in dims]
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
    if made and (out == CONSTANT).all():
        choices = sorted(made, key=kept.index, reverse=True)
        letter = context.labels.choose(context.owner, context.node, choices)
        met += [face for _, face, _ in made[letter]]
        new, *others = (_bind(context, w, face, dim) for w, face, dim in made[letter])
        for other in others:
            context.tie(new, other)
        context.labels.splits[context.node].x = new
        out = context.spread(new, kept.index(letter))
    for face in (face for w, _ in weights for face in w.faces):
        if not any(face is other for other in met):
            context.pin(face.labels, f"{context.node!r} uses them by their number")
    return kept_whole(context, WHOLE) if (out == CONSTANT).all() else out


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
        context.pin(along, f"they meet others that stay at {context.node!r}")
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
) -> Face | None:
    """Let channels of rows meet that face of a weight which differs as they do.

    Returns the face, None if there is none: then they are kept whole.
    """
    for face in weight.along(dim):
        labels = context.channels(face.labels, dim)
        if _differ_alike(context.labels.roots(along), context.labels.roots(labels)):
            context.tie(_bind(context, weight, face, dim), along)
            for name, d, slots in face.of:
                if context.labels.is_parameter(name):
                    context.labels.bind(name, d, "read", slots, of)
            return face
    context.pin(along, f"{context.node!r} multiplies them by a weight as a whole")
    return None


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
