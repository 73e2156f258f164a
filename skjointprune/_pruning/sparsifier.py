"""Step 1, sparsify: what goes of a network while it is trained."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from .._graph.compact import compact_, is_exact
from .._graph.network import Channels, Network
from .._graph.tensors import get_tensor
from .._utils.warn import warn_caller
from .gates import InputGates
from .prices import Prices
from .saliency import Saliency


class Sparsifier:
    """Prune a network little by little while it is trained.

    Each call of `prune` takes one proximal step and removes what it zeroed at once,
    so training gets cheaper on the way.

    Parameters
    ----------
    network : Network
        Changed in place.
    gates : InputGates
        Before its inputs; they close.
    saliency : Saliency
        Measures the channels of the network and the gates; it is told what goes.
    prices : Prices
        What may go; channels that must be kept whole are passed over.
    optimizer : Optimizer
        Trains the network; its state follows.
    rows : callable
        Returns some rows, with the columns that are left, to check outputs on.

    Attributes
    ----------
    targets : list of Channels
        What may go.
    support : Tensor of shape (inputs left,)
        Positions, among all inputs there were, of those that are left.
    n_groups : int
        How many inputs (groups of them, gates) there were where a number is asked for.
    starved : list of str
        The names of channels that all would have gone, once for each time.
    """

    def __init__(
        self,
        network: Network,
        gates: InputGates,
        saliency: Saliency,
        prices: Prices,
        optimizer: Optimizer,
        rows: Callable[[], Tensor],
    ):
        self.network = network
        self.gates = gates
        self.saliency = saliency
        self.prices = prices
        self.optimizer = optimizer
        self.rows = rows
        self.targets = prices.targets(network, gates)
        # what a number of inputs to keep limits
        self._limited = gates.prunable_inputs(network)[0]
        self.n_groups = self._count_groups(self._limited)
        self._n_free = self._count_free()
        self._n_dense = network.inputs.size
        self.support = torch.arange(self._n_dense)
        self.starved: list[str] = []

    def watch(self) -> None:
        """Take note of a training step, after its backward pass."""
        self.saliency.watch()

    def prune(
        self,
        alpha: float,
        n_inputs: int | None = None,
        alpha_of_units: float | None = None,
    ) -> Tensor:
        """Zero and remove what costs more than it is worth at the threshold `alpha`.

        With `n_inputs`, the threshold of the inputs is whatever leaves exactly so many
        (groups of) inputs. Units may have a threshold of their own. Returns the
        positions of the inputs that stay among those there were.
        """
        if alpha_of_units is None:
            alpha_of_units = alpha
        units = {c.name for c in self.network.hidden}
        keep = {}
        priced = self._measure_over_costs()
        for c in self.targets:
            n_left = n_inputs if c is self._limited else None
            # on the CPU: what follows asks masks for numbers all the time
            threshold = alpha_of_units if c.name in units else alpha
            keep[c.name] = self._step(c, priced[c.name], threshold, n_left).cpu()
        self._let_one_number_through(keep, priced)
        self._restore_what_fails(keep)
        inputs = self.network.inputs
        kept = keep.get(inputs.name, torch.ones(inputs.size, dtype=torch.bool))
        self.prices = self.prices.keep_inputs(kept)
        self.support = self.support[kept]
        for name, mask in keep.items():
            self.saliency.keep(name, mask)
            if name in self.gates:
                self.gates.close(name, mask)
        compact_(self.network, self._without_gates(keep), self.optimizer)
        if any(not mask.all() for name, mask in keep.items() if name in self.gates):
            self.gates.cut(self.network.module, self.network.inputs.size)
        return kept.nonzero().flatten()

    def state_dict(self) -> dict[str, Any]:
        """Return what has gone and what was learnt, but for the network itself."""
        return {
            "support": self.support,
            "targets": [c.name for c in self.targets],
            "starved": self.starved,
            "gates": self.gates.state_dict(),
            "saliency": self.saliency.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as one that began with the same network, and pruned it since.

        The network takes on its state by itself.
        """
        kept = torch.zeros(self._n_dense, dtype=torch.bool)
        kept[state["support"]] = True
        self.support = state["support"]
        self.prices = self.prices.keep_inputs(kept)
        self.targets = [c for c in self.targets if c.name in state["targets"]]
        self.starved = state["starved"]
        self.gates.load_state_dict(state["gates"])
        self.saliency.load_state_dict(state["saliency"])

    def alpha_for(self, share: float) -> float:
        """Return the `alpha` that removes a share of all inputs and units there were.

        The share goes from 0, none, to 1, all but the last input and the last unit of
        each layer; on a logarithmic scale, but for the last few. Between two
        saliencies the result is interpolated; where enough are gone it is below all.
        """
        free = self._free_saliencies().sort(descending=True).values
        offset = 10  # below about so many, they go one by one
        n_left = (self._n_free + offset) ** (1 - share) * offset**share - offset
        if not len(free):
            return 0.0
        if n_left > len(free) - 0.5:
            return float(free[-1]) / 2
        ranks = np.arange(1, len(free) + 1)
        return float(np.interp(n_left + 0.5, ranks, free.double().cpu().numpy()))

    def _count_free(self) -> int:
        """Count what may go, but for the last of each."""
        costs = self.prices.group_costs(self.network, self.gates)
        n_free = 0
        for c in self.targets:
            cost = costs.get(c.name)
            kept = int((cost == 0).sum()) if isinstance(cost, Tensor) else 0
            n_free += self._count_groups(c) - max(1, kept)
        return n_free

    def _free_saliencies(self) -> Tensor:
        """Return saliency over cost of all groups that may go, but for the last ones.

        What costs nothing, and of other channels the most salient, stays.
        """
        priced = self._measure_over_costs().values()
        left = [
            s.sort(descending=True).values[max(1, int(s.isinf().sum())) :]
            for s in priced
        ]
        return torch.cat(left) if left else torch.zeros(0)

    def importances(self) -> Tensor:
        """Return the saliency of every input, of the shape of a row, 0 if it went.

        A number of an image goes with any group that it is in, so the least counts.
        """
        gates, inputs = self.gates, self.network.inputs
        found = [
            gates.spread(c.name, self.saliency.measure(c)).cpu() for c in gates.channels
        ]
        if gates.with_channels or not found:
            full = torch.zeros(self._n_dense)
            full[self.support] = self.saliency.measure(inputs).float().cpu()
            one_each = [1] * (len(gates.shape) - 1)
            found.append(full.view(-1, *one_each).expand(gates.shape))
        return torch.stack(found).amin(dim=0)

    def _count_groups(self, channels: Channels) -> int:
        """Count what goes together of some channels."""
        if channels is self.network.inputs:
            return int(self.prices.number_groups(channels.size).max()) + 1
        return channels.size

    def _measure_over_costs(self) -> dict[str, Tensor]:
        """Return saliency over cost of each group that may go, (groups,), by name."""
        costs = self.prices.group_costs(self.network, self.gates)
        priced = {}
        for c in self.targets:
            if c is self.network.inputs:
                groups = self.prices.number_groups(c.size)
                s = self.saliency.measure_groups(c, groups)
            else:
                s = self.saliency.measure(c)
            cost = costs.get(c.name, 1.0)
            if isinstance(cost, Tensor):
                cost = cost.to(s)
                priced[c.name] = torch.where(cost > 0, s / cost, math.inf)
            else:
                priced[c.name] = s / cost
        return priced

    def _step(
        self, channels: Channels, s: Tensor, alpha: float, n_left: int | None
    ) -> Tensor:
        """Take the proximal step on channels of a priced saliency; tell what stays."""
        prox = self.prices.penalty.prox
        if n_left is not None:
            order = s.argsort(descending=True, stable=True)
            keep = torch.zeros_like(s, dtype=torch.bool)
            keep[order[:n_left]] = True
            alpha = float(s[order[n_left]]) if n_left < len(s) else 0.0
        else:
            keep = prox(s, alpha) > 0
            if not keep.any():
                self.starved.append(channels.name)
                keep[s.argmax()] = True
            rounds = self.prices.round_units_to > 1
            if rounds and channels is not self.network.inputs:
                keep = self._round_up(channels, s, keep)
        if channels.name in self.gates:  # open or closed: no weights to shrink
            return keep
        left = prox(s, alpha)
        # What is kept by rule stays as it is: ties, the last group, what costs nothing.
        factors = torch.where((left > 0) & s.isfinite(), left / s, 1.0)
        if channels is self.network.inputs:
            groups = self.prices.number_groups(channels.size).to(s.device)
            keep, factors = keep[groups], factors[groups]
        if not bool((factors == 1).all()):
            self._shrink_(channels, factors)
        return keep

    def _round_up(self, channels: Channels, s: Tensor, keep: Tensor) -> Tensor:
        """Keep the most salient of what would go, up to a round number of units."""
        to = self.prices.round_units_to
        # so many channels that all layers that make them have round numbers of units
        multiple = math.lcm(*(to // math.gcd(to, n) for n in channels.units_each))
        more = -int(keep.sum()) % multiple
        next_ones = torch.where(keep, -1, s).argsort(descending=True, stable=True)
        return keep.index_fill(0, next_ones[:more], True)

    def _shrink_(self, channels: Channels, factors: Tensor) -> None:
        """Scale the weights that read channels, and so their saliency."""
        with torch.no_grad():
            for axis in channels.read_by or channels.produced_by:
                p = get_tensor(self.network.module, axis.tensor)
                shape = [-1 if d == axis.dim else 1 for d in range(p.ndim)]
                p.mul_(axis.factors(factors).view(shape))
        self.saliency.scale(channels.name, factors)

    def _let_one_number_through(
        self, keep: dict[str, Tensor], priced: dict[str, Tensor]
    ) -> None:
        """Keep the gates of one number of an image open where all would be closed.

        Of several kinds of gates, the open ones may have no number in common.
        """
        gates = self.gates
        closing = {name: mask for name, mask in keep.items() if name in gates}
        if len(closing) < 2:
            return
        open_now = gates.support().cpu()
        masks = {name: gates.spread(name, m).cpu() > 0 for name, m in closing.items()}
        if torch.stack([open_now, *masks.values()]).all(dim=0).any():
            return
        for name, mask in masks.items():
            if self._limited is not None and name == self._limited.name:
                open_now = open_now & mask  # so many were asked for
        worth = [gates.spread(name, priced[name]).cpu() for name in closing]
        least = torch.stack(worth).amin(dim=0)
        best = least.masked_fill(~open_now, -math.inf).argmax()
        for name, mask in closing.items():
            positions = torch.arange(1.0, len(mask) + 1)
            place = int(gates.spread(name, positions).flatten()[best]) - 1
            if not mask[place]:
                self.starved.append(name)
                mask[place] = True

    def _without_gates(self, keep: dict[str, Tensor]) -> dict[str, Tensor]:
        """Leave out the gates: closing them changes the outputs, as it should."""
        return {name: mask for name, mask in keep.items() if name not in self.gates}

    def _restore_what_fails(self, keep: dict[str, Tensor]) -> None:
        """Take out of `keep` what would not leave the outputs as they are."""
        masks = self._without_gates(keep)
        thinned = {name: mask for name, mask in masks.items() if not mask.all()}
        if not thinned or is_exact(self.network, thinned, rows := self.rows()):
            return
        alone = [
            name
            for name, mask in thinned.items()
            if not is_exact(self.network, {name: mask}, rows)
        ]
        for name in alone or thinned:
            channels = next(c for c in self.targets if c.name == name)
            channels.pinned = "without them the outputs were others"
            self.targets = [c for c in self.targets if c is not channels]
            del keep[name]
            warn_caller(
                f"The channels {name!r} are kept whole: the network without some of "
                "them did not give the outputs of the network where these are zero. "
                "Register a rule for the layers around (skjointprune.register_rule)."
            )
