"""Rules of functions that compute: elementwise, over dimensions, within channels.

See `_function_rules.py` for what a rule is.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..labels import CONSTANT, Counted, Labels, varies


def each_channel(labels: Labels, x: Tensor, *args, **kwargs) -> Any:
    """Whatever happens within a channel, over its positions."""
    if x.ndim < 3 or labels.shape[:2] != x.shape[:2]:
        return NotImplemented  # over the channels, or with indices
    return labels.spread(labels.channels(x))


def same(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return x


def together(labels: Labels, *args, **kwargs) -> Any:
    """Tie what is added, multiplied or compared elementwise."""
    given = [*args, *kwargs.values()]
    parts = [a for a in given if isinstance(a, Tensor)]
    if parts[0].ndim > len(labels.shape):
        return NotImplemented
    out = parts[0].expand(labels.shape)
    for part in parts[1:]:
        labels.tie(out, part)
        if (out == CONSTANT).any():
            out = torch.where(out == CONSTANT, part, out)
    numbers = [a for a in given if isinstance(a, Counted)]
    labels.pin(numbers, f"their number is part of what {labels.node!r} computes")
    return out


def over(labels: Labels, x: Tensor, dims: Iterable[int]) -> Tensor:
    """Tie what is along dimensions; return labels with one place there."""
    for d in dims:
        first = x.narrow(d, 0, 1)
        if varies(x, d):
            labels.tie(x, first)
        x = first
    return x


def reduce(labels: Labels, x: Tensor, dim=None, *args, axis=None, **kwargs) -> Tensor:
    dim = axis if dim is None else dim
    if dim is None or dim == ():
        dim = tuple(range(x.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    x = over(labels, x, dims)
    return x if x.ndim == len(labels.shape) else x.squeeze(dims)


def norm(labels: Labels, x: Tensor, p: Any = 2, dim=None, *args, **kwargs) -> Tensor:
    return reduce(labels, x, dim)


class Extremes(NamedTuple):
    """Labels of what `torch.max` returns."""

    values: Tensor
    indices: Tensor


def extreme(labels: Labels, x: Tensor, dim=None, keepdim: bool = False) -> Any:
    if isinstance(dim, Tensor):
        return together(labels, x, dim)
    if dim is None:
        return reduce(labels, x)
    x = over(labels, x, [dim])
    x = x if keepdim else x.squeeze(dim)
    return Extremes(x, x)


def couple_along(
    labels: Labels, x: Tensor, dim: int | None = None, *args, **kwargs
) -> Any:
    if dim is None or labels.vary(x, dim):
        labels.pin(x, f"{labels.node!r} couples them")
    return x


def normalised(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    for held in (*args, *kwargs.values()):  # scale and shift, if they are given
        if isinstance(held, Tensor):
            labels.tie(x, held)
    labels.pin(x, f"{labels.node!r} couples them")
    return x


def by_channel(labels: Labels, x: Tensor, *args, **kwargs) -> Any:
    """Let each channel have numbers of its own: scale, shift, statistics."""
    held = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    if sum(map(labels.is_produced, held)) < 2:
        return NotImplemented  # without a scale and a shift, zeros do not stay zero
    for own in held:
        labels.tie(labels.channels(x), own)
    return x


def glu(labels: Labels, x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    labels.tie(value, gate)
    return value
