"""Rules of functions that take numbers by their positions: slices, lookups, items.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..counted import Counted, CountedInt
from ..held_numbers import HeldInt
from ..labels import CONSTANT, HeldBound
from .context import RuleContext, kept_whole


def take_by_position(function: Callable) -> Callable:
    """Make the rule of a function that takes numbers by positions along `dim`."""

    def rule(context: RuleContext, x: Tensor, dim: int = 0, *args, **kwargs) -> Any:
        if context.labels.vary(x, dim):
            context.pin(x, f"{context.node!r} takes them by their positions")
        return function(x, dim, *args, **kwargs)

    return rule


def index(context: RuleContext, x: Tensor, key: Any) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), None)
    if at is not None:
        taken = sum(k is not None for k in keys) - 1
        keys[at : at + 1] = [slice(None)] * (x.ndim - taken)
    if any(isinstance(k, Tensor) for k in keys):
        return _look_up(context, x, keys)
    dim = 0
    for k in keys:
        if k is None:
            continue
        takes_all = isinstance(k, slice) and _takes_all(k, x.shape[dim])
        if isinstance(k, slice):
            for n in (k.start, k.stop, k.step):
                if isinstance(n, Counted):
                    why = f"their number is a position at {context.node!r}"
                    context.labels.expect(n, x, why)
        if not takes_all and context.labels.vary(x, dim):
            why = f"{context.node!r} takes them by their positions"
            bound = _single_bound(k)
            held = bound if isinstance(bound, HeldInt) else None
            if _cuts_a_part_off(bound, x.shape[dim]):
                parts = x.split(int(bound), dim)
                for part in parts[1:]:
                    context.tie(part, parts[0])
            elif held is None:
                context.pin(_counted_off(x, dim, k), why)
            else:  # whether it can be renewed is known at the end
                context.labels.bounds.append(HeldBound(context.node, held, x, dim, why))
        dim += 1
    return x[key]


def _counted_off(x: Tensor, dim: int, part: Any) -> Tensor:
    """Return what must stay so that a slice takes the same: what its bound counts off.

    A bound counts from the beginning or, where it is negative, from the end. Between
    two bounds are gates as a rule, one by one, which are kept whole.
    """
    bounds: list[Any] = []
    if isinstance(part, slice) and part.step in (None, 1):
        bounds = [n for n in (part.start, part.stop) if n is not None]
    n = x.shape[dim]
    if len(bounds) != 1 or type(bounds[0]) is not int or abs(bounds[0]) > n:
        return x
    (bound,) = bounds
    return x.narrow(dim, 0, bound) if bound >= 0 else x.narrow(dim, n + bound, -bound)


def _single_bound(part: Any) -> Any:
    """Return where a slice ends that begins at 0, or begins that goes on to the end."""
    if not isinstance(part, slice) or part.step not in (None, 1):
        return None
    bounds = [n for n in (part.start, part.stop) if n not in (None, 0)]
    return bounds[0] if len(bounds) == 1 else None


def _cuts_a_part_off(bound: Any, n: int) -> bool:
    """Tell whether a bound is one of n divided by a number, as in `x[:, : n // 2]`."""
    return isinstance(bound, CountedInt) and int(bound) * (bound.by or 0) == n


def _look_up(context: RuleContext, x: Tensor, keys: list[Any]) -> Tensor:
    """Take numbers by their positions along one dimension: others may have channels."""
    why = f"{context.node!r} looks them up"
    context.pin(keys, why)
    dim, at = next((d, k) for d, k in enumerate(keys) if isinstance(k, Tensor))
    plain = all(k == slice(None) for d, k in enumerate(keys) if d != dim)
    shape = (*x.shape[:dim], *at.shape, *x.shape[dim + 1 :])
    if not plain or shape != context.shape or context.labels.vary(x, dim):
        context.pin(x, why)
        return kept_whole(context, why)
    one = x.select(dim, 0).reshape(*shape[:dim], *[1] * at.ndim, *x.shape[dim + 1 :])
    return one.expand(shape)


def gather(context: RuleContext, x: Tensor, dim: int, index: Tensor, **kwargs) -> Any:
    """Take numbers along a dimension without channels, by positions for each."""
    one = x.narrow(dim, 0, 1)
    sizes = [n for d, n in enumerate(index.shape) if d != dim % x.ndim]
    alike = sizes == [n for d, n in enumerate(x.shape) if d != dim % x.ndim]
    if not alike or context.labels.vary(x, dim) or context.labels.vary(index, dim):
        return NotImplemented
    context.tie(one.expand(index.shape), index)
    return one.expand(index.shape)


def _takes_all(part: slice, n: int) -> bool:
    """Tell whether a slice leaves nothing out of n numbers, or of fewer."""
    to_the_end = part.stop is None or (isinstance(part.stop, int) and part.stop >= n)
    return part.start in (None, 0) and part.step in (None, 1) and to_the_end


def assign(context: RuleContext, x: Tensor, key: Any, value: Any) -> None:
    """Tie what is assigned to parts of x with what was there."""
    part = index(context, x, key)
    if isinstance(value, Tensor):
        context.tie(part, value)
        if (part == CONSTANT).any():
            context.pin(
                value, f"{context.node!r} puts them among numbers of no channel"
            )
    else:
        context.pin(value, f"their number is part of what {context.node!r} computes")


def embedding(context: RuleContext, x: Any, weight: Tensor, *args, **kwargs) -> Any:
    context.pin(x, f"{context.node!r} looks them up")
    if context.labels.vary(weight, 0):
        return NotImplemented
    return context.spread(context.channels(weight, 1), -1)
