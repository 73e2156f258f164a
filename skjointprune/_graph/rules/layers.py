"""Rules of layers, by class.

A rule is given the layer, its name in the network, the labels of its input and a
`RuleContext`. It returns labels of the layer's output, or NotImplemented. A layer
without a rule is kept whole.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.padding import _ConstantPadNd

from ..._layers.attention import MultiheadAttention
from ..._layers.norms import NORMS, Norm, RMSNorm
from ..._layers.scatter_inputs import ScatterInputs
from ..._layers.weight_norms import NORMED, SpectralNorm
from ...modules._embeddings import (
    InputScale,
    NumberEmbedding,
    PeriodicEmbedding,
    PiecewiseEmbedding,
    SmoothClip,
)
from ..tensors import get_tensor
from .context import PinnedParts, RuleContext, kept_whole
from .elementwise import glu
from .maps import within_channels
from .recurrent import cell, recurrent
from .shapes import (
    channel_shuffle,
    fold,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    reshape,
    unfold_images,
)

LayerRule = Callable[[Any, str, Any, RuleContext], Any]


def _linear(layer: nn.Linear, name: str, x: Tensor, context: RuleContext) -> Tensor:
    labels = context.labels
    if _mixes_positions(x, context) and context.node not in labels.in_vain:
        labels.mixing[context.node] = x
        return x[..., :1].expand(context.shape)
    return context.spread(_dense(layer, name, x, context), -1)


def _mixes_positions(x: Tensor, context: RuleContext) -> bool:
    """Tell whether a linear layer reads positions, each channel by itself.

    As those of `x.transpose(1, 2)`, (n, channels, positions), in mixers.
    """
    labels = context.labels
    apart = any(labels.vary(x, d) for d in range(1, x.ndim - 1))
    return apart and not labels.vary(x, -1) and not labels.has_inputs(x)


def _dense(layer: nn.Linear, name: str, x: Tensor, context: RuleContext) -> Tensor:
    """Return the channels that a linear layer makes, (out,)."""
    bias = None if layer.bias is None else f"{name}.bias"
    ins, out = multiply(context, x, f"{name}.weight", bias, reads=1, of=-1)
    count_sizes(context, layer, name, ins, out)
    return out


def multiply(
    context: RuleContext, x: Tensor, weight: str, bias: str | None, reads: int, of: int
) -> tuple[Tensor, Tensor]:
    """Say that a weight of two or more dimensions multiplies a dimension `of` x.

    The weight's dimension `reads` reads channels, the other of its first two makes
    them. Returns the channels that are read and those that are made.
    """
    ins = context.read(weight, reads, x, of=of)
    out = context.produce(weight, 1 - reads)
    if bias is not None:
        shape = get_tensor(context.labels.module, bias).shape
        if shape[-1] == len(out):  # and is not one number for all
            context.produce(bias, len(shape) - 1, out)
    return ins, out


def count_sizes(
    context: RuleContext, layer: nn.Module, name: str, ins: Tensor, out: Tensor
) -> None:
    """Say which attributes of a layer count the channels that it reads and makes."""
    for kind, what in ((nn.Linear, "features"), (_ConvNd, "channels")):
        if isinstance(layer, kind):
            context.count(f"{name}.in_{what}", ins)
            context.count(f"{name}.out_{what}", out)


def _bilinear(layer: nn.Bilinear, name: str, x: Any, context: RuleContext) -> Any:
    if not isinstance(x, tuple) or len(x) != 2:
        return NotImplemented
    for i, given in enumerate(x, 1):
        v = context.read(f"{name}.weight", i, given, of=-1)
        context.count(f"{name}.in{i}_features", v)
    out = context.produce(f"{name}.weight", 0)
    if layer.bias is not None:
        context.produce(f"{name}.bias", 0, out)
    context.count(f"{name}.out_features", out)
    return context.spread(out, -1)


def _conv(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    transposed = isinstance(layer, _ConvTransposeNd)
    ins = 0 if transposed else 1  # the dimension of the weight that reads
    v = context.channels(x)
    bias = None if layer.bias is None else f"{name}.bias"
    if layer.groups == 1:
        _, out = multiply(context, x, f"{name}.weight", bias, reads=ins, of=1)
    else:
        # A group goes whole, with what it reads and what it makes: its slots are those
        # of the weight's first dimension, of outputs or, transposed, of inputs.
        out = context.labels.fresh(layer.out_channels)
        context.produce(f"{name}.weight", 0, v if transposed else out)
        members = torch.cat([v.view(layer.groups, -1), out.view(layer.groups, -1)], 1)
        context.tie(members[:, 1:], members[:, :1])
        context.count(f"{name}.groups", members[:, 0])
        if bias is not None:
            context.produce(bias, 0, out)
    count_sizes(context, layer, name, v, out)
    return context.spread(out)


def _normed(layer: Any, name: str, x: Tensor, context: RuleContext) -> Tensor:
    """Let channels take their columns of the weight with them, as zeros."""
    dense = isinstance(layer, nn.Linear)
    weight, norm = f"{name}.weight", f"{name}.norm"
    out = (_linear if dense else _conv)(layer, name, x, context)
    made = context.channels(out, -1 if dense else 1)
    read = context.channels(x, -1 if dense else 1)
    if dense or layer.groups == 1:
        context.produce(weight, 1, read)
    if isinstance(layer.norm, SpectralNorm):
        positions = layer.weight[0, 0].numel()
        context.carry(f"{norm}.u", 0, made)
        if dense or layer.groups == 1:
            context.carry(f"{norm}.v", 0, read.repeat_interleave(positions))
    elif layer.norm.scale is not None and layer.norm.scale.numel() > 1:
        context.produce(f"{norm}.scale", 0, made)
    return out


def _norm(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    v = context.channels(x)
    if isinstance(layer, nn.GroupNorm):
        if layer.num_groups == 1:
            return _keep_whole(layer, name, x, context)
        groups = v.view(layer.num_groups, -1)  # normalised, and gone, together
        context.tie(groups[:, 1:], groups[:, :1])
        context.count(f"{name}.num_groups", groups[:, 0])
        context.count(f"{name}.num_channels", v)
    else:
        context.count(f"{name}.num_features", v)
    for tensor in ("weight", "bias"):
        # Without scale and shift a zeroed unit leaves as -mean/std, a constant that
        # compaction folds into the next layer.
        if context.labels.has(f"{name}.{tensor}"):
            context.produce(f"{name}.{tensor}", 0, v)
    for tensor in ("running_mean", "running_var"):
        if context.labels.has(f"{name}.{tensor}"):
            context.carry(f"{name}.{tensor}", 0, v)
    return x


def _mean_norm(layer: Norm, name: str, x: Tensor, context: RuleContext) -> Tensor:
    if layer.weight is None and not isinstance(layer, RMSNorm):
        return _keep_whole(layer, name, x, context)  # a zero would leave as -mean/std
    if x.shape[layer.dim] > 1 and not context.labels.vary(x, layer.dim):
        return x  # as of each head by itself
    v = context.average(f"{name}.width", x, layer.dim)
    for tensor in ("weight", "bias"):
        if context.labels.has(f"{name}.{tensor}"):
            context.produce(f"{name}.{tensor}", 0, v)
    return x


def _keep_whole(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    context.pin(x, f"{type(layer).__name__} {name!r} couples them")
    return x


def _prelu(layer: nn.PReLU, name: str, x: Tensor, context: RuleContext) -> Tensor:
    if layer.num_parameters > 1:
        v = context.channels(x)
        context.carry(f"{name}.weight", 0, v)
        context.count(f"{name}.num_parameters", v)
    return x


def _elementwise(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    return x


def _spatial(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    return within_channels(context, x)


def _padding(layer: Any, name: str, x: Tensor, context: RuleContext) -> Any:
    constant = isinstance(layer, _ConstantPadNd)
    return pad(context, x, layer.padding, "constant" if constant else "by the rest")


def _glu(layer: nn.GLU, name: str, x: Tensor, context: RuleContext) -> Tensor:
    return glu(context, x, layer.dim)


def _softmax(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    if layer.dim is None or context.labels.vary(x, layer.dim):
        return _keep_whole(layer, name, x, context)
    return x


def _flatten(layer: nn.Flatten, name: str, x: Tensor, context: RuleContext) -> Tensor:
    return reshape(context, x)


def _windows(layer, name: str, x: Tensor, context: RuleContext) -> Any:
    return (fold if isinstance(layer, nn.Fold) else unfold_images)(context, x)


def _shuffle(layer, name: str, x: Tensor, context: RuleContext) -> Tensor:
    if isinstance(layer, nn.PixelShuffle):
        return pixel_shuffle(context, x, layer.upscale_factor)
    if isinstance(layer, nn.PixelUnshuffle):
        return pixel_unshuffle(context, x, layer.downscale_factor)
    return channel_shuffle(context, x, layer.groups)


def _embedding(
    layer: nn.Embedding, name: str, x: Tensor, context: RuleContext
) -> Tensor:
    context.pin(x, f"Embedding {name!r} looks them up")
    out = context.produce(f"{name}.weight", 1)
    context.count(f"{name}.embedding_dim", out)
    return context.spread(out, -1)


def _attention(
    layer: MultiheadAttention, name: str, x: Any, context: RuleContext
) -> Any:
    given = x[:3] if isinstance(x, tuple) else (x, x, x)
    made = [
        _dense(getattr(layer, part), f"{name}.{part}", read, context)
        for part, read in zip(("query", "key", "value"), given, strict=True)
    ]
    heads = torch.cat([m.view(-1, layer.head_dim) for m in made], dim=1)
    context.tie(heads, heads[:, :1])  # a head goes whole
    out = _dense(layer.out_proj, f"{name}.out_proj", made[2], context)
    label = context.labels.fresh(1)
    context.pin(label, f"they are weights of attention of {name!r}")
    return out.expand(*given[0].shape[:-1], -1), PinnedParts(label)


def _number_embedding(
    layer: NumberEmbedding, name: str, x: Tensor, context: RuleContext
) -> Tensor:
    # What an input becomes is that input still: the next layer reads it, and all that
    # belongs to the embedding goes with it.
    v = context.channels(x, -1)
    for tensor, _ in chain(layer.named_parameters(), layer.named_buffers()):
        context.carry(f"{name}.{tensor}", 0, v)
    context.count(f"{name}.n_features_in", v)
    return context.spread(v.repeat_interleave(layer.width), -1)


def _input_scale(
    layer: InputScale, name: str, x: Tensor, context: RuleContext
) -> Tensor:
    v = context.channels(x, -1)[:: layer.width]
    context.carry(f"{name}.weight", 0, v)
    context.count(f"{name}.n_features_in", v)
    return x


def _scatter_inputs(
    layer: ScatterInputs, name: str, x: Tensor, context: RuleContext
) -> Tensor:
    v = context.read(f"{name}.weight", 0, x, of=-1)
    for tensor in ("places", "scaled"):
        if context.labels.has(f"{name}.{tensor}"):
            context.carry(f"{name}.{tensor}", 0, v)
    return kept_whole(context, "they meet the inputs at their places")


LAYER_RULES: dict[type[nn.Module], LayerRule] = {
    nn.Linear: _linear,
    nn.Bilinear: _bilinear,
    nn.PReLU: _prelu,
    nn.Flatten: _flatten,
    nn.Embedding: _embedding,
    nn.GLU: _glu,
    **dict.fromkeys(NORMED.values(), _normed),
    MultiheadAttention: _attention,
    ScatterInputs: _scatter_inputs,
    InputScale: _input_scale,
    PeriodicEmbedding: _number_embedding,
    PiecewiseEmbedding: _number_embedding,
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
    **dict.fromkeys(NORMS, _mean_norm),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), _keep_whole),
    **dict.fromkeys((nn.LogSoftmax, nn.Softmax, nn.Softmin), _softmax),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), recurrent),
    **dict.fromkeys((nn.RNNCell, nn.LSTMCell, nn.GRUCell), cell),
    **dict.fromkeys(
        (nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish,
         nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.RReLU,
         nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign,
         nn.Tanh, nn.Tanhshrink, nn.Threshold, nn.AlphaDropout, nn.Dropout,
         nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout,
         nn.Identity, SmoothClip),
        _elementwise,
    ),
    **dict.fromkeys(
        (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d,
         nn.MaxPool3d, nn.LPPool1d, nn.LPPool2d, nn.AdaptiveAvgPool1d,
         nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d,
         nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.Upsample,
         nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
        _spatial,
    ),
    **dict.fromkeys(
        (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, nn.ZeroPad1d,
         nn.ZeroPad2d, nn.ZeroPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d,
         nn.ReflectionPad3d, nn.ReplicationPad1d, nn.ReplicationPad2d,
         nn.ReplicationPad3d, nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
        _padding,
    ),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), _shuffle),
    **dict.fromkeys((nn.Fold, nn.Unfold), _windows),
}  # fmt: skip
# Those of torchvision by their names: to import it for its classes costs seconds. And
# convolutions of timm that pad as many zeros as TensorFlow does.
LAYER_RULES_BY_NAME: dict[str, LayerRule] = {
    "timm.layers.conv2d_same.Conv2dSame": _conv,
    "torchvision.ops.stochastic_depth.StochasticDepth": _elementwise,
}
