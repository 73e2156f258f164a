"""One small rule a kind of layer: how its channels hang together.

A rule of a layer is given the layer, its name, the labels of what it is called on, and
`Labels` to speak to; it returns the labels of what the layer returns. Rules of
functions are given the function's own arguments. What has no rule is kept whole.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from ._attention import MultiheadAttention
from ._labels import CONSTANT, Labels, varies

LayerRule = Callable[[Any, str, Tensor, Labels], Any]


def _linear(layer: nn.Linear, name: str, x: Tensor, labels: Labels) -> Tensor:
    labels.read(f"{name}.weight", 1, labels.channels(x, -1))
    out = labels.produce(f"{name}.weight", 0)
    if layer.bias is not None:
        labels.produce(f"{name}.bias", 0, out)
    return labels.spread(out, -1)


def _conv(layer, name: str, x: Tensor, labels: Labels) -> Tensor:
    transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)
    ins, outs = (0, 1) if transposed else (1, 0)  # dimensions of the weight
    v = labels.channels(x, 1)
    if layer.groups == 1:
        labels.read(f"{name}.weight", ins, v)
        out = labels.produce(f"{name}.weight", outs)
    else:
        # A group goes whole, with what it reads and what it makes: its slots are those
        # of the weight's first dimension, of outputs or, transposed, of inputs.
        out = labels.fresh(layer.out_channels)
        if layer.bias is not None:
            out = labels.produce(f"{name}.bias", 0, out)
        labels.produce(f"{name}.weight", 0, v if transposed else out)
        members = torch.cat([v.view(layer.groups, -1), out.view(layer.groups, -1)], 1)
        labels.tie(members[:, 1:], members[:, :1])
    if layer.bias is not None:
        labels.produce(f"{name}.bias", 0, out)
    return labels.spread(out, 1)


def _norm(layer, name: str, x: Tensor, labels: Labels) -> Tensor:
    v = labels.channels(x, 1)
    if isinstance(layer, nn.GroupNorm) and layer.num_groups == 1:
        return _couples(layer, name, x, labels)
    if isinstance(layer, nn.GroupNorm):  # what is normalised together goes together
        groups = v.view(layer.num_groups, -1)
        labels.tie(groups[:, 1:], groups[:, :1])
    for tensor in ("weight", "bias"):
        # Without scale and shift a zeroed unit leaves as -mean/std, a constant that
        # compaction folds into the next layer.
        if labels.has(f"{name}.{tensor}"):
            labels.produce(f"{name}.{tensor}", 0, v)
    for tensor in ("running_mean", "running_var"):
        if labels.has(f"{name}.{tensor}"):
            labels.carry(f"{name}.{tensor}", 0, v)
    return x


def _couples(layer, name: str, x: Tensor, labels: Labels) -> Tensor:
    labels.pin(x, f"{type(layer).__name__} {name!r} couples them")
    return x


def _prelu(layer: nn.PReLU, name: str, x: Tensor, labels: Labels) -> Tensor:
    if layer.num_parameters > 1:
        labels.carry(f"{name}.weight", 0, labels.channels(x, 1))
    return x


def _elementwise(layer, name: str, x: Tensor, labels: Labels) -> Tensor:
    return x


def _spatial(layer, name: str, x: Tensor, labels: Labels) -> Tensor:
    return _each_channel(labels, x)


def _moves(layer, name: str, x: Tensor, labels: Labels) -> Tensor:
    return layer(x)


def _flatten(layer: nn.Flatten, name: str, x: Tensor, labels: Labels) -> Tensor:
    return _reshape(labels, x)


def _unflatten(layer: nn.Unflatten, name: str, x: Tensor, labels: Labels) -> Tensor:
    return _reshape(labels, x, *range(len(labels.shape)))


def _embedding(layer: nn.Embedding, name: str, x: Tensor, labels: Labels) -> Tensor:
    labels.pin(x, f"Embedding {name!r} looks them up")
    return labels.spread(labels.produce(f"{name}.weight", 1), -1)


def _recurrent(layer: nn.RNNBase, name: str, x: Tensor, labels: Labels) -> Any:
    for direction in ("", "_reverse") if layer.bidirectional else ("",):
        v = labels.channels(x, -1)
        labels.read(f"{name}.weight_ih_l0{direction}", 1, v)
    label = labels.fresh(1)
    labels.pin(label, f"{type(layer).__name__} {name!r} keeps its state whole")
    labels.produce(f"{name}.weight_hh_l0", 1, label.expand(layer.hidden_size))
    return PinnedParts(label)


def _attention(layer: MultiheadAttention, name: str, x: Any, labels: Labels) -> Any:
    given = x[:3] if isinstance(x, tuple) else (x, x, x)
    made = []
    for part, read in zip(("query", "key", "value"), given, strict=True):
        labels.read(f"{name}.{part}.weight", 1, labels.channels(read, -1))
        made.append(labels.produce(f"{name}.{part}.weight", 0))
        if labels.has(f"{name}.{part}.bias"):
            labels.produce(f"{name}.{part}.bias", 0, made[-1])
    heads = torch.cat([m.view(-1, layer.head_dim) for m in made], dim=1)
    labels.tie(heads, heads[:, :1])  # a head goes whole
    labels.read(f"{name}.out_proj.weight", 1, made[2])
    out = labels.produce(f"{name}.out_proj.weight", 0)
    if labels.has(f"{name}.out_proj.bias"):
        labels.produce(f"{name}.out_proj.bias", 0, out)
    label = labels.fresh(1)
    labels.pin(label, f"they are weights of attention of {name!r}")
    return out.expand(*given[0].shape[:-1], -1), PinnedParts(label)


class PinnedParts:
    """What a layer returns in parts of any shape, all of it kept whole."""

    def __init__(self, label: Tensor):
        self.label = label

    def __getitem__(self, key):
        return self


LAYER_RULES: dict[type[nn.Module], LayerRule] = {
    nn.Linear: _linear,
    nn.PReLU: _prelu,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Embedding: _embedding,
    MultiheadAttention: _attention,
    **dict.fromkeys(
        (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d,
         nn.ConvTranspose3d),
        _conv,
    ),
    **dict.fromkeys(
        (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm,
         nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
        _norm,
    ),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), _couples),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), _recurrent),
    **dict.fromkeys(
        (nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish,
         nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6,
         nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign,
         nn.Tanh, nn.Tanhshrink, nn.Threshold, nn.AlphaDropout, nn.Dropout,
         nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout,
         nn.Identity, StochasticDepth),
        _elementwise,
    ),
    **dict.fromkeys(
        (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d,
         nn.MaxPool3d, nn.LPPool1d, nn.LPPool2d, nn.AdaptiveAvgPool1d,
         nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d,
         nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.Upsample,
         nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, nn.ZeroPad1d, nn.ZeroPad2d,
         nn.ZeroPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d,
         nn.ReplicationPad2d, nn.CircularPad1d, nn.CircularPad2d),
        _spatial,
    ),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle), _moves),
}  # fmt: skip


def register_rule(layer: type[nn.Module], rule: LayerRule) -> None:
    """Tell how the channels of a kind of layer hang together.

    Parameters
    ----------
    layer : subclass of nn.Module
        Treated as one piece from now on; a rule there was is replaced.
    rule : callable
        Given a layer, its name in the network, the labels of its input (int64, in
        the input's shape, batch first; a tuple of these where it is called on
        several) and the `Labels` to speak to, returns the labels of its output.

    Raises
    ------
    TypeError
        If `layer` is not a class of module, or `rule` cannot be called.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skjointprune import register_rule
    >>> class Scale(nn.Module):
    ...     def __init__(self, n):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(torch.ones(n))
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> def rule(layer, name, x, labels):
    ...     labels.produce(f"{name}.factor", 0, labels.channels(x, -1))
    ...     return x
    >>> register_rule(Scale, rule)
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise TypeError(
            f"`layer` must be a class of torch.nn.Module. Got {layer!r}; pass the "
            "class, not an instance."
        )
    if not callable(rule):
        raise TypeError(
            f"`rule` must be a function of (layer, name, x, labels). Got {rule!r}; "
            "see docs/add-a-layer.md."
        )
    LAYER_RULES[layer] = rule


