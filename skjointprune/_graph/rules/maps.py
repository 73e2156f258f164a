"""Rules of functions that compute within each channel, over its positions.

`functions.py` says what a rule is given, and returns.
"""

from typing import Any

from torch import Tensor

from ..counted import Counted
from ..labels import CONSTANT
from .context import RuleContext, ask_size, kept_whole
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
    """Convolve each channel by itself, as blur pools do.

    The code asks x how many there are, and may repeat a kernel for each; or it writes
    their number, or holds it.
    """
    if not isinstance(weight, Tensor):
        return NotImplemented
    if groups == x.shape[1] == 1:
        return _one_by_one(context, x, weight, bias)
    if not groups == x.shape[1] == len(weight):
        return NotImplemented
    v = context.channels(x)
    if isinstance(groups, Counted):
        why = f"their number is part of what {context.node!r} computes"
        context.labels.expect(groups, v, why)
    else:
        ask_size(context, 0, groups, v, 0)
    own = [weight.flatten(1)[:, 0], *([] if bias is None else [bias])]
    pin_what_meets_constants(context, [v, *own])
    for one in own:
        context.tie(v, one)
    return context.spread(v)


def _one_by_one(context: RuleContext, x: Tensor, weight: Tensor, bias: Any) -> Any:
    """Convolve channels that are rows, (n channels, 1, …), with kernels of the code."""
    first = x.flatten(2)[..., 0]
    alike = (x.flatten(2) == first[..., None]).all()
    if bias is not None or not alike or not (weight == CONSTANT).all():
        return NotImplemented
    return first.view(len(x), *[1] * (x.ndim - 1)).expand(context.shape)


def places(context: RuleContext, theta: Tensor, *args, **kwargs) -> Tensor:
    """Compute the places to sample at; of the size that is given, rows and columns."""
    why = f"{context.node!r} reads them as places"
    context.pin(theta, why)
    return kept_whole(context, why)


def sampled(context: RuleContext, x: Tensor, grid: Tensor, *args, **kwargs) -> Any:
    """Sample each channel at the same places."""
    context.pin(grid, f"{context.node!r} reads them as places")
    return within_channels(context, x)
