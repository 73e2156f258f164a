"""Decisions of code by sizes, and slices at attributes: which stay when channels go.

The graph holds for what the code has decided. A decision stays where it compares two
sizes of the same channels, where it asks for a remainder that stays, or where it
compares a size with an attribute of a layer that is renewed when channels go. What any
other decision counts is kept whole. An attribute at which slices end or begin
(`x[:, : self.n]`, `x[:, self.n :]`) is renewed alike.
"""

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from .._layers.sizes import READERS
from .counted import Counted
from .held_numbers import HeldInt
from .labels import Labels
from .rules.functions import function_name
from .tracer import DECIDES

ASK_FOR_SIZES = (operator.getitem, getattr, len, "size", "numel", "dim", "ndimension")


class _Use(NamedTuple):
    """An attribute that a node uses, and the dimension of x that it must count.

    `whole` is what is pinned otherwise, and `why`.
    """

    node: str
    held: HeldInt
    x: Tensor
    dim: int
    whole: Tensor
    why: str


def settle_decisions(graph: fx.Graph, labels: Labels, at: dict[fx.Node, Any]) -> None:
    """Pin what decisions and slices count, or note the attributes to be renewed.

    `at` are the labels and numbers of each node.
    """
    uses = [
        _Use(node, held, x.narrow(dim, 0, min(held, x.shape[dim])), dim, x, why)
        for node, held, x, dim, why in labels.bounds
    ]
    decisions = [
        n for n in graph.nodes if DECIDES in n.meta or n.target is torch._assert
    ]
    known: dict[fx.Node, bool] = {}
    changing = [n for n in decisions if not _stays(n, labels, at, uses, known)]
    seen: set[fx.Node] = set()
    for node in changing:
        labels.pin(_counted_behind(node, at, seen), _why(node))
    by_name: dict[str, list[_Use]] = {}
    for use in uses:
        by_name.setdefault(use.held.name, []).append(use)
    for name, found in by_name.items():
        nodes = {use.node for use in found}
        alone = not found[0].held.used and nodes >= set(_others(graph, name))
        if alone and all(labels.vary(use.x, use.dim) for use in found):
            for use in found:
                labels.bind(name, 0, "count", labels.channels(use.x, use.dim))
            labels.renewed[name] = found[0].why
        else:
            for use in found:
                labels.pin(use.whole, use.why)


def _why(node: fx.Node) -> str:
    return f"the code decides by their number at {node.name!r}"


def _others(graph: fx.Graph, name: str) -> Iterator[str]:
    """Yield the nodes that compute with an attribute; sizes asked for are put in."""
    for node in graph.nodes:
        flat: list[Any] = []
        fx.node.map_aggregate((node.args, node.kwargs), flat.append)
        named = [a for a in flat if isinstance(a, HeldInt) and a.name == name]
        if named and function_name(node) not in READERS:
            yield node.name


def _stays(
    node: Any,
    labels: Labels,
    at: dict[fx.Node, Any],
    uses: list[_Use],
    known: dict[fx.Node, bool],
) -> bool:
    """Tell whether what a node computes of sizes is the same, whatever goes.

    If the attributes that are added to `uses` are renewed. `known` tells of which nodes
    that were met channels are counted behind them.
    """
    if not isinstance(node, fx.Node):
        return True
    if not _counts_channels(node, labels, at, known):
        return True
    if node.target is operator.mod and _keeps_remainder(node, labels, at):
        return True
    if node.target in (operator.eq, operator.ne):
        found = len(uses)
        if all(_stays(n, labels, at, uses, known) for n in node.args):
            return True
        del uses[found:]
        return _compare_alike(node, labels, at, uses)
    if node.target in ASK_FOR_SIZES:
        return False
    return all(_stays(n, labels, at, uses, known) for n in node.all_input_nodes)


def _keeps_remainder(node: fx.Node, labels: Labels, at: dict[fx.Node, Any]) -> bool:
    """Tell whether channels go so many at a time that a remainder stays."""
    n, by = (at[a] if isinstance(a, fx.Node) else a for a in node.args)
    if not isinstance(n, Counted) or type(by) is not int:
        return False
    if n.computed or len(n.of) != 1:
        return False
    return all(many % by == 0 for many in labels.multiples(*n.of[0]).values())


def _compare_alike(
    node: fx.Node, labels: Labels, at: dict[fx.Node, Any], uses: list[_Use]
) -> bool:
    """Tell whether a comparison is of sizes of the same channels.

    Sizes that are compared with attributes are added to `uses`.
    """
    a, b = (_several(at.get(n) if isinstance(n, fx.Node) else n) for n in node.args)
    if len(a) != len(b):
        return True  # they differ, whatever goes
    found = []
    for one, other in zip(a, b, strict=True):
        numbers = [n for n in (one, other) if isinstance(n, Counted)]
        numbers = [n for n in numbers if labels.counts_channels(n)]
        if not numbers:
            continue
        if any(n.computed or len(n.of) != 1 for n in numbers):
            return False
        if len(numbers) == 2:
            of, of_other = (labels.multiples(*n.of[0]) for n in numbers)
            if of != of_other:
                return False
            continue
        held = other if one is numbers[0] else one
        if not isinstance(held, HeldInt) or int.__ne__(held, numbers[0]):
            return False
        x, dim = numbers[0].of[0]
        found.append(_Use(node.name, held, x, dim, x, _why(node)))
    uses += found
    return True


def _several(value: Any) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _counts_channels(
    node: fx.Node, labels: Labels, at: dict[fx.Node, Any], known: dict[fx.Node, bool]
) -> bool:
    """Tell whether a number, or a decision, is computed from numbers of channels."""
    todo = [node]
    while todo:
        source = todo[-1]
        numbers = _numbers(at.get(source))
        before = source.all_input_nodes
        if source in known:
            todo.pop()
        elif numbers or source.target is operator.getitem:
            known[source] = any(map(labels.counts_channels, numbers))
        elif new := [n for n in before if n not in known]:
            todo += new
        else:
            known[source] = any(known[n] for n in before)
    return known[node]


def _numbers(value: Any) -> list[Counted]:
    """Return the numbers of channels among one value or several."""
    values = value if isinstance(value, tuple | list) else [value]
    return [v for v in values if isinstance(v, Counted)]


def _counted_behind(
    node: fx.Node, at: dict[fx.Node, Any], seen: set[fx.Node]
) -> list[Counted]:
    """Return the numbers of channels that a number, or a decision, is computed from.

    Not those behind nodes that were seen before.
    """
    found, todo = [], [node]
    while todo:
        source = todo.pop()
        if source in seen:
            continue
        seen.add(source)
        numbers = _numbers(at.get(source))  # a transposed weight has none
        found += numbers
        # one size of a shape is computed from no other of its sizes
        if not numbers and source.target is not operator.getitem:
            todo += source.all_input_nodes
    return found
