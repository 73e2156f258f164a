"""Rules of products of two tensors that both depend on the rows, as in attention.

`functions.py` says what a rule is given, and returns. A product is written as in
`torch.einsum`: each dimension of each tensor has a letter, and letters that the output
lacks are summed over.
"""

from string import ascii_lowercase, ascii_uppercase
from typing import Any

import torch
from torch import Tensor

from ..counted import Counted
from ..labels import CONSTANT
from .context import RuleContext
from .elementwise import elementwise

Term = tuple[Tensor, str]  # labels, and a letter for each dimension


def contract(context: RuleContext, terms: list[Term], kept: str) -> Tensor:
    """Return labels of a sum of products, whose dimensions are the letters `kept`.

    Channels along a letter that is summed over may go from all terms, as zeros add
    nothing. Those along a letter that is kept are channels of the output.
    """
    out = torch.full(context.shape, CONSTANT)
    n_heads = torch.Size(context.shape[1:-2]).numel()
    left: dict[str, Tensor] = {}
    for letter in dict.fromkeys("".join(letters for _, letters in terms)):
        along = channels_along(context, terms, letter)
        if along is not None and letter not in kept:
            context.labels.summed.append(along)
            if n_heads > 1:
                context.tie(along[1:], along[:1])  # a head goes whole
        if along is not None and letter in kept:
            left[letter] = along
    if left:  # one label is of one channel: those along one dimension stay labels
        choices = sorted(
            left, key=lambda c: (len(left[c]), kept.index(c)), reverse=True
        )
        letter = choices[0]
        if len(choices) > 1:
            letter = context.labels.choose(context.owner, context.node, choices)
            context.labels.splits[context.node].x = left[letter]
        for other in choices:
            if other != letter:
                why = f"all of them meet others at {context.node!r}"
                context.pin(left[other], why)
        out = context.spread(left[letter], kept.index(letter))
    whole = [x for x, _ in terms if x.numel() and _is_one_channel(x)]
    if (out == CONSTANT).all() and whole:  # as many as they are, they stay so
        return whole[0].flatten()[0].expand(context.shape)
    return out


def _is_one_channel(x: Tensor) -> bool:
    return bool((x == x.flatten()[0]).all()) and int(x.flatten()[0]) != CONSTANT


def channels_along(
    context: RuleContext, terms: list[Term], letter: str
) -> Tensor | None:
    """Return the channels along a letter, the same in all terms; None if none differ.

    A dimension of size 1 is repeated, and has none.
    """
    found = [
        (x, letters.index(letter))
        for x, letters in terms
        if letter in letters and x.shape[letters.index(letter)] > 1
    ]
    differ = [(x, dim) for x, dim in found if context.labels.vary(x, dim)]
    if not differ:
        return None
    first, *others = (context.channels(x, dim) for x, dim in differ)
    whole = [first, *others]
    if any((x == CONSTANT).any() for x in [*whole, *(x for x, _ in found)]):
        context.pin(
            whole, f"their number is written in what {context.node!r} multiplies"
        )
    elif len(differ) < len(found):
        context.pin(whole, f"they meet others that stay at {context.node!r}")
    for other in others:
        context.tie(first, other)
    return torch.where(first == CONSTANT, others[0], first) if others else first


def matmul(context: RuleContext, a: Tensor, b: Any = None, **kwargs) -> Any:
    """Multiply matrices, of which there may be many."""
    b = kwargs.get("other", kwargs.get("mat2", b))
    if not isinstance(b, Tensor) or min(a.ndim, b.ndim) < 2:
        return NotImplemented
    many = ascii_uppercase[: len(context.shape) - 2]
    terms = [
        (a, many[len(many) - a.ndim + 2 :] + "nk"),
        (b, many[len(many) - b.ndim + 2 :] + "km"),
    ]
    return contract(context, terms, many + "nm")


def baddbmm(
    context: RuleContext, added: Tensor, a: Tensor, b: Tensor, *, beta=1, alpha=1
) -> Any:
    """Multiply matrices, and add others to the product."""
    out = matmul(context, a, b)
    if out is NotImplemented or not isinstance(added, Tensor):
        return NotImplemented
    summands = [out] if beta == 0 else [out, added]  # torch does not look at it then
    return elementwise(context, *summands, beta, alpha)


def einsum(context: RuleContext, equation: str, *operands) -> Any:
    """Follow the letters of an equation."""
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    if not all(isinstance(x, Tensor) for x in operands):
        return NotImplemented
    read = letters_of(equation, [x.ndim for x in operands])
    if read is None:
        return NotImplemented
    letters, kept = read
    return contract(context, list(zip(operands, letters, strict=True)), kept)


def letters_of(equation: Any, n_dims: list[int]) -> tuple[list[str], str] | None:
    """Return the letters of each tensor of an equation, and those that are kept.

    Dots stand for dimensions that get letters here. None where a tensor is given a
    letter twice, or the equation is none of letters.
    """
    if not isinstance(equation, str):
        return None
    left, arrow, kept = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    n_more = [n - len(part) + 3 for n, part in zip(n_dims, parts, strict=False)]
    free = "".join(c for c in ascii_uppercase if c not in equation)
    more = free[
        : max([n for n, p in zip(n_more, parts, strict=False) if "." in p], default=0)
    ]
    letters = [
        part.replace("...", more[len(more) - n :])
        for part, n in zip(parts, n_more, strict=False)
    ]
    if not arrow:
        all_letters = "".join(letters)
        once = [c for c in sorted(set(all_letters)) if all_letters.count(c) == 1]
        kept = "".join([*more, *(c for c in once if c not in more)])
    kept = kept.replace("...", more)
    if any(len({*part}) != n for part, n in zip(letters, n_dims, strict=False)):
        return None
    return (letters, kept) if len(parts) == len(n_dims) else None


def letters_of_tensordot(dims: Any, n_a: int, n_b: int) -> tuple[list[str], str]:
    """Return the letters of two tensors, of which some dimensions are summed over."""
    a, b = list(ascii_uppercase[:n_a]), list(ascii_lowercase[:n_b])
    if isinstance(dims, int):
        dims = range(n_a - dims, n_a), range(dims)
    for i, j in zip(*dims, strict=True):
        b[j] = a[i]
    kept = [letter for letter in (*a, *b) if (letter in a) != (letter in b)]
    return ["".join(a), "".join(b)], "".join(kept)


def attend(
    context: RuleContext,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: Any = 0.0,
    is_causal: Any = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    """Attend: what is summed over in queries and keys is one, as their number counts.

    torch divides by the root of their number, unless a scale is given. Several heads of
    queries may ask one of keys and values.
    """
    if min(query.ndim, key.ndim, value.ndim) < 3:
        return NotImplemented
    if enable_gqa:
        each = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(each, -3) for x in (key, value))
    if isinstance(scale, Counted):
        context.pin(scale, f"their number is part of what {context.node!r} computes")
    many = ascii_uppercase[: len(context.shape) - 2]
    if scale is None and context.labels.vary(query, -1):
        width = context.channels(query, -1)
        context.tie(width[1:], width[:1])
    terms = [(query, many + "ne"), (key, many + "me"), (value, many + "mf")]
    if isinstance(attn_mask, Tensor):
        letters = (many + "nm")[-attn_mask.ndim :]
        terms.append((attn_mask, letters))
    return contract(context, terms, many + "nf")


PRODUCTS = (matmul, baddbmm, einsum, attend)