# --- functions and methods: (labels, *the arguments) -> labels


def _each_channel(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    """Whatever happens within a channel, over its positions."""
    return labels.spread(labels.channels(x, 1), 1)


def _same(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return x


def _together(labels: Labels, *args, **kwargs) -> Any:
    """What is added or multiplied elementwise goes together."""
    parts = [a for a in args if isinstance(a, Tensor)]
    out = parts[0].expand(labels.shape)
    for part in parts[1:]:
        labels.tie(out, part)
        if (out == CONSTANT).any():
            out = torch.where(out == CONSTANT, part, out)
    return out


def _reduce(labels: Labels, x: Tensor, dim=None, keepdim=False, **kwargs) -> Tensor:
    if dim is None:
        dim = tuple(range(x.ndim))
    dims = [d % x.ndim for d in ([dim] if isinstance(dim, int) else dim)]
    for d in dims:
        first = x.narrow(d, 0, 1)
        if varies(x, d):
            labels.tie(x, first)
        x = first
    return x if keepdim else x.squeeze(dims)


def _normalised(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    for held in (*args, *kwargs.values()):  # scale and shift, if they are given
        if isinstance(held, Tensor):
            labels.tie(x, held)
    labels.pin(x, f"{labels.node!r} couples them")
    return x


def _concatenate(labels: Labels, tensors, dim: int = 0, **kwargs) -> Tensor:
    return torch.cat(list(tensors), kwargs.get("axis", dim))


def _stack(labels: Labels, tensors, dim: int = 0) -> Tensor:
    return torch.stack(list(tensors), dim)


def _reshape(labels: Labels, x: Tensor, *literal: int) -> Tensor:
    """View in another shape; `literal` are dimensions whose size the code spells out.

    A dimension of channels that is split keeps its outer parts alike, so that what is
    left is still regular.
    """
    out = x.reshape(labels.shape)
    for start, stop in _splits(tuple(x.shape), labels.shape):
        varying = [d for d in range(start, stop) if varies(out, d)]
        for d in varying[:-1]:
            first = out.narrow(d, 0, 1)
            labels.tie(out, first)
            out = first.expand(labels.shape)
    for d in literal:
        if varies(out, d):
            size = labels.shape[d]
            labels.pin(out, f"their number, {size}, is written at {labels.node!r}")
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


class Computed(int):
    """A number that the traced code computes from shapes, and does not spell out."""


def _view(labels: Labels, x: Tensor, *shape) -> Tensor:
    sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
    written = [d for d, n in enumerate(sizes) if not isinstance(n, Computed) and n > 0]
    return _reshape(labels, x, *written)


def _unflatten_function(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return _reshape(labels, x, *range(len(labels.shape)))


def _flatten_function(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    return _reshape(labels, x)


def _pieces(labels: Labels, x: Tensor, size, dim: int = 0) -> Any:
    parts = x.chunk(size, dim)
    if varies(x, dim):
        if len({part.shape[dim] for part in parts}) > 1:
            labels.pin(x, f"{labels.node!r} cuts them into unequal parts")
        for part in parts[1:]:
            if part.shape == parts[0].shape:
                labels.tie(part, parts[0])
    return parts


def _split(labels: Labels, x: Tensor, size, dim: int = 0) -> Any:
    if varies(x, dim):
        labels.pin(x, f"{labels.node!r} cuts them at positions written in the code")
    return x.split(size, dim)


def _index(labels: Labels, x: Any, key: Any) -> Any:
    if not isinstance(x, Tensor):
        return x[key]
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, Tensor) for k in keys):
        labels.pin(x, f"{labels.node!r} looks them up")
        return labels.pinned(f"{labels.node!r} looks them up")
    if Ellipsis in keys:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        taken = sum(k is not None for k in keys) - 1
        keys[at : at + 1] = [slice(None)] * (x.ndim - taken)
    dim = 0
    for k in keys:
        if k is None:
            continue
        if not (isinstance(k, slice) and k == slice(None)) and varies(x, dim):
            labels.pin(x, f"{labels.node!r} takes them by their positions")
        dim += 1
    return x[key]


def _pad(labels: Labels, x: Tensor, *args, **kwargs) -> Tensor:
    if x.shape[1] == labels.shape[1] and x.ndim > 2:
        return _each_channel(labels, x)
    pad = args[0] if args else kwargs["pad"]
    return F.pad(x, pad, value=CONSTANT)


def _native(function: Callable) -> Callable:
    """Let what only moves numbers move labels."""

    def rule(labels: Labels, x: Tensor, *args, **kwargs) -> Any:
        return function(x, *args, **kwargs)

    return rule


def _expand(labels: Labels, x: Tensor, *sizes) -> Tensor:
    return x.expand(labels.shape)


def _repeat(labels: Labels, x: Tensor, *sizes) -> Tensor:
    return x.repeat(*sizes)


UNARY = (
    "abs", "celu", "clamp", "contiguous", "clone", "detach", "dropout", "dropout2d",
    "elu", "exp", "float", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "logsigmoid", "mish", "neg", "pow", "relu", "relu6", "relu_", "rsqrt", "selu",
    "sigmoid", "sigmoid_", "silu", "softplus", "softsign", "sqrt", "square", "tanh",
    "tanh_", "tanhshrink", "to", "type", "type_as",
)  # fmt: skip
BINARY = (
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "maximum", "minimum",
    "iadd", "imul", "isub", "truediv", "itruediv",
)  # fmt: skip
MOVES = (
    "permute", "transpose", "swapaxes", "movedim", "moveaxis", "unsqueeze", "squeeze",
    "flip", "roll", "t",
)  # fmt: skip
POOLS = (
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool1d",
    "avg_pool2d", "max_pool1d", "max_pool2d", "interpolate", "upsample",
)  # fmt: skip

# Rules by the name of a function (of operator, torch or torch.nn.functional) or of a
# tensor's method: in all of these places a name means the same.
FUNCTION_RULES: dict[str, Callable] = {
    **dict.fromkeys(UNARY, _same),
    **dict.fromkeys(BINARY, _together),
    **dict.fromkeys(POOLS, _each_channel),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduce),
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalised),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
    **dict.fromkeys(("view", "reshape"), _view),
    **{name: _native(getattr(Tensor, name)) for name in MOVES},
    "stack": _stack,
    "flatten": _flatten_function,
    "unflatten": _unflatten_function,
    "chunk": _pieces,
    "split": _split,
    "getitem": _index,
    "pad": _pad,
    "expand": _expand,
    "repeat": _repeat,
    "stochastic_depth": _same,
}
HOMES = ("_operator", "torch", "torch.nn.functional", "torchvision", "torch._C")


def function_rule(node: fx.Node) -> Callable | None:
    """Return the rule of a function or method in a traced graph, if there is one."""
    if node.op == "call_method":
        return FUNCTION_RULES.get(str(node.target))
    target: Any = node.target
    home = getattr(target, "__module__", None) or "torch"
    known = home.startswith(HOMES) or target in vars(operator).values()
    return FUNCTION_RULES.get(target.__name__) if known else None
