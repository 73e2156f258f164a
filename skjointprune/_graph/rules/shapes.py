"""Rules of functions that change shapes: they move, cut or join tensors.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..labels import CONSTANT, Counted, varies
from .arithmetic import tie_along, within_channels
from .context import RuleContext, filled, kept_whole


def _fixed_sizes(context: RuleContext, x: Tensor, sizes: Iterable[int]) -> list[int]:
    """Return the dimensions whose new sizes are written in the code.

    These stay as they are when channels go. Sizes that count channels follow, but must
    count channels of x.
    """
    fixed = []
    for d, n in enumerate(sizes):
        if isinstance(n, Counted):
            context.labels.expect(n, x, f"their number is a size at {context.node!r}")
        elif n > 0:
            fixed.append(d)
    return fixed


def _pin_fixed(context: RuleContext, x: Tensor, dims: Iterable[int]) -> None:
    for d in dims:
        if varies(x, d):
            n = context.shape[d]
            context.pin(x, f"their number, {n}, is written at {context.node!r}")


def concatenate(
    context: RuleContext, tensors, dim: int = 0, axis: int | None = None
) -> Any:
    dim = dim if axis is None else axis
    # torch passes over tensors of shape (0,), as loops that collect begin with
    first, *others = [x for x in tensors if x.shape != (0,)] or tensors
    for other in others:
        _tie_across(context, first, other, dim)
    return torch.cat([first, *others], dim)


def _tie_across(context: RuleContext, a: Tensor, b: Tensor, dim: int) -> None:
    """Tie the channels of two tensors, joined along `dim`, along other dimensions."""
    one = a.narrow(dim, 0, 1)
    for x, y in ((a, b), (b, a)):
        across = [d for d in range(x.ndim) if d != dim % x.ndim and varies(x, d)]
        of_its_size = context.labels.is_pinned(y) or any(varies(y, d) for d in across)
        if across and of_its_size and not varies(y, dim):
            context.tie(a, one)
            context.tie(b, one)


def stack(context: RuleContext, tensors, dim: int = 0) -> Tensor:
    first, *others = tensors
    for other in others:
        context.tie(first, other)
    return torch.stack([first, *others], dim)


def reshape(
    context: RuleContext,
    x: Tensor,
    fixed: Sequence[int] = (),
    counted: Sequence[int] = (),
) -> Tensor:
    """Return labels in another shape, of which some dimensions are fixed or counted.

    Where a dimension of channels is split into several, channels may differ along one
    of these alone, the one whose size follows when channels go. Along the others they
    are tied, so that what is left can still be viewed in such a shape.
    """
    out = x.reshape(context.shape)
    for start, stop in _splits(tuple(x.shape), context.shape):
        varying = [d for d in range(start, stop) if varies(out, d)]
        left = [d for d in varying if d not in fixed]
        follows = [d for d in varying if d in counted] or left or varying
        for d in varying:
            if d != follows[-1]:
                out = tie_along(context, out, [d]).expand(context.shape)
    _pin_fixed(context, out, fixed)
    return out


def _splits(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the ranges of new dimensions that one or more old ones were split into."""
    ranges, i, j = [], 0, 0
    while i < len(before) and j < len(after):
        start, a, b = j, before[i], after[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * before[i], i + 1
            else:
                b, j = b * after[j], j + 1
        if j - start > 1:
            ranges.append((start, j))
    return ranges


def view(context: RuleContext, x: Tensor, *shape) -> Any:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    if isinstance(sizes[0], torch.dtype):
        return NotImplemented
    counted = [d for d, n in enumerate(sizes) if isinstance(n, Counted)]
    return reshape(context, x, _fixed_sizes(context, x, sizes), counted)


def view_as(context: RuleContext, x: Tensor, other: Tensor) -> Tensor:
    out = reshape(context, x)
    context.tie(out, other)
    return out


def unflatten(context: RuleContext, x: Tensor, dim, sizes) -> Any:
    if isinstance(dim, str):
        return NotImplemented
    fixed = _fixed_sizes(context, x, sizes)
    return reshape(context, x, [dim % x.ndim + d for d in fixed])


def flatten(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    return reshape(context, x)


def chunk(context: RuleContext, x: Tensor, chunks: int, dim: int = 0) -> Any:
    parts = x.chunk(chunks, dim)
    if varies(x, dim):
        if len({part.shape[dim] for part in parts}) > 1:
            context.pin(x, f"{context.node!r} cuts them into unequal parts")
        for part in parts[1:]:
            if part.shape == parts[0].shape:
                context.tie(part, parts[0])
    return parts


def split(context: RuleContext, x: Tensor, split_size_or_sections, dim: int = 0) -> Any:
    if context.labels.vary(x, dim):
        context.pin(x, f"{context.node!r} cuts them at positions written in the code")
    return x.split(split_size_or_sections, dim)


def take_by_position(function: Callable) -> Callable:
    """Make the rule of a function that takes numbers by positions along `dim`."""

    def rule(context: RuleContext, x: Tensor, dim: int = 0, *args, **kwargs) -> Any:
        if context.labels.vary(x, dim):
            context.pin(x, f"{context.node!r} takes them by their positions")
        return function(x, dim, *args, **kwargs)

    return rule


def index(context: RuleContext, x: Tensor, key: Any) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, Tensor) for k in keys):
        context.pin([x, key], f"{context.node!r} looks them up")
        return kept_whole(context, f"{context.node!r} looks them up")
    if Ellipsis in keys:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        taken = sum(k is not None for k in keys) - 1
        keys[at : at + 1] = [slice(None)] * (x.ndim - taken)
    dim = 0
    for k in keys:
        if k is None:
            continue
        takes_all = isinstance(k, slice) and k == slice(None)
        if not takes_all and context.labels.vary(x, dim):
            context.pin(x, f"{context.node!r} takes them by their positions")
        dim += 1
    return x[key]


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


