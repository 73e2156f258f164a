"""Rules of functions that compute within each channel, over its positions.

`functions.py` says what a rule is given, and returns.
"""

from typing import Any

from torch import Tensor

from ..counted import Counted
from .context import RuleContext
from .elementwise import pin_what_meets_constants


def within_channels(context: RuleContext, x: Tensor, *args, **kwargs) -> Any:
    """Return the labels of what is computed within each channel, over positions."""
    if x.ndim < 3 or context.shape[:2] != x.shape[:2]:
        return NotImplemented  # over the channels, or with indices
    return context.spread(context.channels(x))


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


def sampled(context: RuleContext, x: Tensor, grid: Tensor, *args, **kwargs) -> Any:
    """Sample each channel at the same places."""
    context.pin(grid, f"{context.node!r} reads them as places")
    return within_channels(context, x)
