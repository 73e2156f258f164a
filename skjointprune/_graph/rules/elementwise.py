"""Rules of functions that compute number by number.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..counted import Counted
from ..labels import CONSTANT, varies
from ..network import IN_GROUPS
from .context import RuleContext


def unchanged(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    return x


def elementwise(context: RuleContext, *args, **kwargs) -> Any:
    """Tie what is added, multiplied or compared number by number."""
    given = [*args, *kwargs.values()]
    parts = [a for a in given if isinstance(a, Tensor)]
    if parts[0].ndim > len(context.shape):
        return NotImplemented
    pin_what_meets_constants(context, parts)
    for_all = [part for part in parts if _is_for_all(context, part, parts)]
    context.pin(for_all, f"it is one for all at {context.node!r}")
    parts = [p for p in parts if not any(p is one for one in for_all)]
    out = parts[0].expand(context.shape)
    for part in parts[1:]:
        context.tie(out, part)
        if (out == CONSTANT).any():
            out = torch.where(out == CONSTANT, part, out)
    numbers = [a for a in given if isinstance(a, Counted)]
    context.pin(numbers, f"their number is part of what {context.node!r} computes")
    return out


def _is_for_all(context: RuleContext, one: Tensor, parts: list[Tensor]) -> bool:
    """Tell whether a tensor is of one channel, which meets all channels of another.

    As a gate of one unit does, (n, 1, height, width): there are as many whatever goes.
    """
    dims = [(p, -d) for p in parts if p is not one for d in range(1, 1 + p.ndim)]
    dims = [(p, d) for p, d in dims if p.shape[d] > 1]
    repeated = [one.ndim < -d or one.shape[d] == 1 for _, d in dims]
    if not any(repeated):
        return False
    met = [context.labels.vary(p, d) for p, d in dims]
    if not any(met) or len(context.labels.members(one)) != 1:
        return False
    return all(again for again, differ in zip(repeated, met, strict=True) if differ)


def multiply(context: RuleContext, *args, **kwargs) -> Any:
    """Tie what is multiplied number by number, or let a parameter spread the rest.

    Where each channel of a parameter is multiplied by all channels of the rest, as in
    `x[:, :, None] * self.weight`, only those of the parameter may go.
    """
    parts = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    made = [context.labels.is_produced(part) for part in parts]
    if len(parts) == 2 and sum(made) == 1:
        weight, rest = parts if made[0] else parts[::-1]
        along = [d - weight.ndim for d in range(weight.ndim) if varies(weight, d)]
        spreads = all(rest.ndim < -d or rest.shape[d] == 1 for d in along)
        several = any(varies(rest, d) for d in range(rest.ndim))
        if along and spreads and (several or context.labels.is_pinned(rest)):
            context.pin(rest, IN_GROUPS)
            return weight.expand(context.shape)
    chosen = _one_of_crossed(context, parts) if len(parts) == 2 else None
    if chosen is not None:
        return chosen.expand(context.shape)
    return elementwise(context, *args, **kwargs)


def _one_of_crossed(context: RuleContext, parts: Sequence[Tensor]) -> Tensor | None:
    """Return one of two factors where each channel meets all channels of the other.

    As units of experts, (n, units, experts), meet gates, (n, 1, experts). Where the
    other is repeated along a dimension, channels along it go, and those of the other
    are kept whole. None if they meet otherwise.
    """
    along = [
        {d - p.ndim for d in range(p.ndim) if context.labels.vary(p, d)} for p in parts
    ]
    crossed = all(along) and not along[0] & along[1]
    if not crossed or any((p == CONSTANT).any() for p in parts):
        return None
    pairs = [(parts[0], parts[1], along[0]), (parts[1], parts[0], along[1])]
    may_go = [
        (one, other)
        for one, other, dims in pairs
        if all(other.ndim < -d or other.shape[d] == 1 for d in dims)
    ]
    if not may_go:
        return None
    one, other = context.labels.choose(context.owner, context.node, may_go)
    context.labels.splits[context.node].x = one
    context.pin(other, f"each meets all channels of others at {context.node!r}")
    return one


NUMBER_BY_NUMBER = (elementwise, multiply)


def pin_what_meets_constants(
    context: RuleContext, parts: Sequence[Tensor], but: int | None = None
) -> None:
    """Keep channels whole that meet numbers of the code, one for each of them.

    In no other dimension than `but`, along which parts are joined.
    """
    for part in parts:
        if not part.numel() or not (part == CONSTANT).all():
            continue
        for other in parts:
            for d in range(1, 1 + min(part.ndim, other.ndim)):
                joined = but is not None and but % part.ndim == part.ndim - d
                if not joined and part.shape[-d] > 1 and context.labels.vary(other, -d):
                    why = f"{context.node!r} has a number for each, which does not go"
                    context.pin(other, why)


def glu(context: RuleContext, x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    context.tie(value, gate)
    return value
