"""The context that a rule is given: all that it may say of channels."""

from typing import Any

import torch
from torch import Tensor

from ..._layers.sizes import Asked
from ..counted import Counted
from ..held_numbers import HeldInt
from ..labels import CONSTANT, HeldBound, Labels, SizeAsked


class RuleContext:
    """All that a rule may say of the channels of a layer or function.

    A rule gets labels and returns labels: int64 tensors of the shape that the numbers
    have, batch first. Tensors and attributes are named from the network, as in
    "0.weight".

    Parameters
    ----------
    labels : Labels
        Of the whole network. Rules of the package ask them for more; for other rules
        the methods here are enough.
    node : str
        Name of the layer or function in the graph.
    shape : tuple of int
        Shape of its output, batch first; () where the output is no tensor.
    owner : str
        Name of the layer whose code calls it.
    asked : Asked or None
        The sizes that the code asks for, if it is a function that is told sizes.
    """

    def __init__(
        self,
        labels: Labels,
        node: str,
        shape: tuple[int, ...],
        owner: str = "",
        asked: Asked | None = None,
    ):
        self.labels, self.node, self.shape = labels, node, shape
        self.owner, self.asked = owner, asked

    def produce(self, tensor: str, dim: int, labels: Tensor | None = None) -> Tensor:
        """Say that slots of a parameter make channels, new ones if not given.

        The channels are returned. All of their slots are zero in a channel that goes.
        """
        return self.labels.bind(tensor, dim, "produce", labels)

    def read(self, tensor: str, dim: int, x: Tensor, of: int = 1) -> Tensor:
        """Say that slots of a weight read the dimension `of` x; return its channels."""
        return self.labels.bind(tensor, dim, "read", self.channels(x, of), of)

    def carry(self, tensor: str, dim: int, labels: Tensor) -> None:
        """Say that slots of a tensor are removed with channels, and not zeroed."""
        self.labels.bind(tensor, dim, "carry", labels)

    def count(self, attribute: str, labels: Tensor) -> None:
        """Say that an attribute of a layer is the number of channels."""
        self.labels.bind(attribute, 0, "count", labels)

    def average(self, attribute: str, x: Tensor, of: int = -1) -> Tensor:
        """Say that a layer takes means over the dimension `of` x; return its channels.

        A channel that goes must be zero there, and still count in the mean. The
        attribute is the number of channels that are left.
        """
        return self.labels.bind(attribute, 0, "average", self.channels(x, of), of)

    def channels(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the label of each index along a dimension, (x.shape[dim],).

        All labels that share an index are tied.
        """
        return self.labels.channels(x, dim)

    def tie(self, a: Tensor, b: Tensor) -> None:
        """Let channels go together, number by number; constants are left out."""
        self.labels.tie(a, b)

    def pin(self, x: Any, why: str) -> None:
        """Keep channels whole, and note why."""
        self.labels.pin(x, why)

    def spread(self, labels: Tensor, dim: int = 1) -> Tensor:
        """Return labels of channels, (channels,), in the shape of the output."""
        view = [1] * len(self.shape)
        view[dim] = -1
        return labels.view(view).expand(self.shape)


def kept_whole(context: RuleContext, why: str) -> Tensor:
    """Return labels of an output, all of which is kept whole."""
    label = context.labels.fresh(1)
    context.pin(label, why)
    return label[0].expand(context.shape)


def filled(context: RuleContext, given: Any = (), alike: bool = True) -> Tensor:
    """Return labels of an output that the code makes out of sizes alone.

    Where all of its numbers are `alike`, and the code asks for as many as there are
    channels, it is of these channels.
    """
    sizes: Any = ()
    if alike:
        sizes = next((s for s in (given, *given) if _is_shape(s, context.shape)), ())
    counted = [
        (d, *n.of[0])
        for d, n in enumerate(sizes)
        if isinstance(n, Counted) and len(n.of) == 1 and not n.computed
        if context.labels.counts_channels(n)
    ]
    if counted:
        more = [] if sizes is given else [g for g in given if g is not sizes]
        context.pin(more, f"their number is part of what {context.node!r} computes")
        dim, x, along = counted[0]
        if len(counted) > 1:  # one label is of one channel
            counted.sort(key=lambda of: sizes[of[0]], reverse=True)
            chosen = context.labels.choose(context.owner, context.node, counted)
            dim, x, along = chosen
            context.labels.splits[context.node].x = context.channels(x, along)
            others = [sizes[d] for d, *_ in counted if d != dim]
            context.pin(others, f"their number is a size at {context.node!r}")
        return context.spread(context.channels(x, along), dim)
    held = [d for d, n in enumerate(sizes) if isinstance(n, HeldInt)]
    if held:  # whether it counts units is known at the end
        dim = context.labels.choose(context.owner, context.node, held[::-1])
        out = context.spread(context.labels.fresh(context.shape[dim]), dim)
        context.labels.splits[context.node].x = out
        why = f"their number is a size at {context.node!r}"
        bound = HeldBound(context.node, sizes[dim], out, dim, why)
        context.labels.bounds.append(bound)
        return out
    context.pin(given, f"their number is a size at {context.node!r}")
    per_row = context.shape[1:] or context.shape
    if torch.Size(per_row).numel() == 1:  # it fits whatever it meets
        return torch.full(context.shape, CONSTANT)
    return kept_whole(context, f"the size of {context.node!r} does not follow them")


def _is_shape(sizes: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(sizes, tuple | list) and tuple(sizes) == shape


def ask_size(
    context: RuleContext, i: int, n: Any, x: Tensor, dim: int, kept: bool = False
) -> None:
    """Say that the code asks for a size, the one of a dimension of x.

    `i` is its position among the sizes that are asked for. Where channels go, and the
    size is not computed from their number, the layer whose code it is puts in how many
    are left.
    """
    if not isinstance(n, int) or n >= 0:  # or torch finds out
        name = None if context.asked is None else context.asked.name(i)
        context.labels.sizes.append(
            SizeAsked(context.owner, context.node, name, n, x, dim, kept)
        )


def count_in_mean(context: RuleContext, x: Tensor, dim: int) -> None:
    """Say that a mean is taken over a dimension of x: the layer may have to count."""
    assert context.asked is not None
    name, n = context.asked.name(dim), x.shape[dim]
    asked = SizeAsked(context.owner, context.node, name, n, x, dim)
    context.labels.means.append(asked)


class PinnedParts:
    """The output of a layer, of any parts and shapes, all of which is kept whole."""

    def __init__(self, label: Tensor):
        self.label = label
