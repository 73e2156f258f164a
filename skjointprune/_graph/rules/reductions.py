"""Rules of functions that reduce dimensions, order what is along one, or couple it.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..labels import CONSTANT, varies
from .context import RuleContext, count_in_mean
from .elementwise import elementwise


def tie_along(context: RuleContext, x: Tensor, dims: Iterable[int]) -> Tensor:
    """Tie labels along dimensions; return one label along each of these."""
    for d in dims:
        first = x.narrow(d, 0, 1)
        if varies(x, d):
            context.tie(x, first)
        x = first
    return x


def dims_of(x: Tensor, dim: Any) -> tuple[int, ...]:
    """Return the dimensions that a function is told: all where it is told none."""
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    return tuple(d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim))


def reduce(
    context: RuleContext, x: Tensor, dim=None, *args, axis=None, **kwargs
) -> Tensor:
    dims = dims_of(x, axis if dim is None else dim)
    x = tie_along(context, x, dims)
    return x if x.ndim == len(context.shape) else x.squeeze(dims)


def add_up(
    context: RuleContext, x: Tensor, dim=None, *args, axis=None, **kwargs
) -> Tensor:
    """Let channels go that are added up, as zeros add nothing.

    If they differ along one dimension alone. What comes of them is of no channel.
    """
    dim = axis if dim is None else dim
    along = [d for d in range(x.ndim) if context.labels.vary(x, d)]
    if dim is None or len(along) != 1 or along[0] not in dims_of(x, dim):
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
    for d in dims_of(x, dim):
        count_in_mean(context, x, d)
    return add_up(context, x, dim)


def norm(
    context: RuleContext, x: Tensor, p: Any = 2, dim=None, *args, **kwargs
) -> Tensor:
    """Let channels go from a norm, to which zeros add nothing."""
    p = kwargs.get("ord", p)
    grows = p is None or isinstance(p, str) or p > 0
    return (add_up if grows else reduce)(context, x, dim)


def cosine_similarity(
    context: RuleContext, x: Tensor, other: Tensor, dim: int = 1, *args, **kwargs
) -> Any:
    """Add up products and squares, to which zeros add nothing."""
    shape = tuple(torch.broadcast_shapes(x.shape, other.shape))
    product = elementwise(RuleContext(context.labels, context.node, shape), x, other)
    return product if product is NotImplemented else add_up(context, product, dim)


def spread_and_mean(
    context: RuleContext, x: Tensor, dim=None, correction=1, keepdim=False, **kwargs
) -> tuple[Tensor, Tensor]:
    dims = dims_of(x, dim)
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


def couple_along(
    context: RuleContext, x: Tensor, dim: int | None = None, *args, **kwargs
) -> Any:
    if dim is None or context.labels.vary(x, dim):
        context.pin(x, f"{context.node!r} couples them")
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
        dims = dims_of(x, dim)
        if any(context.labels.vary(x, d) for d in dims):
            return NotImplemented
        context.pin(n, f"their number is a size at {context.node!r}")
        for d in dims:
            x = x.narrow(d, 0, 1)
        return x.expand(context.shape)

    return rule
