"""Rules of functions that multiply by a parameter, as `F.linear(x, self.weight)` does.

They do what a layer does, and have its rule.
"""

from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from ..._layers.sizes import ARGUMENTS
from ..tensors import get_tensor, locate_tensor
from .context import RuleContext
from .elementwise import pin_what_meets_constants
from .functions import function_name
from .layers import count_sizes, multiply
from .registry import registered_rule

# By function: the dimension of the weight that reads, and the one of x that is read.
READS = {
    "linear": (1, -1),
    "matmul": (0, -1),
    "mm": (0, -1),
    "addmm": (0, -1),
    "conv1d": (1, 1),
    "conv2d": (1, 1),
    "conv3d": (1, 1),
}
# Functions, methods and attributes that transpose a matrix.
TRANSPOSES = ("t", "T", "mT", "transpose", "swapaxes", "swapdims")
ARGUMENTS_OF = {"addmm": ("bias", "input", "weight")}


class Product(NamedTuple):
    """A function that multiplies what it is given by a parameter."""

    given: fx.Node
    weight: str
    bias: str | None
    added: fx.Node | None  # a bias that is computed
    reads: int  # dimension of the weight
    of: int  # dimension of what is given


def product_at(module: nn.Module, node: fx.Node) -> Product | None:
    """Return the product that a node is, if it is one by parameters of the module."""
    name = function_name(node)
    if name not in READS or registered_rule(node) is not None:
        return None
    names = ARGUMENTS_OF.get(name, ARGUMENTS)
    called = {"other": "weight", "mat2": "weight"}
    if name == "addmm":
        called |= {"input": "bias", "mat1": "input"}
    more = {called.get(k, k): v for k, v in node.kwargs.items()}
    if len(node.args) > len(names) or (name == "addmm" and not more.keys() <= {*names}):
        return None
    given: dict[str, Any] = dict(zip(names, node.args, strict=False)) | more
    x = given.get("input")
    transposed = _transposed(module, given.get("weight"))
    weight = transposed or _parameter(module, given.get("weight"))
    bias = _parameter(module, given.get("bias"))
    added = given.get("bias") if bias is None else None
    if weight is None or given.get("groups", 1) != 1:
        return None
    # x must be computed from rows, not from parameters alone
    if not isinstance(x, fx.Node) or x.op == "get_attr" or _transposed(module, x):
        return None
    if (get_tensor(module, weight).ndim == 2) == name.startswith("conv"):
        return None
    reads, of = READS[name]
    return Product(x, weight, bias, added, 1 - reads if transposed else reads, of)


def _transposed(module: nn.Module, node: Any) -> str | None:
    """Return the name of the matrix, a parameter, that a node transposes, if any."""
    if not isinstance(node, fx.Node) or not node.args:
        return None
    name: Any = node.args[1] if node.target is getattr else function_name(node)
    swapped = [d % 2 for d in node.args[1:] if isinstance(d, int)]
    if name not in TRANSPOSES or sorted(swapped) not in ([], [0, 1]):
        return None
    weight = _parameter(module, node.args[0])
    if weight is None or get_tensor(module, weight).ndim != 2:
        return None
    return weight


def only_multiplies(module: nn.Module, node: fx.Node) -> bool:
    """Tell whether a node transposes a parameter, and only products use the result."""
    if not _transposed(module, node):
        return False
    products = [product_at(module, user) for user in node.users]
    return all(p is not None and p.given is not node for p in products)


def _parameter(module: nn.Module, node: Any) -> str | None:
    """Return the name of the parameter that a node stands for, if it does."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    name = str(node.target)
    return name if isinstance(get_tensor(module, name), nn.Parameter) else None


def label_product(
    product: Product,
    module: nn.Module,
    x: Tensor,
    added: Tensor | None,
    context: RuleContext,
) -> Tensor:
    """Apply the rule of a layer that multiplies; return labels of the output.

    `added` are labels of a bias that is computed.
    """
    _, weight, bias, _, reads, of = product
    ins, out = multiply(context, x, weight, bias, reads, of)
    layer, _ = locate_tensor(module, weight)
    sizes = (ins, out) if reads else (out, ins)  # a layer reads with the second
    count_sizes(context, layer, weight.rpartition(".")[0], *sizes)
    if added is not None:
        pin_what_meets_constants(context, [out, added])
        context.tie(out, added)
    return context.spread(out, of)
