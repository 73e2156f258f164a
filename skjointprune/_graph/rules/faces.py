"""Faces: labels of weights, along each of their dimensions.

`weights.py` says what they are for.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from ..labels import varies
from ..tensors import QUESTIONS, get_tensor
from .context import RuleContext
from .functions import function_name
from .registry import registered_rule

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
MULTIPLY = (
    "addmm", "bmm", "einsum", "linear", "matmul", "mm", "tensordot", *CONVOLUTIONS
)  # fmt: skip


@dataclass
class Face:
    """Labels of a weight along one dimension of a parameter, in the weight's shape.

    `of` are the parameters, their dimensions, and the labels of the slots there.
    """

    labels: Tensor
    of: list[tuple[str, int, Tensor]]


@dataclass
class Weight:
    """The faces of a tensor that is computed of parameters and buffers alone."""

    faces: list[Face]
    parameters: set[str]
    computed: bool = False

    def keep_whole(self, context: RuleContext, why: str) -> None:
        """Keep the parameters whole, and say so."""
        for name in self.parameters:
            if context.labels.is_parameter(name):
                context.labels.without_rule.setdefault(name, why)
        for face in self.faces:
            context.pin(face.labels, why)

    def along(self, dim: int) -> list[Face]:
        """Return the faces whose labels differ along a dimension."""
        return [face for face in self.faces if varies(face.labels, dim)]


def weight_of(module: nn.Module, name: str, context: RuleContext) -> Weight:
    """Return the labels of a parameter, new ones along each of its dimensions."""
    shape = tuple(get_tensor(module, name).shape)
    faces = []
    for dim, n in enumerate(shape):
        view = [1] * len(shape)
        view[dim] = n
        if n > 1:
            slots = context.labels.bind(name, dim, "carry", context.labels.fresh(n))
            faces.append(Face(slots.view(view).expand(shape), [(name, dim, slots)]))
    return Weight(faces, {name})


def leads_to_products(node: fx.Node) -> bool:
    """Tell whether rows are multiplied by a tensor, or by what is computed of it.

    And whether nothing else is done with it.
    """
    if any(registered_rule(user) for user in node.users):
        return False
    return any(not _asks(user) for user in node.users) and all(
        _asks(user)
        or (
            leads_to_products(user)
            if _is_of_parameters(user)
            else _multiplies_by(user, node)
        )
        for user in node.users
    )


def _multiplies_by(user: fx.Node, node: fx.Node) -> bool:
    """Tell whether a function multiplies by a tensor, which is not its bias."""
    name = function_name(user)
    biases = [user.kwargs.get("bias"), *user.args[2:3]]
    if name == "addmm":
        biases = [*user.args[:1]]
    elif name not in ("linear", *CONVOLUTIONS):
        biases = []
    by_channel = name in CONVOLUTIONS and n_groups(user) != 1
    return name in MULTIPLY and node not in biases and not by_channel


def n_groups(node: fx.Node) -> Any:
    """Return the number of groups that a convolution is told, or the node of it."""
    return node.args[6] if len(node.args) > 6 else node.kwargs.get("groups", 1)


def _asks(node: fx.Node) -> bool:
    return "value" in node.meta and (node.target is getattr or node.target in QUESTIONS)


def _is_of_parameters(node: fx.Node) -> bool:
    """Tell whether a tensor is computed of parameters, buffers and sizes alone."""
    if node.op in ("placeholder", "call_module", "output"):
        return False
    if node.op == "get_attr" or "value" in node.meta:
        return True
    return all(_is_of_parameters(n) for n in node.all_input_nodes)
