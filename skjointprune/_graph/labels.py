"""Labels: which channel every number in a network belongs to.

Each channel that a layer makes gets a fresh label. A tensor of labels goes through the
network in place of the tensor of numbers, so that whatever only moves numbers moves
labels. What must live and die together is tied, by union-find; what cannot go is
pinned, with the reason.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .tensors import get_tensor

OUTPUT = "they are the output"
CONSTANT = -1  # the label of what is no channel: padding, a number in the code


def varies(x: Tensor, dim: int) -> bool:
    """Tell whether labels differ along a dimension."""
    if x.shape[dim] < 2 or x.stride(dim) == 0:
        return False
    return bool((x != x.narrow(dim, 0, 1)).any())


def all_differ(x: Tensor, dim: int) -> bool:
    """Tell whether no two labels along a dimension are the same."""
    first = x.movedim(dim, 0).reshape(x.shape[dim], -1)[:, 0]
    return x.shape[dim] > 1 and len(first.unique()) == len(first)


def _thin(x: Tensor) -> Tensor:
    """Drop the repeats of an expanded tensor."""
    for dim in range(x.ndim):
        if x.stride(dim) == 0 and x.shape[dim] > 1:
            x = x.narrow(dim, 0, 1)
    return x


class Counted:
    """A number that the traced code computes from sizes.

    `of` are labels, and along which of their dimensions there are as many; `computed`
    is whether it is more than such a size itself.
    """

    of: list[tuple[Tensor, int]]
    computed: bool = False


class CountedInt(Counted, int):
    """Such as a size."""


class CountedFloat(Counted, float):
    """Such as the square root of a size."""


@dataclass
class Bound:
    """The labels of one dimension of one parameter or buffer, or of a count."""

    tensor: str
    dim: int
    role: str  # "produce", "carry", "read", "count" or "average"
    labels: Tensor
    of: int = 1  # of what reads or takes a mean: the dimension of what it is given


@dataclass
class Labels:
    """What rules use to say how a layer's channels hang together.

    Rules get labels and return labels: int64 tensors of the shape that the numbers
    have, batch first.
    """

    module: nn.Module
    bound: dict[tuple[str, int], dict[str, Bound]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    without_rule: dict[str, str] = field(default_factory=dict)  # layers, and why
    by_function: set[str] = field(default_factory=set)  # weights that functions read
    _outputs: list[int] = field(default_factory=list)
    _parent: list[int] = field(default_factory=list)
    _expected: list[tuple[Counted, Tensor, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        params = self.module.named_parameters(remove_duplicate=False)
        buffers = self.module.named_buffers(remove_duplicate=False)
        first: dict[int, str] = {}
        self._canonical = {
            name: first.setdefault(id(t), name) for name, t in [*params, *buffers]
        }

    def fresh(self, n: int) -> Tensor:
        """Return n new labels, (n,)."""
        start = len(self._parent)
        self._parent.extend(range(start, start + n))
        return torch.arange(start, start + n)

    def channels(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the label of each index along a dimension, (x.shape[dim],).

        What has one index is tied, wherever it is along the other dimensions.
        """
        rows = _thin(x.movedim(dim, 0).unsqueeze(-1)).flatten(1)
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

    def bind(
        self, tensor: str, dim: int, role: str, labels: Tensor | None, of: int = 1
    ) -> Tensor:
        """Say what slots of a tensor are to channels, new ones if not given."""
        tensor = self.canonical(tensor)
        there = self.bound.setdefault((tensor, dim), {})
        for before in there.values():  # the same slots, the same channels
            if labels is not None:
                self.tie(labels, before.labels)
            labels = before.labels
        if labels is None:
            labels = self.fresh(get_tensor(self.module, tensor).shape[dim])
        there.setdefault(role, Bound(tensor, dim, role, labels, of))
        return labels

    def tie(self, a: Tensor, b: Tensor) -> None:
        """Let channels live and die together, elementwise; constants are left out."""
        a, b = torch.broadcast_tensors(a, b)
        for dim in range(a.ndim):  # what is repeated in both is told once
            if a.shape[dim] > 1 and a.stride(dim) == 0 and b.stride(dim) == 0:
                a, b = a.narrow(dim, 0, 1), b.narrow(dim, 0, 1)
        pairs = (a != b) & (a != CONSTANT) & (b != CONSTANT)
        for i, j in set(zip(a[pairs].tolist(), b[pairs].tolist(), strict=True)):
            i, j = self.find(i), self.find(j)
            if i != j:
                self._parent[max(i, j)] = min(i, j)

    def find(self, label: int) -> int:
        """Return the label that stands for all that are tied to one."""
        parent = self._parent
        while parent[label] != label:
            parent[label] = label = parent[parent[label]]
        return label

    def roots(self, labels: Tensor) -> Tensor:
        """Return the label that stands for each; constants stay."""
        found = [i if i == CONSTANT else self.find(i) for i in labels.tolist()]
        return torch.tensor(found, dtype=torch.int64)

    def members(self, x: Tensor) -> list[int]:
        """Return the labels that are in a tensor, without constants."""
        return [i for i in _thin(x).flatten().unique().tolist() if i != CONSTANT]

    def vary(self, x: Tensor, dim: int) -> bool:
        """Tell whether channels differ along a dimension, as far as is known now."""
        if not varies(x, dim):
            return False
        x = _thin(x)
        return varies(self.roots(x.flatten()).view(x.shape), dim)

    def pin(self, x: Any, why: str) -> None:
        """Keep channels whole, and those that numbers count, and note why."""
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

    def expect(self, number: Counted, x: Tensor, why: str) -> None:
        """Keep whole what a number counts, and x, unless these are the same channels.

        Which channels hang together shows when all of the network was seen.
        """
        self._expected.append((number, x, why))

    def _settle(self) -> None:
        """Pin what was not as expected."""
        for number, x, why in self._expected:
            counted = [
                i
                for at, dim in number.of
                if self.vary(at, dim)
                for i in self.members(at)
            ]
            own = {self.find(i) for i in self.members(x)}
            if not own.issuperset(map(self.find, counted)):
                self.pin([torch.tensor(counted), x], why)

    def is_pinned(self, x: Tensor) -> bool:
        """Tell whether all is one channel that is kept whole."""
        labels = _thin(x).flatten().unique().tolist()
        if len(labels) != 1 or CONSTANT in labels:
            return False
        return self.find(*labels) in {self.find(label) for label in self.reasons}

    def is_produced(self, x: Tensor) -> bool:
        """Tell whether these are the labels that a parameter was given to make."""
        own = set(x.flatten().tolist())
        roles = (b for there in self.bound.values() for b in there.values())
        return any(b.role == "produce" and own == set(b.labels.tolist()) for b in roles)

    def leave(self, x: Tensor) -> None:
        """Say that these are the outputs."""
        self._outputs = self.members(x)

    def why(self) -> dict[int, str]:
        """Return the reason of each root that is pinned."""
        self._settle()
        found = dict.fromkeys(map(self.find, self._outputs), OUTPUT)
        for label, reason in self.reasons.items():
            found.setdefault(self.find(label), reason)
        return found