def pad(
    context: RuleContext, x: Tensor, pad, mode: str = "constant", value: Any = None
) -> Any:
    if x.ndim > 2 and context.shape[:2] == x.shape[:2]:
        return within_channels(context, x)
    if mode != "constant":
        return NotImplemented
    why = f"{context.node!r} pads them by a number written in the code"
    label = context.labels.fresh(1)
    context.pin(label, why)
    for i in range(len(pad) // 2):
        d = x.ndim - 1 - i
        around = pad[2 * i : 2 * i + 2]
        if varies(x, d):
            context.pin(around, why)
            if min(around) < 0:
                context.pin(x, why)
            x = F.pad(x, [0, 0] * i + list(around), value=int(label))
        else:
            size = [context.shape[d] if e == d else -1 for e in range(x.ndim)]
            x = x.narrow(d, 0, 1).expand(size)
    return x


def roll(context: RuleContext, x: Tensor, shifts, dims=None) -> Tensor:
    along = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    if any(context.labels.vary(x, d) for d in along):
        context.pin(x, f"{context.node!r} moves them by a number written in the code")
    return x.roll(shifts, dims)


def squeeze(context: RuleContext, x: Tensor, dim=None) -> Tensor:
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    if any(context.labels.vary(x, d) for d in dims):
        context.pin(x, f"{context.node!r} would drop a last one with its dimension")
    return x.reshape(context.shape)


def expand(context: RuleContext, x: Tensor, *shape) -> Tensor:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    if (x == CONSTANT).all() and any(n > 1 for n in sizes):
        return filled(context, sizes)
    fixed = _fixed_sizes(context, x, sizes)
    out = x.expand(context.shape)
    _pin_fixed(context, out, fixed)
    return out


def repeat(context: RuleContext, x: Tensor, *sizes) -> Tensor:
    if (x == CONSTANT).all():
        return filled(context, sizes)
    context.pin(sizes, f"their number is a size at {context.node!r}")
    return x.repeat(*sizes)


def new_tensor(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    return filled(context, [*args, *kwargs.values()])


def pixel_shuffle(context: RuleContext, x: Tensor, upscale_factor: int) -> Tensor:
    x = context.channels(x).view(1, -1, 1, 1).expand(x.shape)
    out = F.pixel_shuffle(x, upscale_factor)
    context.channels(out)  # those that make one channel go together
    return out


def pixel_unshuffle(context: RuleContext, x: Tensor, downscale_factor: int) -> Tensor:
    x = context.channels(x).view(1, -1, 1, 1).expand(x.shape)
    return F.pixel_unshuffle(x, downscale_factor)


def channel_shuffle(context: RuleContext, x: Tensor, groups: int) -> Tensor:
    v = context.channels(x).view(groups, -1)
    context.tie(v[1:], v[:1])
    return context.spread(v.t().flatten())


def move_labels(function: Callable) -> Callable:
    """Make the rule of a function that only moves numbers: it moves labels alike."""

    def rule(context: RuleContext, x: Tensor, *args, **kwargs) -> Any:
        return function(x, *args, **kwargs)

    return rule
