"""Rules of functions that change shapes: they move, cut or join tensors.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..counted import Counted
from ..labels import CONSTANT, join, varies
from .context import RuleContext, ask_size, filled
from .elementwise import pin_what_meets_constants
from .maps import within_channels
from .reductions import tie_along


def concatenate(
    context: RuleContext, tensors, dim: int = 0, axis: int | None = None
) -> Any:
    dim = dim if axis is None else axis
    # nothing comes of empty ones, with which loops that collect begin
    first, *others = [x for x in tensors if x.numel()] or tensors
    pin_what_meets_constants(context, [first, *others], but=dim)
    for other in others:
        _tie_across(context, first, other, dim)
    return join([first, *others], dim)


def _tie_across(context: RuleContext, a: Tensor, b: Tensor, dim: int) -> None:
    """Tie the channels of two tensors, joined along `dim`, along other dimensions."""
    one = a.narrow(dim, 0, 1)
    for x, y in ((a, b), (b, a)):
        across = [d for d in range(x.ndim) if d != dim % x.ndim and varies(x, d)]
        of_its_size = context.labels.is_pinned(y) or any(varies(y, d) for d in across)
        if across and of_its_size and not varies(y, dim):
            context.tie(a, one)
            context.tie(b, one)


def hstack(context: RuleContext, tensors) -> Any:
    return concatenate(context, tensors, min(1, tensors[0].ndim - 1))


def unfold(context: RuleContext, x: Tensor, *args, **kwargs) -> Any:
    """Return labels of windows, as a method makes them, or of patches of images."""
    if len(context.shape) == x.ndim + 1:
        names = ("dimension", "size", "step")
        dim, size, step = (*args, *(kwargs[name] for name in names[len(args) :]))
        if context.labels.vary(x, dim):
            context.pin(x, f"{context.node!r} takes them by their positions")
        return x.unfold(dim, size, step)
    return unfold_images(context, x)


def unfold_images(context: RuleContext, x: Tensor) -> Any:
    each = context.shape[1] // x.shape[1]
    return context.spread(context.channels(x).repeat_interleave(each))


def fold(context: RuleContext, x: Tensor, *args, **kwargs) -> Any:
    windows = context.channels(x).view(context.shape[1], -1)
    context.tie(windows[:, 1:], windows[:, :1])
    return context.spread(windows[:, 0])


def view_as_complex(context: RuleContext, x: Tensor) -> Tensor:
    return tie_along(context, x, [-1]).squeeze(-1)


def view_as_real(context: RuleContext, x: Tensor) -> Tensor:
    return x[..., None].expand(context.shape)


def stack(context: RuleContext, tensors, dim: int = 0) -> Tensor:
    first, *others = tensors
    pin_what_meets_constants(context, tensors)
    for other in others:
        context.tie(first, other)
    return torch.stack([first, *others], dim)


def reshape(
    context: RuleContext, x: Tensor, sizes: Sequence[Any] = (), start: int = 0
) -> Tensor:
    """Return labels in another shape; the code asks for its sizes from `start` on.

    Where a dimension of channels is split into several, channels may differ along one
    of these alone, the one whose size follows when channels go. Along the others they
    are tied, so that what is left can still be viewed in such a shape.
    """
    out = x.reshape(context.shape)
    asked = dict(enumerate(sizes, start))
    for first, stop in _splits(tuple(x.shape), context.shape):
        varying = [d for d in range(first, stop) if varies(out, d)]
        if len(varying) > 1:
            choices = _by_preference(context, x, varying, stop, asked)
            follows = context.labels.choose(context.owner, context.node, choices, x)
            for d in varying:
                if d != follows:
                    out = tie_along(context, out, [d]).expand(context.shape)
    for d, n in asked.items():
        ask_size(context, d - start, n, out, d, not start and keeps(x, out, d))
    return out


def keeps(x: Tensor, out: Tensor, dim: int) -> bool:
    """Tell whether a view leaves a dimension, and those before, as long as they are."""
    return x.shape[: dim + 1] == out.shape[: dim + 1]


def _by_preference(
    context: RuleContext, x: Tensor, dims: list[int], stop: int, asked: dict[int, Any]
) -> list[int]:
    """Return dimensions that a split makes, first those that may well follow.

    First comes what is computed from the number of channels that are split, then what
    torch finds out, then the last but one: heads of attention stand before the numbers
    of each.
    """

    def rank(d: int) -> int:
        n = asked.get(d, -1)
        if isinstance(n, Counted) and context.labels.counts(n, x):
            return 0
        return 1 if n == -1 else 2 if d == stop - 2 else 3

    return sorted(dims, key=rank)


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


def view(context: RuleContext, x: Tensor, *shape, **kwargs) -> Any:
    sizes = shape[0] if shape and isinstance(shape[0], tuple | list) else shape
    sizes = sizes or kwargs.get("shape", kwargs.get("size", ()))
    if any(isinstance(n, torch.dtype) for n in (*sizes, *kwargs.values())):
        return NotImplemented
    return reshape(context, x, sizes)


def view_as(context: RuleContext, x: Tensor, other: Tensor) -> Tensor:
    out = reshape(context, x)
    pin_what_meets_constants(context, [out, other])
    context.tie(out, other)
    return out


def unflatten(context: RuleContext, x: Tensor, dim, sizes) -> Any:
    if isinstance(dim, str):
        return NotImplemented
    return reshape(context, x, sizes, dim % x.ndim)


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


def split(
    context: RuleContext, x: Tensor, split_size_or_sections=None, dim=0, split_size=None
) -> Any:
    asked = split_size_or_sections if split_size is None else split_size
    parts = x.split(asked, dim)
    if not varies(x, dim):
        return parts
    if isinstance(asked, tuple | list):
        for i, (n, part) in enumerate(zip(asked, parts, strict=True)):
            ask_size(context, i, n, part, dim)
        return parts
    if parts[-1].shape != parts[0].shape:
        context.pin(x, f"{context.node!r} cuts them into unequal parts")
    else:
        for part in parts[1:]:
            context.tie(part, parts[0])
        ask_size(context, 0, asked, parts[0], dim)
    return parts


def pad(
    context: RuleContext, x: Tensor, pad, mode: str = "constant", value: Any = None
) -> Any:
    """Return labels of maps with a frame, or of channels with more beside them.

    Zeroed channels in a frame of other numbers are not constant: probes find that out.
    """
    why = f"{context.node!r} pads them by a number written in the code"
    context.pin([*pad, value], f"their number is part of what {context.node!r} pads")
    maps = x.ndim > 2 and context.shape[:2] == x.shape[:2]
    if maps and (varies(x, 1) or x.shape[1] == 1):
        return within_channels(context, x)
    around = {x.ndim - 1 - i: pad[2 * i : 2 * i + 2] for i in range(len(pad) // 2)}
    if mode != "constant" and any(varies(x, d) for d in around):
        return NotImplemented
    label = context.labels.fresh(1)
    context.pin(label, why)
    for d, more in around.items():
        if varies(x, d):
            if min(more) < 0:
                context.pin(x, why)
            each = [0, 0] * (x.ndim - 1 - d) + list(more)
            x = F.pad(x, each, value=int(label))
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


def expand(context: RuleContext, x: Tensor, *shape, size=()) -> Tensor:
    sizes = shape[0] if shape and isinstance(shape[0], tuple | list) else shape
    sizes = sizes or size
    pairs = zip(sizes, context.shape, strict=True)
    without_gaps = [known if n == -1 else n for n, known in pairs]
    if (x == CONSTANT).all() and any(n > 1 for n in sizes):
        return filled(context, without_gaps)
    counted = [n for n in sizes if isinstance(n, Counted)]
    follows = any(context.labels.counts_channels(n) for n in counted)
    if follows and len(context.labels.members(x)) == 1:
        context.pin(x, f"it is one for all at {context.node!r}")
        return filled(context, without_gaps)
    new = len(sizes) - x.ndim  # dimensions in front
    repeated = [d for d, n in enumerate(sizes) if d < new or x.shape[d - new] == 1]
    if follows and all(isinstance(sizes[d], Counted) for d in repeated):
        context.pin(x, f"each is repeated for all channels at {context.node!r}")
        return filled(context, without_gaps)
    out = x.expand(context.shape)
    for d, n in enumerate(sizes):
        ask_size(context, d, n, out, d)
    return out


def repeat(context: RuleContext, x: Tensor, *sizes) -> Tensor:
    why = f"their number is a size at {context.node!r}"
    if (x == CONSTANT).all():
        times = sizes[0] if isinstance(sizes[0], tuple | list) else sizes
        pairs = [*zip(times, context.shape, strict=True)]
        context.pin([n for n, size in pairs if n != size], why)
        return filled(context, [n if n == size else size for n, size in pairs])
    context.pin(sizes, why)
    return x.repeat(*sizes)


def column_stack(context: RuleContext, tensors) -> Any:
    return concatenate(context, [x[:, None] if x.ndim == 1 else x for x in tensors], 1)


def repeat_interleave(
    context: RuleContext, x: Tensor, repeats: Any, dim: int | None = None, **kwargs
) -> Any:
    if not isinstance(repeats, int) or dim is None:
        return NotImplemented
    context.pin(repeats, f"their number is a size at {context.node!r}")
    return x.repeat_interleave(repeats, dim)


def new_filled(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    return filled(context, [*args, *kwargs.values()])


def of_numbers(context: RuleContext, x: Tensor, *args, **kwargs) -> Tensor:
    """Return the labels of a tensor of numbers that the code writes, as a kernel."""
    given = [*args, *kwargs.values()]
    context.pin(given, f"their number is part of what {context.node!r} computes")
    return torch.full(context.shape, CONSTANT)


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
