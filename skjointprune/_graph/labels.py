"""Labels of channels: which channel every number in a network belongs to.

Each channel that a layer makes gets a fresh label. Tensors of labels go through the
network in place of tensors of numbers, so that a function that only moves numbers moves
labels. Channels that must go together are tied, by union-find. Channels that cannot go
are pinned, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from .counted import Counted
from .held_numbers import HeldInt
from .tensors import get_tensor
from .ties import Ties

T = TypeVar("T")

OUTPUT = "they are the output"
CONSTANT = -1  # the label of numbers of no channel: padding, or written in the code


def varies(x: Tensor, dim: int) -> bool:
    """Tell whether labels differ along a dimension."""
    if x.shape[dim] < 2 or x.stride(dim) == 0:
        return False
    return bool((x != x.narrow(dim, 0, 1)).any())


def all_differ(x: Tensor, dim: int) -> bool:
    """Tell whether no two labels along a dimension are the same."""
    first = x.movedim(dim, 0).reshape(x.shape[dim], -1)[:, 0]
    return x.shape[dim] > 1 and len(first.unique()) == len(first)


def _without_repeats(x: Tensor) -> Tensor:
    """Return a tensor without the repeats that `expand` made."""
    for dim in range(x.ndim):
        if x.stride(dim) == 0 and x.shape[dim] > 1:
            x = x.narrow(dim, 0, 1)
    return x


def join(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Join labels along a dimension; what all of them repeat is not written out."""
    shape = list(tensors[0].shape)
    for d in range(len(shape)):
        repeated = shape[d] > 1 and all(x.stride(d) == 0 for x in tensors)
        if repeated and d != dim % len(shape):
            tensors = [x.narrow(d, 0, 1) for x in tensors]
    joined = torch.cat([*tensors], dim)
    shape[dim] = joined.shape[dim]
    return joined.expand(shape)


def _as_a_set(x: Tensor) -> bytes:
    """Return what two tensors share if they hold the same labels."""
    return _without_repeats(x).unique().numpy().tobytes()


def _place(x: Tensor) -> tuple:
    """Return where a tensor's numbers are: tensors of one place are the same."""
    return x.data_ptr(), x.shape, x.stride()


@dataclass
class Bound:
    """The labels of one dimension of one parameter or buffer, or of a count."""

    tensor: str
    dim: int
    role: str  # "produce", "carry", "read", "count" or "average"
    labels: Tensor
    of: int = 1  # for "read" and "average": the dimension of the layer's input


@dataclass
class SizeAsked:
    """A size that the code asks for, where `x` has it along a dimension.

    `owner` is the layer whose code it is, and `name` the attribute by which it can put
    another number in its place; None where it cannot. `kept` tells whether a view
    leaves this dimension, and those before it, as long as they are.
    """

    owner: str
    node: str
    name: str | None
    n: Any
    x: Tensor
    dim: int
    kept: bool = False


class HeldBound(NamedTuple):
    """A slice of x along a dimension that ends, or begins, at an attribute of a layer.

    `why` is the reason to pin x where the attribute cannot count what stands before.
    """

    node: str
    held: HeldInt
    x: Tensor
    dim: int
    why: str


@dataclass
class Split:
    """What may shrink along any of several dimensions; x are labels of its channels.

    A dimension that is split into several, for example.
    """

    owner: str  # the layer whose code it is
    n_choices: int
    x: Tensor
    is_last: bool = False  # whether all others choose before it does


