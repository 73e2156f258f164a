"""Rules of functions that normalise: by norms, means and deviations.

`functions.py` says what a rule is given, and returns.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..counted import Counted
from ..labels import CONSTANT
from .context import RuleContext, ask_size, count_in_mean
from .elementwise import pin_what_meets_constants


def normalize(
    context: RuleContext, x: Tensor, p: Any = 2.0, dim: int = 1, *args, **kwargs
) -> Tensor:
    """Let channels go that add to a norm, where they are zero."""
    if context.labels.vary(x, dim):
        context.labels.summed.append(torch.tensor(context.labels.members(x)))
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
