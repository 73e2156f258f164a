"""Rules of functions that compute: elementwise, over dimensions, within channels.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..counted import Counted
from ..labels import CONSTANT, varies
from ..network import IN_GROUPS
from .context import RuleContext, ask_size, count_in_mean


def within_channels(context: RuleContext, x: Tensor, *args, **kwargs) -> Any:
    """Return the labels of what is computed within each channel, over positions."""
    if x.ndim < 3 or context.shape[:2] != x.shape[:2]:
        return NotImplemented  # over the channels, or with indices
    return context.spread(context.channels(x))


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


def tie_along(context: RuleContext, x: Tensor, dims: Iterable[int]) -> Tensor:
    """Tie labels along dimensions; return one label along each of these."""
    for d in dims:
        first = x.narrow(d, 0, 1)
        if varies(x, d):
            context.tie(x, first)
        x = first
    return x


def _dims(x: Tensor, dim: Any) -> tuple[int, ...]:
    """Return the dimensions that a function is told: all where it is told none."""
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    return tuple(d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim))


def add_up(
    context: RuleContext, x: Tensor, dim=None, *args, axis=None, **kwargs
) -> Tensor:
    """Let channels go that are added up, as zeros add nothing.

    If they differ along one dimension alone. What comes of them is of no channel.
    """
    dim = axis if dim is None else dim
    along = [d for d in range(x.ndim) if context.labels.vary(x, d)]
    if dim is None or len(along) != 1 or along[0] not in _dims(x, dim):
        return reduce(context, x, dim)
    context.labels.summed.append(context.channels(x, along[0]))
    return torch.full(context.shape, CONSTANT)


def mean(
    context: RuleContext, x: Tensor, dim=None, *args, axis=None, **kwargs
) -> Tensor:
    """Let channels go from a mean that counts those that are gone, too."""
    dim = axis if dim is None else dim
    if dim is None or context.asked is None:
        return reduce(context, x, dim)
    for d in _dims(x, dim):
        count_in_mean(context, x, d)
    return add_up(context, x, dim)


def reduce(
    context: RuleContext, x: Tensor, dim=None, *args, axis=None, **kwargs
) -> Tensor:
    dims = _dims(x, axis if dim is None else dim)
    x = tie_along(context, x, dims)
    return x if x.ndim == len(context.shape) else x.squeeze(dims)


def norm(
    context: RuleContext, x: Tensor, p: Any = 2, dim=None, *args, **kwargs
) -> Tensor:
    """Let channels go from a norm, to which zeros add nothing."""
    p = kwargs.get("ord", p)
    grows = p is None or isinstance(p, str) or p > 0
    return (add_up if grows else reduce)(context, x, dim)


def spread_and_mean(
    context: RuleContext, x: Tensor, dim=None, correction=1, keepdim=False, **kwargs
) -> tuple[Tensor, Tensor]:
    dims = _dims(x, dim)
    x = tie_along(context, x, dims)
    x = x if keepdim else x.squeeze(dims)
    return x, x


class Extremes(NamedTuple):
    """Labels of what `torch.max` returns."""

    values: Tensor
    indices: Tensor


def extreme(context: RuleContext, x: Tensor, dim=None, keepdim: bool = False) -> Any:
    if isinstance(dim, Tensor):
        return elementwise(context, x, dim)
    return _extremes(reduce, context, x, dim, keepdim)


def amax(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    """Let channels go from a maximum, which zeros must leave alone: this is tried."""
    return add_up(context, x, *args, **kwargs)


def largest(context: RuleContext, x: Tensor, dim=None, keepdim: bool = False) -> Any:
    if isinstance(dim, Tensor):
        return elementwise(context, x, dim)
    return _extremes(amax, context, x, dim, keepdim)


def _extremes(rule: Callable, context: RuleContext, x: Tensor, dim, keepdim) -> Any:
    """Return labels of extremes, and of where they are, as another rule labels them."""
    if dim is None:
        return rule(context, x)
    shape = list(x.shape)
    shape[dim] = 1
    if not keepdim:
        del shape[dim]
    inner = RuleContext(context.labels, context.node, tuple(shape))
    x = rule(inner, x, dim)
    return Extremes(x, x)


def depthwise(
    context: RuleContext,
    x: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Any:
    """Convolve each channel by itself, where the code asks x how many there are.

    Blur pools do, with one kernel that is repeated.
    """
    if not isinstance(weight, Tensor) or not isinstance(groups, Counted):
        return NotImplemented
    if not groups == x.shape[1] == len(weight):
        return NotImplemented
    v = context.channels(x)
    why = f"their number is part of what {context.node!r} computes"
    context.labels.expect(groups, v, why)
    own = [weight.flatten(1)[:, 0], *([] if bias is None else [bias])]
    pin_what_meets_constants(context, [v, *own])
    for one in own:
        context.tie(v, one)
    return context.spread(v)


def ordered(context: RuleContext, x: Tensor, dim: int = -1, *args, **kwargs) -> Any:
    x = couple_along(context, x, dim)
    return Extremes(x, x)


def topk(
    context: RuleContext, x: Tensor, k: int, dim: int = -1, *args, **kwargs
) -> Any:
    context.pin(k, f"their number is part of what {context.node!r} computes")
    x = couple_along(context, x, dim).narrow(dim, 0, k)
    return Extremes(x, x)


def transform(over: Any) -> Callable:
    """Make the rule of a Fourier transform, over dimensions without channels."""

    def rule(context: RuleContext, x: Tensor, n=None, dim=over, *args, **kwargs) -> Any:
        dims = _dims(x, dim)
        if any(context.labels.vary(x, d) for d in dims):
            return NotImplemented
        context.pin(n, f"their number is a size at {context.node!r}")
        for d in dims:
            x = x.narrow(d, 0, 1)
        return x.expand(context.shape)

    return rule


def sampled(context: RuleContext, x: Tensor, grid: Tensor, *args, **kwargs) -> Any:
    """Sample each channel at the same places."""
    context.pin(grid, f"{context.node!r} reads them as places")
    return within_channels(context, x)


def cosine_similarity(
    context: RuleContext, x: Tensor, other: Tensor, dim: int = 1, *args, **kwargs
) -> Any:
    """Add up products and squares, to which zeros add nothing."""
    shape = tuple(torch.broadcast_shapes(x.shape, other.shape))
    product = elementwise(RuleContext(context.labels, context.node, shape), x, other)
    return product if product is NotImplemented else add_up(context, product, dim)


def normalize(
    context: RuleContext, x: Tensor, p: Any = 2.0, dim: int = 1, *args, **kwargs
) -> Tensor:
    """Let channels go that add to a norm, where they are zero."""
    if context.labels.vary(x, dim):
        context.labels.summed.append(torch.tensor(context.labels.members(x)))
    return x


def softmax(
    context: RuleContext, x: Tensor, dim: int | None = None, *args, **kwargs
) -> Tensor:
    """Let channels go that a softmax is over, as zeros that still count.

    If they differ along one dimension alone. What is not zero of them shows later.
    """
    along = [d for d in range(x.ndim) if context.labels.vary(x, d)]
    if dim is None or context.asked is None or along != [dim % x.ndim]:
        return couple_along(context, x, dim)
    count_in_mean(context, x, *along)
    context.labels.summed.append(context.channels(x, *along))
    return x


def couple_along(
    context: RuleContext, x: Tensor, dim: int | None = None, *args, **kwargs
) -> Any:
    if dim is None or context.labels.vary(x, dim):
        context.pin(x, f"{context.node!r} couples them")
    return x


def layer_norm(
    context: RuleContext, x: Tensor, normalized_shape: Sequence, *args, **kwargs
) -> Tensor:
    for n in normalized_shape:
        if isinstance(n, Counted):
            context.labels.expect(n, x, f"their number is a size at {context.node!r}")
    given = [own for own in (*args, *kwargs.values()) if isinstance(own, Tensor)]
    return _normalised(context, x, range(-len(normalized_shape), 0), given)


def _normalised(
    context: RuleContext, x: Tensor, dims: Iterable[int], given: list[Tensor]
) -> Tensor:
    """Let channels go that are normalised together, as zeros that still count.

    If they differ along one dimension alone. `given` are a scale and a shift.
    """
    along = [d for d in range(x.ndim) if context.labels.vary(x, d)]
    coupled = [d for d in along if d - x.ndim in dims]
    pin_what_meets_constants(context, [x, *given])
    for own in given:
        context.tie(x, own)
    if coupled and (len(along) > 1 or context.asked is None):
        context.pin([x, *given], f"{context.node!r} couples them")
    elif coupled:
        count_in_mean(context, x, *coupled)
        context.labels.summed.append(context.channels(x, *coupled))
    else:
        context.pin(given, f"{context.node!r} has a number for each of no channel")
    return x


def by_channel(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    """Tie each channel with its own numbers: scale, shift, statistics."""
    v = context.channels(x)
    for own in (*args, *kwargs.values()):
        if not isinstance(own, Tensor):
            continue
        pin_what_meets_constants(context, [v, own])
        context.tie(v, own)
        if (x == CONSTANT).any():  # of which there are always as many
            context.pin(own, f"{context.node!r} has a number for each of no channel")
    return x


def group_norm(
    context: RuleContext, x: Tensor, num_groups: Any, *args, **kwargs
) -> Any:
    """Let a group go whole: it is normalised by itself."""
    if num_groups == 1:
        one_each = [1] * (x.ndim - 2)
        given = [
            own.view(-1, *one_each)
            for own in (*args, *kwargs.values())
            if isinstance(own, Tensor)
        ]
        return _normalised(context, x, range(1 - x.ndim, 0), given)
    groups = context.channels(x).view(num_groups, -1)
    context.tie(groups[:, 1:], groups[:, :1])
    ask_size(context, 0, num_groups, groups, 0)
    return by_channel(context, x, *args, **kwargs)


def embedding(context: RuleContext, x: Any, weight: Tensor, *args, **kwargs) -> Any:
    context.pin(x, f"{context.node!r} looks them up")
    if context.labels.vary(weight, 0):
        return NotImplemented
    return context.spread(context.channels(weight, 1), -1)


def glu(context: RuleContext, x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    context.tie(value, gate)
    return value
