"""Rules of functions and of methods of tensors: what they do to labels.

A rule is given `Labels` to speak to and the function's own arguments, with labels in
place of tensors; it returns labels of the function's output.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from ._labels import CONSTANT, Counted, Labels, varies


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


def each_channel(labels: Labels, x: Tensor, *args, **kwargs) -> Any:
    """Whatever happens within a channel, over its positions."""
    if x.ndim < 3 or labels.shape[:2] != x.shape[:2]:
        return NotImplemented  # over the channels, or with indices
    return labels.spread(labels.channels(x))


def _same(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
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


def _over(labels: Labels, x: Tensor, dims: Iterable[int]) -> Tensor:
    """Tie what is along dimensions; return labels with one place there."""
    for d in dims:
        first = x.narrow(d, 0, 1)
        if varies(x, d):
            labels.tie(x, first)
        x = first
    return x


def _reduce(labels: Labels, x: Tensor, dim=None, *args, axis=None, **kwargs) -> Tensor:
    dim = axis if dim is None else dim
    if dim is None or dim == ():
        dim = tuple(range(x.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    x = _over(labels, x, dims)
    return x if x.ndim == len(labels.shape) else x.squeeze(dims)


def _norm(labels: Labels, x: Tensor, p: Any = 2, dim=None, *args, **kwargs) -> Tensor:
    return _reduce(labels, x, dim)


class Extremes(NamedTuple):
    """Labels of what `torch.max` returns."""

    values: Tensor
    indices: Tensor


def _extreme(labels: Labels, x: Tensor, dim=None, keepdim: bool = False) -> Any:
    if isinstance(dim, Tensor):
        return together(labels, x, dim)
    if dim is None:
        return _reduce(labels, x)
    x = _over(labels, x, [dim])
    x = x if keepdim else x.squeeze(dim)
    return Extremes(x, x)


def _softmax(labels: Labels, x: Tensor, dim: int | None = None, *args, **kwargs) -> Any:
    if dim is None or labels.vary(x, dim):
        labels.pin(x, f"{labels.node!r} couples them")
    return x


def _normalised(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    for held in (*args, *kwargs.values()):  # scale and shift, if they are given
        if isinstance(held, Tensor):
            labels.tie(x, held)
    labels.pin(x, f"{labels.node!r} couples them")
    return x


def _concatenate(labels: Labels, tensors, dim: int = 0, axis: int | None = None) -> Any:
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


def _stack(labels: Labels, tensors, dim: int = 0) -> Tensor:
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
                out = _over(labels, out, [d]).expand(labels.shape)
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


def _view(labels: Labels, x: Tensor, *shape) -> Any:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    if isinstance(sizes[0], torch.dtype):
        return NotImplemented
    counted = [d for d, n in enumerate(sizes) if isinstance(n, Counted)]
    return reshape(labels, x, _fixed(labels, x, sizes), counted)


def _view_as(labels: Labels, x: Tensor, other: Tensor) -> Tensor:
    out = reshape(labels, x)
    labels.tie(out, other)
    return out


def unflatten(labels: Labels, x: Tensor, dim, sizes) -> Any:
    if isinstance(dim, str):
        return NotImplemented
    return reshape(labels, x, [dim % x.ndim + i for i in _fixed(labels, x, sizes)])


def _flatten_function(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return reshape(labels, x)


def _pieces(labels: Labels, x: Tensor, chunks: int, dim: int = 0) -> Any:
    parts = x.chunk(chunks, dim)
    if varies(x, dim):
        if len({part.shape[dim] for part in parts}) > 1:
            labels.pin(x, f"{labels.node!r} cuts them into unequal parts")
        for part in parts[1:]:
            if part.shape == parts[0].shape:
                labels.tie(part, parts[0])
    return parts


def glu(labels: Labels, x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    labels.tie(value, gate)
    return value


def _split(labels: Labels, x: Tensor, split_size_or_sections, dim: int = 0) -> Any:
    if labels.vary(x, dim):
        labels.pin(x, f"{labels.node!r} cuts them at positions written in the code")
    return x.split(split_size_or_sections, dim)


def _taken(function: Callable) -> Callable:
    """Keep whole what is taken by its position along the first argument."""

    def rule(labels: Labels, x: Tensor, dim: int = 0, *args, **kwargs) -> Any:
        if labels.vary(x, dim):
            labels.pin(x, f"{labels.node!r} takes them by their positions")
        return function(x, dim, *args, **kwargs)

    return rule


def _index(labels: Labels, x: Tensor, key: Any) -> Tensor:
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


def _pad(
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


def _roll(labels: Labels, x: Tensor, shifts, dims=None) -> Tensor:
    along = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    if any(labels.vary(x, d) for d in along):
        labels.pin(x, f"{labels.node!r} moves them by a number written in the code")
    return x.roll(shifts, dims)


def _squeeze(labels: Labels, x: Tensor, dim=None) -> Tensor:
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    if any(labels.vary(x, d) for d in dims):
        labels.pin(x, f"{labels.node!r} would drop a last one with its dimension")
    return x.reshape(labels.shape)


def _expand(labels: Labels, x: Tensor, *shape) -> Tensor:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    if (x == CONSTANT).all() and any(n > 1 for n in sizes):
        return labels.made(sizes)
    fixed = _fixed(labels, x, sizes)
    out = x.expand(labels.shape)
    _pin_fixed(labels, out, fixed)
    return out


def _repeat(labels: Labels, x: Tensor, *sizes) -> Tensor:
    if (x == CONSTANT).all():
        return labels.made(sizes)
    labels.pin(sizes, f"their number is a size at {labels.node!r}")
    return x.repeat(*sizes)


def _made(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
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


def _native(function: Callable) -> Callable:
    """Let what only moves numbers move labels."""

    def rule(labels: Labels, x: Tensor, *args, **kwargs) -> Any:
        return function(x, *args, **kwargs)

    return rule


ELEMENTWISE = (
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul",
    "alpha_dropout", "and", "asin", "asinh", "atan", "atan2", "atanh", "bernoulli",
    "bool", "ceil", "celu", "clamp", "clamp_max", "clamp_min", "clip", "clone",
    "contiguous", "copysign", "cos", "cosh", "detach", "div", "divide", "double",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "eq", "erf", "erfc",
    "exp", "exp2", "expand_as", "expm1", "feature_alpha_dropout", "float",
    "float_power", "floor", "floordiv", "fmod", "frac", "ge", "gelu", "greater",
    "greater_equal", "gt", "half", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "heaviside", "hypot", "iadd", "imul", "int", "invert", "isfinite",
    "isinf", "isnan", "isub", "itruediv", "le", "leaky_relu", "lerp", "less",
    "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit",
    "logsigmoid", "long", "lt", "masked_fill", "maximum", "minimum", "mish", "mod",
    "mul", "multiply", "nan_to_num", "ne", "neg", "negative", "not_equal", "or",
    "positive", "pow", "reciprocal", "relu", "relu6", "remainder", "round", "rrelu",
    "rsqrt", "rsub", "selu", "sgn", "sigmoid", "sign", "silu", "sin", "sinc",
    "sinh", "softplus", "softshrink", "softsign", "sqrt", "square", "sub",
    "subtract", "tan", "tanh", "tanhshrink", "_threshold", "threshold",
    "true_divide", "truediv", "trunc", "where", "xlogy", "xor",
)  # fmt: skip
SAME = (
    "empty_like", "full_like", "normalize", "ones_like", "rand_like", "randn_like",
    "stochastic_depth", "to", "type", "type_as", "zeros_like",
)  # fmt: skip
MOVES = (
    "flip", "moveaxis", "movedim", "permute", "swapaxes", "swapdims", "t", "transpose",
    "unsqueeze",
)  # fmt: skip
POOLS = (
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "interpolate", "max_pool1d", "max_pool2d", "max_pool3d",
    "upsample",
)  # fmt: skip
REDUCTIONS = (
    "all", "amax", "amin", "any", "count_nonzero", "logsumexp", "mean", "nanmean",
    "nansum", "prod", "std", "sum", "var",
)  # fmt: skip
FILLED = (
    "empty",
    "full",
    "ones",
    "rand",
    "randn",
    "zeros",
)  # whose numbers follow no position

# Rules by the name of a function (of operator, torch or torch.nn.functional) or of a
# tensor's method: in all of these places a name means the same.
FUNCTION_RULES: dict[str, Callable] = {
    **dict.fromkeys(ELEMENTWISE, together),
    **dict.fromkeys(SAME, _same),
    **dict.fromkeys(POOLS, each_channel),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(("norm", "linalg_norm", "linalg_vector_norm"), _norm),
    **dict.fromkeys(("max", "median", "min"), _extreme),
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalised),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
    **dict.fromkeys(("view", "reshape"), _view),
    **dict.fromkeys(("new_empty", "new_full", "new_ones", "new_zeros"), _made),
    **{name: _native(getattr(Tensor, name)) for name in MOVES},
    **{name: _taken(getattr(Tensor, name)) for name in ("narrow", "select", "unbind")},
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), _softmax),
    **dict.fromkeys(("cumprod", "cumsum"), _softmax),
    **dict.fromkeys(("reshape_as", "view_as"), _view_as),
    "stack": _stack,
    "flatten": _flatten_function,
    "unflatten": unflatten,
    "chunk": _pieces,
    "glu": glu,
    "split": _split,
    "getitem": _index,
    "pad": _pad,
    "roll": _roll,
    "squeeze": _squeeze,
    "expand": _expand,
    "repeat": _repeat,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "channel_shuffle": channel_shuffle,
}


def function_rule(node: fx.Node) -> Callable | None:
    """Return the rule of a function or method in a traced graph, if there is one."""
    if node.op == "call_method":
        name = str(node.target)
    elif node.op != "call_function":
        return None
    else:
        target: Any = node.target
        home = getattr(target, "__module__", None) or "torch"
        if home.partition(".")[0] not in ("_operator", "torch", "torchvision"):
            return None
        name = target.__name__
    return FUNCTION_RULES.get(name.removesuffix("_"))  # in place or not
