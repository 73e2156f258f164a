"""Rules of functions that move numbers, cut them up or put them together.

See `_function_rules.py` for what a rule is.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..labels import CONSTANT, Counted, Labels, varies
from .arithmetic import each_channel, over


def _fixed(labels: Labels, x: Tensor, sizes: Iterable[int]) -> list[int]:
    """Return at which places sizes of what x becomes stay when channels go.

    Those that count channels are expected to count some of x.
    """
    fixed = []
    for d, n in enumerate(sizes):
        if isinstance(n, Counted):
            labels.expect(n, x, f"their number is a size at {labels.node!r}")
        elif n > 0:
            fixed.append(d)
    return fixed


def _pin_fixed(labels: Labels, x: Tensor, dims: Iterable[int]) -> None:
    for d in dims:
        if varies(x, d):
            n = labels.shape[d]
            labels.pin(x, f"their number, {n}, is written at {labels.node!r}")


def concatenate(labels: Labels, tensors, dim: int = 0, axis: int | None = None) -> Any:
    dim = dim if axis is None else axis
    first, *others = tensors
    for other in others:
        _tie_across(labels, first, other, dim)
    return torch.cat([first, *others], dim)


def _tie_across(labels: Labels, a: Tensor, b: Tensor, dim: int) -> None:
    """Tie channels that two tensors, put together along another dimension, share."""
    one = a.narrow(dim, 0, 1)
    for x, y in ((a, b), (b, a)):
        across = [d for d in range(x.ndim) if d != dim % x.ndim and varies(x, d)]
        of_its_size = labels.is_pinned(y) or any(varies(y, d) for d in across)
        if across and of_its_size and not varies(y, dim):
            labels.tie(a, one)
            labels.tie(b, one)


def stack(labels: Labels, tensors, dim: int = 0) -> Tensor:
    first, *others = tensors
    for other in others:
        labels.tie(first, other)
    return torch.stack([first, *others], dim)


def reshape(
    labels: Labels, x: Tensor, fixed: Sequence[int] = (), counted: Sequence[int] = ()
) -> Tensor:
    """View in another shape, some dimensions of which are fixed, or counted.

    A dimension of channels that is split is left to vary along one of its parts, the
    one whose size follows when channels go: so what stays is regular.
    """
    out = x.reshape(labels.shape)
    for start, stop in _splits(tuple(x.shape), labels.shape):
        varying = [d for d in range(start, stop) if varies(out, d)]
        left = [d for d in varying if d not in fixed]
        follows = [d for d in varying if d in counted] or left or varying
        for d in varying:
            if d != follows[-1]:
                out = over(labels, out, [d]).expand(labels.shape)
    _pin_fixed(labels, out, fixed)
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


def view(labels: Labels, x: Tensor, *shape) -> Any:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    if isinstance(sizes[0], torch.dtype):
        return NotImplemented
    counted = [d for d, n in enumerate(sizes) if isinstance(n, Counted)]
    return reshape(labels, x, _fixed(labels, x, sizes), counted)


def view_as(labels: Labels, x: Tensor, other: Tensor) -> Tensor:
    out = reshape(labels, x)
    labels.tie(out, other)
    return out


def unflatten(labels: Labels, x: Tensor, dim, sizes) -> Any:
    if isinstance(dim, str):
        return NotImplemented
    return reshape(labels, x, [dim % x.ndim + i for i in _fixed(labels, x, sizes)])


def flatten(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return reshape(labels, x)


def pieces(labels: Labels, x: Tensor, chunks: int, dim: int = 0) -> Any:
    parts = x.chunk(chunks, dim)
    if varies(x, dim):
        if len({part.shape[dim] for part in parts}) > 1:
            labels.pin(x, f"{labels.node!r} cuts them into unequal parts")
        for part in parts[1:]:
            if part.shape == parts[0].shape:
                labels.tie(part, parts[0])
    return parts


def split(labels: Labels, x: Tensor, split_size_or_sections, dim: int = 0) -> Any:
    if labels.vary(x, dim):
        labels.pin(x, f"{labels.node!r} cuts them at positions written in the code")
    return x.split(split_size_or_sections, dim)


def taken(function: Callable) -> Callable:
    """Keep whole what is taken by its position along the first argument."""

    def rule(labels: Labels, x: Tensor, dim: int = 0, *args, **kwargs) -> Any:
        if labels.vary(x, dim):
            labels.pin(x, f"{labels.node!r} takes them by their positions")
        return function(x, dim, *args, **kwargs)

    return rule


def index(labels: Labels, x: Tensor, key: Any) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, Tensor) for k in keys):
        labels.pin([x, key], f"{labels.node!r} looks them up")
        return labels.pinned(f"{labels.node!r} looks them up")
    if Ellipsis in keys:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        taken = sum(k is not None for k in keys) - 1
        keys[at : at + 1] = [slice(None)] * (x.ndim - taken)
    dim = 0
    for k in keys:
        if k is None:
            continue
        if not (isinstance(k, slice) and k == slice(None)) and labels.vary(x, dim):
            labels.pin(x, f"{labels.node!r} takes them by their positions")
        dim += 1
    return x[key]


def pad(
    labels: Labels, x: Tensor, pad, mode: str = "constant", value: Any = None
) -> Any:
    if x.ndim > 2 and labels.shape[:2] == x.shape[:2]:
        return each_channel(labels, x)
    if mode != "constant":
        return NotImplemented
    why = f"{labels.node!r} pads them by a number written in the code"
    label = labels.fresh(1)
    labels.pin(label, why)
    for i in range(len(pad) // 2):
        d = x.ndim - 1 - i
        around = pad[2 * i : 2 * i + 2]
        if varies(x, d):
            labels.pin(around, why)
            if min(around) < 0:
                labels.pin(x, why)
            x = F.pad(x, [0, 0] * i + list(around), value=int(label))
        else:
            size = [labels.shape[d] if e == d else -1 for e in range(x.ndim)]
            x = x.narrow(d, 0, 1).expand(size)
    return x


def roll(labels: Labels, x: Tensor, shifts, dims=None) -> Tensor:
    along = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    if any(labels.vary(x, d) for d in along):
        labels.pin(x, f"{labels.node!r} moves them by a number written in the code")
    return x.roll(shifts, dims)


def squeeze(labels: Labels, x: Tensor, dim=None) -> Tensor:
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    if any(labels.vary(x, d) for d in dims):
        labels.pin(x, f"{labels.node!r} would drop a last one with its dimension")
    return x.reshape(labels.shape)


def expand(labels: Labels, x: Tensor, *shape) -> Tensor:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    if (x == CONSTANT).all() and any(n > 1 for n in sizes):
        return labels.made(sizes)
    fixed = _fixed(labels, x, sizes)
    out = x.expand(labels.shape)
    _pin_fixed(labels, out, fixed)
    return out


def repeat(labels: Labels, x: Tensor, *sizes) -> Tensor:
    if (x == CONSTANT).all():
        return labels.made(sizes)
    labels.pin(sizes, f"their number is a size at {labels.node!r}")
    return x.repeat(*sizes)


def made(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return labels.made([*args, *kwargs.values()])


def pixel_shuffle(labels: Labels, x: Tensor, upscale_factor: int) -> Tensor:
    x = labels.channels(x).view(1, -1, 1, 1).expand(x.shape)
    out = F.pixel_shuffle(x, upscale_factor)
    labels.channels(out)  # those that make one channel go together
    return out


def pixel_unshuffle(labels: Labels, x: Tensor, downscale_factor: int) -> Tensor:
    x = labels.channels(x).view(1, -1, 1, 1).expand(x.shape)
    return F.pixel_unshuffle(x, downscale_factor)


def channel_shuffle(labels: Labels, x: Tensor, groups: int) -> Tensor:
    v = labels.channels(x).view(groups, -1)
    labels.tie(v[1:], v[:1])
    return labels.spread(v.t().flatten())


def native(function: Callable) -> Callable:
    """Let what only moves numbers move labels."""

    def rule(labels: Labels, x: Tensor, *args, **kwargs) -> Any:
        return function(x, *args, **kwargs)

    return rule
