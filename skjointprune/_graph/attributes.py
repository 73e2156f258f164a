"""Labels of tensors that code uses by themselves, and not by the rule of a layer."""

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from .labels import CONSTANT, Split, all_differ, varies
from .rules.context import RuleContext, kept_whole
from .rules.contractions import PRODUCTS
from .rules.elementwise import NUMBER_BY_NUMBER, multiply
from .rules.faces import (
    CONVOLUTIONS,
    MULTIPLY,
    Weight,
    leads_to_products,
    n_groups,
    weight_of,
)
from .rules.functions import function_name
from .rules.registry import function_rule, layer_rule
from .tensors import QUESTIONS, get_tensor, locate_tensor


def is_question(node: fx.Node) -> bool:
    """Tell whether a node asks a tensor for its size, type or device."""
    asks = node.target is getattr or node.target in QUESTIONS
    return asks and "value" in node.meta


def label_attribute(
    module: nn.Module, node: fx.Node, context: RuleContext, at: dict[fx.Node, Any]
) -> Tensor | Weight:
    """Label a tensor that the code uses by itself."""
    name, labels = str(node.target), context.labels
    if all(is_question(user) for user in node.users):
        return kept_whole(context, f"{name!r} is asked for its size or type")
    held = get_tensor(module, name)
    long = [d for d, n in enumerate(held.shape) if n > 1]
    if not long:
        return torch.full(held.shape, CONSTANT)
    if not labels.has(name):
        return torch.full(held.shape, CONSTANT)  # numbers that the code writes
    if leads_to_products(node):
        return weight_of(module, name, context)
    every = long
    # choices of tensors go on by themselves, and not with those of the code's views
    owner = f"tensors of {context.owner}"
    if all(_convolves_each(user, len(held)) for user in node.users):
        long = long[:1] if held.shape[0] > 1 else []
    elif len(long) > 1 and (looked_up := _looked_up_along(node)) is not None:
        long = [d for d in long if d != looked_up]
    elif len(long) > 1:  # channels are where those of an elementwise partner are
        long = [
            d
            for d in long
            for x in _partners(node, at)
            if x.ndim >= held.ndim - d and all_differ(x, d - held.ndim)
        ]
        if len({*long}) == 1 and (others := _spread_along(node, at, every, long[0])):
            long = [labels.choose(owner, node.name, [long[0], *others])]
    elif any(_meets_others(x, long[0] - held.ndim) for x in _partners(node, at)):
        return torch.full(held.shape, CONSTANT)
    if not long and not isinstance(held, nn.Parameter):  # a mask, for example
        return torch.full(held.shape, CONSTANT)
    unknown = _is_used_without_rule(node)
    if len({*long}) != 1 and not unknown and all(map(_has_rule, node.users)):
        long = [labels.choose(owner, node.name, every[::-1])]
    elif len({*long}) != 1:
        why = f"{name!r} is used by itself"
        bare = layer_rule(locate_tensor(module, name)[0]) is None
        if bare and unknown and isinstance(held, nn.Parameter):
            labels.without_rule.setdefault(name, why)
        for d in range(held.ndim):
            whole = labels.fresh(held.shape[d])
            context.pin(whole, why)
            context.carry(name, d, whole)
        return kept_whole(context, why)
    v = labels.fresh(held.shape[long[0]])
    if isinstance(held, nn.Parameter):
        v = context.produce(name, long[0], v)
    elif labels.chosen.get(node.name) and node.name not in labels.splits:
        return torch.full(held.shape, CONSTANT)
    else:  # where it meets no channels, its numbers are of none
        context.carry(name, long[0], v)
        labels.splits.setdefault(node.name, Split(node.name, 1, v, is_last=True))
    if node.name in labels.splits:
        labels.splits[node.name].x = v
    return context.spread(v, long[0])


def _convolves_each(node: fx.Node, n: int) -> bool:
    """Tell whether a function convolves each of n channels by itself."""
    groups = n_groups(node)
    counted = isinstance(groups, fx.Node) or groups == n > 1
    return function_name(node) in CONVOLUTIONS and counted


def _spread_along(
    node: fx.Node, at: dict[fx.Node, Any], dims: list[int], of_partner: int
) -> list[int]:
    """Return dimensions along which a tensor spreads what it is multiplied by.

    As embeddings of numbers do: `x[:, :, None] * self.weight`.
    """
    if not all(function_rule(user) is multiply for user in node.users):
        return []
    n, partners = len(node.meta["shape"]), _partners(node, at)
    return [
        d
        for d in dims
        if d != of_partner
        if all(x.ndim < n - d or x.shape[d - n] == 1 for x in partners)
    ]


def _meets_others(x: Tensor, dim: int) -> bool:
    """Tell whether channels of a partner differ along others than a tensor's dimension.

    Each of them then meets all numbers of the tensor.
    """
    dims = [d for d in range(1, x.ndim) if varies(x, d)]
    return x.ndim >= -dim and bool(dims) and x.ndim + dim not in dims


def _looked_up_along(node: fx.Node) -> int | None:
    """Return the dimension along which tensors of positions look numbers up, if any."""
    found = set()
    for user in node.users:
        if user.target is not operator.getitem or user.args[0] is not node:
            return None
        key = user.args[1]
        keys = list(key) if isinstance(key, tuple | list) else [key]
        tensors = [d for d, k in enumerate(keys) if isinstance(k, fx.Node)]
        plain = all(k == slice(None) for k in keys if not isinstance(k, fx.Node))
        if not plain or len(tensors) != 1:
            return None
        found.add(tensors[0])
    return found.pop() if len(found) == 1 else None


def _partners(node: fx.Node, at: dict[fx.Node, Any]) -> list[Tensor]:
    """Return labels of what a tensor is added to, multiplied by or compared with.

    Or slices of it, that have as many dimensions.
    """
    users = [u for u in node.users if function_rule(u) in NUMBER_BY_NUMBER]
    found = [at.get(n) for user in users for n in user.all_input_nodes]
    parts = [part for u in node.users if _is_slice(u) for part in _partners(u, at)]
    return [x for x in found if isinstance(x, Tensor)] + parts


def _is_slice(node: fx.Node) -> bool:
    if node.target is not operator.getitem:
        return False
    key: Any = node.args[1]
    keys = list(key) if isinstance(key, tuple | list) else [key]
    while keys and keys[0] is None:  # one more dimension, in front
        del keys[0]
    return all(isinstance(k, slice) for k in keys)


def _has_rule(node: fx.Node) -> bool:
    """Tell whether there is a rule for a function that uses a tensor."""
    named = function_name(node) in MULTIPLY or is_question(node)
    return named or function_rule(node) is not None


def _is_used_without_rule(node: fx.Node) -> bool:
    """Tell whether a function of torch without a rule uses a tensor.

    Or uses what is computed from this tensor alone.
    """
    for user in node.users:
        home = getattr(user.target, "__module__", None) or "torch"
        of_torch = user.op != "call_module" and home.partition(".")[0] == "torch"
        if of_torch and function_rule(user) in (None, *PRODUCTS):
            return True
        if user.all_input_nodes == [node] and _is_used_without_rule(user):
            return True
    return False
