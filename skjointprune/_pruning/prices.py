"""Prices of channels: which may go, and what each costs to stay."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._graph.costs import macs_of_weights, saved_by_a_unit, saved_by_the_mean_unit
from .._graph.network import Channels, Network
from ..penalties import Penalty
from .gates import InputGates

GATE_DISCOUNT = 0.5  # on the root of the work that closing a gate saves


@dataclass(frozen=True)
class Prices:
    """What may go, and what it costs to stay.

    `groups`, (inputs,), numbers the groups of inputs that go together, 0, 1, …, and
    `costs`, (inputs,), multiply the threshold of each input; None is one each. What
    costs 0 always stays.
    `unit_cost` makes the threshold of a unit follow the root of what its removal saves,
    "macs" or "params", relative to the mean unit of the network; "constant" does not.
    In layers that lose units, the number left is a multiple of `round_units_to`.

    As inputs go, `keep_inputs` returns the prices of those that are left.
    """

    penalty: Penalty
    prune: str = "joint"
    groups: Tensor | None = None
    costs: Tensor | None = None
    unit_cost: str = "constant"
    round_units_to: int = 1

    def targets(self, network: Network, gates: InputGates) -> list[Channels]:
        """Return which channels may go."""
        targets = []
        if self.prune in ("joint", "inputs"):
            targets = gates.prunable_inputs(network)
        targets += network.hidden if self.prune in ("joint", "weights") else []
        return [c for c in targets if not c.pinned]

    def number_groups(self, n_inputs: int) -> Tensor:
        """Return the number of the group of each input, (inputs,)."""
        return torch.arange(n_inputs) if self.groups is None else self.groups

    def keep_inputs(self, mask: Tensor) -> "Prices":
        """Return the prices of the inputs that a mask, (inputs,), holds."""
        groups, costs = self.groups, self.costs
        if groups is not None:
            groups = groups[mask].unique(return_inverse=True)[1]
        if costs is not None:
            costs = costs[mask]
        return replace(self, groups=groups, costs=costs)

    def group_costs(
        self, network: Network, gates: InputGates
    ) -> dict[str, float | Tensor]:
        """Return what a group costs, by name of its channels, where it is not 1.

        One number for all units of a layer and all gates of a kind; of inputs one for
        each group, (groups,), the mean over the group; 0 if any of it costs 0, or must
        stay in this network.

        A saliency is the root of a loss, so the root of what is saved is its price,
        relative to the mean unit. Cropping a row, or another part of an image, saves
        its share of all work: left at the price of a unit, one of hundreds of feature
        maps, it would never go before these. Its share of the whole image's: as a
        share of what is left of the image, prices would rise as rows go, until the
        last ones went too. And half the root of that: neighbours stand in for each
        other, so that several cost more than each would alone.
        """
        found: dict[str, float | Tensor] = {}
        what = self.unit_cost
        # no mean, no unit to compare with: all cost the same
        if what != "constant" and (mean := saved_by_the_mean_unit(network, what)):
            for c in network.hidden:
                found[c.name] = math.sqrt(saved_by_a_unit(network, c, what) / mean)
        if gates.channels and (mean := saved_by_the_mean_unit(network, "macs")):
            saved = macs_of_weights(network)
            for c in gates.channels:
                relative = saved / gates.count(c.name) / mean
                found[c.name] = GATE_DISCOUNT * math.sqrt(relative)
        of_groups = self._costs_of_inputs(network)
        if of_groups is not None:
            found[network.inputs.name] = of_groups
        return found

    def count_kept(self, network: Network) -> int:
        """Return how many inputs, or groups of them, always stay."""
        costs = self._costs_of_inputs(network)
        return 0 if costs is None else int((costs == 0).sum())

    def _costs_of_inputs(self, network: Network) -> Tensor | None:
        """Return what each group of inputs costs, (groups,), None for one each."""
        costs, stay = self.costs, network.inputs.must_stay
        if stay is not None:
            costs = torch.where(stay, 0.0, 1.0 if costs is None else costs)
        if costs is None:
            return None
        groups = self.number_groups(len(costs))
        total = torch.zeros(int(groups.max()) + 1, dtype=costs.dtype)
        of_groups = total.index_add_(0, groups, costs) / groups.bincount()
        of_groups[groups[costs == 0]] = 0
        return of_groups
