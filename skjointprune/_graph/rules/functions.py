"""Rules of functions and methods of tensors, by name.

A rule is given a `RuleContext` and the function's own arguments, with labels in place
of tensors. It returns labels of the function's output, or NotImplemented.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

from . import contractions as contraction
from . import elementwise as number
from . import maps, normalisations, reductions
from . import positions as position
from . import shapes as shape

ELEMENTWISE = (
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul", "alpha_dropout",
    "and", "angle", "asin", "asinh", "atan", "atan2", "atanh", "bernoulli", "bool",
    "ceil", "celu", "clamp", "clamp_max", "clamp_min", "clip", "clone", "complex",
    "conj", "contiguous", "copysign", "cos", "cosh", "detach", "div", "divide",
    "double", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "eq", "erf",
    "erfc", "exp", "exp2", "expand_as", "expm1", "feature_alpha_dropout", "float",
    "float_power", "floor", "floordiv", "fmod", "frac", "ge", "gelu", "greater",
    "greater_equal", "gt", "half", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "heaviside", "hypot", "iadd", "int", "invert", "isfinite", "isinf",
    "isnan", "isub", "itruediv", "le", "leaky_relu", "lerp", "less", "less_equal",
    "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logit", "logsigmoid", "long", "lt",
    "masked_fill", "maximum", "minimum", "mish", "mod", "nan_to_num", "ne", "neg",
    "negative", "not_equal", "or", "polar", "positive", "pow", "reciprocal", "relu",
    "relu6", "remainder", "round", "rrelu", "rsqrt", "rsub", "selu", "sgn", "sigmoid",
    "sign", "silu", "sin", "sinc", "sinh", "softplus", "softshrink", "softsign",
    "sqrt", "square", "sub", "subtract", "tan", "tanh", "tanhshrink", "_threshold",
    "threshold", "true_divide", "truediv", "trunc", "where", "xlogy", "xor",
)  # fmt: skip
SAME = (
    "empty_like", "full_like", "ones_like", "rand_like", "randn_like",
    "stochastic_depth", "to", "tril", "triu", "type", "type_as", "zeros_like",
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
    "all", "amin", "any", "count_nonzero", "logsumexp", "nanmean", "nansum",
    "prod", "std", "var",
)  # fmt: skip
# Functions that make tensors of some sizes, whose numbers follow no position.
FILLED = ("empty", "full", "ones", "rand", "randn", "zeros")

TRANSFORMS = {"": -1, "2": (-2, -1), "n": None}  # of Fourier: over which dimensions

# A name means the same among functions of operator, torch and torch.nn.functional and
# among methods of tensors.
FUNCTION_RULES: dict[str, Callable] = {
    **dict.fromkeys(ELEMENTWISE, number.elementwise),
    **dict.fromkeys(("imul", "mul", "multiply"), number.multiply),
    **dict.fromkeys(SAME, number.unchanged),
    **dict.fromkeys(POOLS, maps.within_channels),
    **dict.fromkeys(REDUCTIONS, reductions.reduce),
    "mean": reductions.mean,
    "sum": reductions.add_up,
    **dict.fromkeys(("norm", "linalg_norm", "linalg_vector_norm"), reductions.norm),
    "amax": reductions.amax,
    "max": reductions.largest,
    **dict.fromkeys(("median", "min"), reductions.extreme),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), maps.depthwise),
    **dict.fromkeys(("layer_norm", "rms_norm"), normalisations.layer_norm),
    **dict.fromkeys(("std_mean", "var_mean"), reductions.spread_and_mean),
    **dict.fromkeys(("cummax", "cummin", "sort"), reductions.ordered),
    "topk": reductions.topk,
    "gather": position.gather,
    "affine_grid": maps.places,
    "grid_sample": maps.sampled,
    "cosine_similarity": reductions.cosine_similarity,
    **dict.fromkeys(("cat", "concat", "concatenate"), shape.concatenate),
    "hstack": shape.hstack,
    "unfold": shape.unfold,
    "fold": shape.fold,
    "view_as_complex": shape.view_as_complex,
    "view_as_real": shape.view_as_real,
    **dict.fromkeys(("view", "reshape"), shape.view),
    **dict.fromkeys(
        ("new_empty", "new_full", "new_ones", "new_zeros"), shape.new_filled
    ),
    "new_tensor": shape.of_numbers,
    **{name: shape.move_labels(getattr(Tensor, name)) for name in MOVES},
    **{
        name: position.take_by_position(getattr(Tensor, name))
        for name in ("narrow", "select", "unbind")
    },
    **dict.fromkeys(("batch_norm", "instance_norm"), normalisations.by_channel),
    "group_norm": normalisations.group_norm,
    "normalize": normalisations.normalize,
    "softmax": reductions.softmax,
    **dict.fromkeys(("log_softmax", "softmin"), reductions.couple_along),
    **dict.fromkeys(("cumprod", "cumsum", "logcumsumexp"), reductions.couple_along),
    **dict.fromkeys(("reshape_as", "view_as"), shape.view_as),
    **dict.fromkeys(("matmul", "bmm", "mm"), contraction.matmul),
    "baddbmm": contraction.baddbmm,
    "einsum": contraction.einsum,
    "scaled_dot_product_attention": contraction.attend,
    "stack": shape.stack,
    "column_stack": shape.column_stack,
    "embedding": position.embedding,
    **{
        f"fft_{kind}fft{of}": reductions.transform(dims)
        for of, dims in TRANSFORMS.items()
        for kind in ("", "i", "r", "ir")
    },
    "flatten": shape.flatten,
    "unflatten": shape.unflatten,
    "chunk": shape.chunk,
    "glu": number.glu,
    "split": shape.split,
    "getitem": position.index,
    "setitem": position.assign,
    "pad": shape.pad,
    "roll": shape.roll,
    "squeeze": shape.squeeze,
    "expand": shape.expand,
    "repeat": shape.repeat,
    "repeat_interleave": shape.repeat_interleave,
    "pixel_shuffle": shape.pixel_shuffle,
    "pixel_unshuffle": shape.pixel_unshuffle,
    "channel_shuffle": shape.channel_shuffle,
}


def function_name(node: fx.Node) -> str | None:
    """Return the name of a method, or of a function of Python, torch or torchvision.

    The name of an overload such as "conv2d.default", which `torch.export` calls, is its
    first part: so it has the rule of the function. Operators of others have no name.
    """
    if node.op == "call_method":
        return str(node.target)
    if node.op != "call_function":
        return None
    target: Any = node.target
    home = (getattr(target, "__module__", None) or "torch").split(".")
    if home[0] not in ("_operator", "torch", "torchvision"):
        return None
    if home[:2] == ["torch", "_ops"] and home[2:] not in (["aten"], ["torchvision"]):
        return None
    return target.__name__.partition(".")[0]