@dataclass
class Labels:
    """The labels of a network: which are tied, which are pinned, and to what bound.

    `bound` are the roles of the slots of each tensor, by its name and dimension.
    `reasons` tell why labels are pinned, `without_rule` why the parameters of layers
    are not pruned.
    `sizes` are those that the code asks for, and `put_in` those that layers have to put
    in, by their names in the network. `means` are dimensions that means are taken over.
    `bounds` are slices at attributes. `splits` are
    the nodes that split a dimension, and `chosen` is which of their choices is taken,
    the first unless said. `summed` are labels of what products add up: there, a channel
    must be zero to go. `computed` are parameters of which the code computes the weights
    that it uses, and buffers that are weights: whether channels go exactly with these
    is tried. `renewed` are attributes of layers that count channels because the code
    compares sizes with them, divides or slices by them, and why these would be pinned
    otherwise: this is tried, too. `mixing` are nodes of linear layers that read
    positions of channels. There these may go, and not the units of the layer; but where
    they were found to stay, at the nodes of `in_vain`, the units may. The first
    `n_inputs` labels are those of the inputs.
    """

    module: nn.Module
    chosen: dict[str, int] = field(default_factory=dict)
    in_vain: set[str] = field(default_factory=set)
    bound: dict[tuple[str, int], dict[str, Bound]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    without_rule: dict[str, str] = field(default_factory=dict)
    sizes: list[SizeAsked] = field(default_factory=list)
    put_in: dict[str, list[SizeAsked]] = field(default_factory=dict)
    means: list[SizeAsked] = field(default_factory=list)
    bounds: list[HeldBound] = field(default_factory=list)
    splits: dict[str, Split] = field(default_factory=dict)
    summed: list[Tensor] = field(default_factory=list)
    computed: set[str] = field(default_factory=set)
    renewed: dict[str, str] = field(default_factory=dict)
    mixing: dict[str, Tensor] = field(default_factory=dict)
    n_inputs: int = 0
    _outputs: list[int] = field(default_factory=list)
    _ties: Ties = field(default_factory=Ties)
    _produced: set[bytes] = field(default_factory=set)
    _expected: dict[tuple, tuple[Counted, Tensor, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        params = self.module.named_parameters(remove_duplicate=False)
        buffers = self.module.named_buffers(remove_duplicate=False)
        first: dict[int, str] = {}
        self._canonical = {
            name: first.setdefault(id(t), name) for name, t in [*params, *buffers]
        }

    def fresh(self, n: int) -> Tensor:
        """Return n new labels, (n,)."""
        start = len(self._ties)
        self._ties.add(n)
        return torch.arange(start, start + n)

    def channels(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the label of each index along a dimension, (x.shape[dim],).

        All labels that share an index are tied.
        """
        rows = _without_repeats(x.movedim(dim, 0).unsqueeze(-1)).flatten(1)
        if rows.shape[0] != x.shape[dim]:  # all alike
            rows = rows.expand(x.shape[dim], -1)
        if rows.shape[1] > 1:
            self.tie(rows[:, 1:], rows[:, :1])
        return rows[:, 0]

    def canonical(self, tensor: str) -> str:
        """Return the first name of a tensor that has several."""
        return self._canonical.get(tensor, tensor)

    def has(self, tensor: str) -> bool:
        """Tell whether there is a parameter or buffer of this name."""
        return tensor in self._canonical

    def is_parameter(self, tensor: str) -> bool:
        """Tell whether a tensor of the network is trained, and no buffer."""
        return isinstance(get_tensor(self.module, tensor), nn.Parameter)

    def bind(
        self, tensor: str, dim: int, role: str, labels: Tensor | None, of: int = 1
    ) -> Tensor:
        """Give slots of a tensor a role for channels, new ones if not given.

        Slots that have a role already are of the same channels: these are tied.
        """
        tensor = self.canonical(tensor)
        there = self.bound.setdefault((tensor, dim), {})
        for before in there.values():
            if labels is not None:
                self.tie(labels, before.labels)
                once = (labels == CONSTANT) != (before.labels == CONSTANT)
                both = torch.cat([labels[once], before.labels[once]])
                self.pin(both, f"{tensor!r} also meets numbers that stay")
            labels = before.labels
        if labels is None:
            labels = self.fresh(get_tensor(self.module, tensor).shape[dim])
        if role not in there:
            there[role] = Bound(tensor, dim, role, labels, of)
            if role == "produce":
                self._produced.add(_as_a_set(labels))
        return labels

    def tie(self, a: Tensor, b: Tensor) -> None:
        """Let channels go together, number by number; constants are left out."""
        a, b = torch.broadcast_tensors(a, b)
        for dim in range(a.ndim):  # repeats in both are compared once
            if a.shape[dim] > 1 and a.stride(dim) == 0 and b.stride(dim) == 0:
                a, b = a.narrow(dim, 0, 1), b.narrow(dim, 0, 1)
        pairs = (a != b) & (a != CONSTANT) & (b != CONSTANT)
        self._ties.tie(a[pairs].numpy(), b[pairs].numpy())

    def find(self, label: int) -> int:
        """Return the root of a label: the one that stands for all tied to it."""
        return self._ties.root(label)

    def roots(self, labels: Tensor) -> Tensor:
        """Return the root of each label; constants stay."""
        found = torch.from_numpy(self._ties.roots(labels.clamp(min=0).numpy()))
        return torch.where(labels == CONSTANT, CONSTANT, found)

    def roots_in(self, labels: list[int]) -> set[int]:
        """Return the roots of some labels."""
        return {*self.roots(torch.tensor(labels, dtype=torch.int64)).tolist()}

    def _roots_of(self, x: Tensor) -> set[int]:
        """Return the roots of what is in a tensor, without constants."""
        return {*self.roots(_without_repeats(x).unique()).tolist()} - {CONSTANT}

    def members(self, x: Tensor) -> list[int]:
        """Return the labels that are in a tensor, without constants."""
        labels = _without_repeats(x).flatten().unique().tolist()
        return [i for i in labels if i != CONSTANT]

    def vary(self, x: Tensor, dim: int) -> bool:
        """Tell whether channels differ along a dimension, by the ties so far."""
        if not varies(x, dim):
            return False
        x = _without_repeats(x)
        return varies(self.roots(x.flatten()).view(x.shape), dim)

    def pin(self, x: Any, why: str) -> None:
        """Keep channels whole, or those that a number counts, and note why."""
        if isinstance(x, Tensor):
            for label in self.members(x):
                self.reasons.setdefault(label, why)
        elif isinstance(x, Counted):
            self.expect(x, torch.zeros(0, dtype=torch.int64), why)
        elif isinstance(x, tuple | list):
            for part in x:
                self.pin(part, why)
        elif isinstance(x, dict):
            self.pin(list(x.values()), why)

    def choose(
        self, owner: str, node: str, choices: Sequence[T], x: Tensor | None = None
    ) -> T:
        """Return one of the choices that there are at a node.

        Another is taken where nothing of x can go by this one; the labels in x may be
        set later, in `splits`.
        """
        none = torch.zeros(0, dtype=torch.int64)
        self.splits[node] = Split(owner, len(choices), none if x is None else x)
        return choices[self.chosen.get(node, 0) % len(choices)]

    def expect(self, number: Counted, x: Tensor, why: str) -> None:
        """Pin the channels that a number counts, and x, unless they are the same.

        This is decided at the end, when all ties are known. The first reason counts.
        """
        of = tuple((*_place(at), dim) for at, dim in number.of)
        key = of, number.by_attribute, _place(x)
        self._expected.setdefault(key, (number, x, why))

    def quotients(self) -> dict[str, list[tuple[Counted, str]]]:
        """Return the quotients that pin channels, and why, by what they are divided."""
        found: dict[str, list[tuple[Counted, str]]] = {}
        for number, _, why in self._expected.values():
            if number.by_attribute is not None:
                found.setdefault(number.by_attribute, []).append((number, why))
        return found

    def counts_channels(self, number: Counted) -> bool:
        """Tell whether a number counts any channels."""
        return any(self.vary(at, dim) for at, dim in number.of)

    def counted_by(self, number: Counted) -> list[int]:
        """Return the labels of channels that a number counts."""
        return [
            i for at, dim in number.of if self.vary(at, dim) for i in self.members(at)
        ]

    def counts(self, number: Counted, x: Tensor) -> bool:
        """Tell whether a number counts no other channels than those of x."""
        counted = [self._roots_of(at) for at, dim in number.of if self.vary(at, dim)]
        return self._roots_of(x) >= set().union(*counted)

    def stays(self, number: Counted) -> bool:
        """Tell whether a number is a quotient that stays: by an attribute renewed."""
        return number.by_attribute in self.renewed

    def _settle(self) -> None:
        """Pin the channels that were expected to be the same, and are not."""
        for number, x, why in self._expected.values():
            if not self.stays(number) and not self.counts(number, x):
                self.pin([torch.tensor(self.counted_by(number)), x], why)

    def is_pinned(self, x: Tensor) -> bool:
        """Tell whether all labels are of one channel, which is pinned."""
        labels = _without_repeats(x).flatten().unique().tolist()
        if len(labels) != 1 or CONSTANT in labels:
            return False
        return self.find(*labels) in {self.find(label) for label in self.reasons}

    def has_inputs(self, x: Tensor) -> bool:
        """Tell whether there are labels of inputs in a tensor."""
        return any(i < self.n_inputs for i in self.members(x))

    def is_produced(self, x: Tensor) -> bool:
        """Tell whether these are the labels of a parameter that produces channels."""
        return _as_a_set(x) in self._produced

    def multiples(self, x: Tensor, dim: int) -> dict[int, int]:
        """Return how many numbers along a dimension go with each root."""
        of, many = self.roots(self.channels(x, dim)).unique(return_counts=True)
        counts = dict(zip(of.tolist(), many.tolist(), strict=True))
        counts.pop(CONSTANT, None)
        return counts

    def set_outputs(self, x: Tensor) -> None:
        """Pin the labels of the outputs."""
        self._outputs = self.members(x)

    def count_free(self) -> int:
        """Count the slots of tensors that may go without all others along them."""
        pinned = self.reasons_of_roots()
        count = 0
        for there in self.bound.values():
            roots = self.roots(next(iter(there.values())).labels).tolist()
            if len(set(roots)) > 1:
                count += sum(root not in pinned for root in roots)
        return count

    def reasons_of_roots(self) -> dict[int, str]:
        """Return why each root is pinned that is."""
        self._settle()
        found = dict.fromkeys(map(self.find, self._outputs), OUTPUT)
        for label, reason in self.reasons.items():
            found.setdefault(self.find(label), reason)
        return found
