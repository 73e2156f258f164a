"""Functions that multiply by a parameter: `F.linear(x, self.weight)`, `x @ self.W`.

They do what a layer does, and have the rule of one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from ._labels import Labels, get_tensor, owner

# The dimension of a weight that reads, and that of what is read.
READS = {
    "linear": (1, -1),
    "matmul": (0, -1),
    "conv1d": (1, 1),
    "conv2d": (1, 1),
    "conv3d": (1, 1),
}
ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
SIZES = {  # what layers call the sizes of what they read and make
    nn.Linear: ("in_features", "out_features"),
    nn.modules.conv._ConvNd: ("in_channels", "out_channels"),
}


class Product(NamedTuple):
    """A function that multiplies what it is given by a parameter."""

    given: fx.Node
    weight: str
    bias: str | None
    reads: int  # dimension of the weight
    of: int  # dimension of what is given


def product_at(module: nn.Module, node: fx.Node) -> Product | None:
    """Return the product that a node is, if it is one by parameters of the module."""
    if node.op not in ("call_function", "call_method"):
        return None
    name = getattr(node.target, "__name__", str(node.target))
    if name not in READS:
        return None
    given: dict[str, Any] = dict(zip(ARGUMENTS, node.args, strict=False))
    given |= {"weight" if k == "other" else k: v for k, v in node.kwargs.items()}
    x = given.get("input")
    weight, bias = (_parameter(module, given.get(k)) for k in ARGUMENTS[1:3])
    others = given.get("bias") is not None and bias is None
    if weight is None or others or given.get("groups", 1) != 1:
        return None
    if not isinstance(x, fx.Node) or x.op == "get_attr":  # the same for all rows
        return None
    if (get_tensor(module, weight).ndim == 2) == name.startswith("conv"):
        return None
    return Product(x, weight, bias, *READS[name])


def _parameter(module: nn.Module, node: Any) -> str | None:
    """Return the name of the parameter that a node gets, if it gets one."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    name = str(node.target)
    return name if isinstance(get_tensor(module, name), nn.Parameter) else None


def label_product(product: Product, module: nn.Module, x: Tensor, labels: Labels):
    """Do as the rule of a layer does; return the labels of what is made."""
    ins = labels.read(product.weight, product.reads, x, of=product.of)
    out = labels.produce(product.weight, 1 - product.reads)
    if product.bias is not None:
        labels.produce(product.bias, 0, out)
    labels.by_function.add(labels.canonical(product.weight))
    layer, _ = owner(module, product.weight)
    path = product.weight.rpartition(".")[0]
    for kind, (of_ins, of_out) in SIZES.items():
        if isinstance(layer, kind):
            labels.count(f"{path}.{of_ins}", ins)
            labels.count(f"{path}.{of_out}", out)
    return labels.spread(out, product.of)


class _Listening(TorchFunctionMode):
    """Notes what comes first in functions that are given some weights second."""

    def __init__(self, weights: dict[int, list[Tensor]]):
        super().__init__()
        self.weights = weights

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        x = args[0] if args else kwargs.get("input")
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        if isinstance(x, Tensor) and isinstance(weight, Tensor):
            self.weights.get(id(weight), []).append(x)
        return func(*args, **kwargs)


@contextmanager
def listening(weights: list[Tensor]) -> Iterator[dict[int, list[Tensor]]]:
    """Note, by the identity of each weight, what is multiplied by it."""
    heard: dict[int, list[Tensor]] = {id(w): [] for w in weights}
    with _Listening(heard):
        yield heard
