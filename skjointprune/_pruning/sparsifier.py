"""Step 1, sparsify: drive whole groups of weights to zero while training.

Think of a gate on each channel, an input or a unit: a factor m, which is 1, before
whatever reads the channel. Zeroing the channel is closing its gate. The saliency is

    saliency = sqrt( F(m) / 2 ),

where F(m) is the Fisher information of the gate, the mean over rows of the squared
derivative of the loss by m. F(m) / 2 is the second-order estimate of what closing the
gate costs in loss (LeCun, Denker, Solla, "Optimal Brain Damage", 1989; with F for the
Hessian, Theis et al., arXiv 1801.05787). The derivative is a sum over the weights that
read the channel, of weight times gradient; a running mean of its square is all there
is to keep. A penalty is a function of the saliency, and its proximal step says what
saliency is left.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from .._graph.compact import compact_, is_exact
from .._graph.costs import macs_of_weights, saved_by_a_unit, saved_by_the_mean_unit
from .._graph.network import Channels, Network
from .._graph.tensors import get_tensor
from .._utils.warn import warn_caller
from ..penalties import Penalty
from .gates import InputGates, prunable_inputs

GATES_ARE_WORTH = 0.5  # of the root of the work that closing one saves
GATES_EVERY = 4  # steps of which one tells the gradients of an image's gates, after
GATES_AT_FIRST = 100  # steps that all do


def gate_gradient(network: Network, channels: Channels) -> Tensor:
    """Return the derivative of a batch's loss by each channel's gate, (channels,)."""
    parts = []
    for axis in channels.read_by:
        p = get_tensor(network.module, axis.tensor)
        if p.grad is not None:
            product = p.detach() * p.grad
            others = [dim for dim in range(p.ndim) if dim != axis.dim]
            of_slots = product.sum(dim=others) if others else product
            parts.append(axis.sum(of_slots, channels.size))
    return sum(parts[1:], start=parts[0]) if parts else torch.zeros(())


@dataclass(frozen=True)
class Prices:
    """What may go, and what it costs to stay.

    `groups`, (inputs,), numbers the groups of inputs that go together, and `costs`,
    (inputs,), multiply the threshold of each input; None is one each. `unit_cost`
    makes the threshold of a unit follow the root of what its removal saves, "macs" or
    "params", relative to the mean unit of the network; "constant" does not. In
    layers that lose units, the number left is a multiple of `round_units_to`.
    """

    penalty: Penalty
    prune: str = "joint"
    groups: Tensor | None = None
    costs: Tensor | None = None
    unit_cost: str = "constant"
    round_units_to: int = 1

    def targets(
        self, network: Network, gates: InputGates | None = None
    ) -> list[Channels]:
        """Return which channels may go."""
        targets = []
        if self.prune in ("joint", "inputs"):
            targets = prunable_inputs(network, gates)
        targets += network.hidden if self.prune in ("joint", "weights") else []
        return [c for c in targets if not c.pinned]


class Sparsifier:
    """Prune a network little by little while it is trained.

    Each call of `prune` takes one proximal step and removes what it zeroed at once,
    so training gets cheaper on the way.

    Parameters
    ----------
    network : Network
        Changed in place.
    optimizer : Optimizer
        Trains the network; its state follows.
    batch_size : float
        Rows of one of its steps, on average.
    prices : Prices
        What may go; channels that must be kept whole are passed over.
    memory : float
        Over how many steps, the last ones, squared gradients are averaged.
    rows : callable
        Returns some rows, with the columns that are left, to check outputs on.
    gates : InputGates or None
        Of images: what is before their rows, columns or pixels.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        batch_size: float,
        prices: Prices,
        memory: float,
        rows: Callable[[], Tensor],
        gates: InputGates | None = None,
    ):
        self.network = network
        self.rows = rows
        self.gates = gates
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.decay = 1 - 1 / memory
        self.prices = prices
        self.targets = prices.targets(network, gates)
        # the inputs that an exact number is of
        self.counted, *_ = prunable_inputs(network, gates)
        gated = [] if gates is None else gates.channels
        self.n_gates = {c.name: c.size for c in gated}  # of whole images
        n = self.n_dense = network.inputs.size
        device = next(network.module.parameters()).device
        self.support = torch.arange(n)  # positions of the inputs that are left
        ones = torch.ones(n) if prices.costs is None else prices.costs
        self.costs = ones.to(device)
        groups = torch.arange(n) if prices.groups is None else prices.groups
        self.groups = groups.to(device)
        self.n_groups = int(self.groups.max()) + 1
        if self.counted in gated:
            self.n_groups = self.counted.size
        watched = [network.inputs, *gated, *network.hidden]
        self._by_name = {c.name: c for c in watched}
        # the running mean, over steps, of the squared derivative by each gate
        self.squares = {c.name: torch.zeros(c.size, device=device) for c in watched}
        self.n_steps = 0
        # what is left of the zero that each mean began with
        self.forgetting = dict.fromkeys(self.squares, 1.0)
        if gates is not None:
            gates.listening = True
        self.n_free = sum(len(s) - 1 for s in self._priced().values())
        self.starved: list[str] = []

    def watch(self) -> None:
        """Take the gradients of a training step into account."""
        every = self._gates_every
        self.n_steps += 1
        for name, mean in self.squares.items():
            decay = self.decay
            if self.gates is None or not self._is_gate(name):
                gradient = gate_gradient(self.network, self._by_name[name])
            elif self.gates.listening:
                gradient, decay = self.gates.gradient(name), decay**every
            else:
                continue
            mean.lerp_(gradient**2, 1 - decay)
            self.forgetting[name] *= decay
        if self.gates is not None:
            self.gates.listening = self.n_steps % self._gates_every == 0

    @property
    def _gates_every(self) -> int:
        """Of how many steps the gates of images are asked in one, by now."""
        return 1 if self.n_steps < GATES_AT_FIRST else GATES_EVERY

    def prune(self, alpha: float, n_inputs: int | None = None) -> Tensor:
        """Zero and remove what costs more than it is worth at the threshold `alpha`.

        With `n_inputs`, the threshold of the inputs is whatever leaves exactly so many
        (groups of) inputs. Returns the positions of the inputs that stay among those
        there were.
        """
        keep = {}
        priced = self._priced()
        for c in self.targets:
            exactly = n_inputs if c is self.counted else None
            # on the CPU: what follows asks masks for numbers all the time
            keep[c.name] = self._step(c, priced[c.name], alpha, exactly).cpu()
        self._restore_what_fails(keep)
        inputs = self.network.inputs
        kept = keep.get(inputs.name, torch.ones(inputs.size, dtype=torch.bool))
        if inputs.name in keep:
            self.costs = self.costs[kept]
            self.groups = self.groups[kept].unique(return_inverse=True)[1]
        self.support = self.support[kept]
        for name, mask in keep.items():
            self.squares[name] = self.squares[name][mask]
            if self.gates is not None and self._is_gate(name):
                self.gates.close(name, mask)
        compact_(self.network, self._exact(keep), self.optimizer)
        return kept.nonzero().flatten()

    def _is_gate(self, name: str) -> bool:
        return self.gates is not None and name in self.gates.kind_of

    def _exact(self, keep: dict[str, Tensor]) -> dict[str, Tensor]:
        """Leave out the gates: closing them changes the outputs, as it should."""
        return {name: mask for name, mask in keep.items() if not self._is_gate(name)}

    def _restore_what_fails(self, keep: dict[str, Tensor]) -> None:
        """Take out of `keep` what would not leave the outputs as they are."""
        thinned = {n: mask for n, mask in self._exact(keep).items() if not mask.all()}
        if not thinned or is_exact(self.network, thinned, rows := self.rows()):
            return
        alone = [
            name
            for name, mask in thinned.items()
            if not is_exact(self.network, {name: mask}, rows)
        ]
        for name in alone or thinned:
            channels = self._by_name[name]
            channels.pinned = "without them the outputs were others"
            self.targets.remove(channels)
            del keep[name]
            warn_caller(
                f"The channels {name!r} are kept whole: the network without some of "
                "them did not give the outputs of the network where these are zero. "
                "Register a rule for the layers around (skjointprune.register_rule)."
            )

    def alpha_for(self, share: float) -> float:
        """Return the `alpha` that removes a share of all inputs and units there were.

        The share goes from 0, none, to 1, all but the last input and the last unit of
        each layer; on a logarithmic scale, but for the last few. Between two
        saliencies the result is interpolated; where enough are gone it is below all.
        """
        priced = [s.sort(descending=True).values for s in self._priced().values()]
        # The last of each stays whatever its saliency.
        free = torch.cat([s[1:] for s in priced]).sort(descending=True).values
        few = 10
        n_left = (self.n_free + few) ** (1 - share) * few**share - few
        if not len(free):
            return 0.0
        if n_left > len(free) - 0.5:
            return float(free[-1]) / 2
        at = np.arange(1, len(free) + 1)
        return float(np.interp(n_left + 0.5, at, free.double().cpu().numpy()))

    def importances(self) -> Tensor:
        """Return the saliency of every input, 0 for those that went.

        A number of an image goes with any group that it is in, so the least counts.
        """
        full = torch.zeros(self.n_dense)
        found = self.saliency(self.network.inputs)
        full[self.support] = found.float().cpu()
        if self.gates is None:
            return full
        by_kind = [
            self.gates.spread(c.name, self.saliency(c)).cpu()
            for c in self.gates.channels
        ]
        if self.network.inputs in self.gates.of(self.network) or not by_kind:
            by_kind.append(full[:, None, None].expand(self.gates.shape))
        return torch.stack(by_kind).amin(dim=0)

    def saliency(self, channels: Channels) -> Tensor:
        """Return the saliency of each channel, (channels,)."""
        unbiased = max(1 - self.forgetting[channels.name], 1 - self.decay)
        # A batch's mean gradient has the batch's size times less variance than a row's.
        fisher = self.batch_size * self.squares[channels.name] / unbiased
        return (fisher / 2).sqrt()

    def _priced(self) -> dict[str, Tensor]:
        """Return saliency over cost of each group that may go, (groups,), by name."""
        costs = self._costs()
        priced = {}
        for c in self.targets:
            s = self.saliency(c)
            cost: float | Tensor = costs.get(c.name, 1.0)
            if c is self.network.inputs:
                # The sum of s ** 2 is what a group is worth, but also grows with noise;
                # the mean is fair to noise, but not to a category, of which each row
                # has one column. Their geometric mean is fair to both.
                n = self.groups.bincount()
                s = (_sum_by(s**2, self.groups) / n.sqrt()).sqrt()
                cost = _sum_by(self.costs, self.groups) / n
            priced[c.name] = s / cost
        return priced

    def _costs(self) -> dict[str, float]:
        """Return what a unit or an open gate costs, by name, where it is not 1.

        A saliency is the root of a loss, so the root of what is saved is its price,
        relative to the mean unit. Cropping a row, or another part of an image, saves
        its share of all work: left at the price of a unit, one of hundreds of feature
        maps, it would never go before these. Its share of the whole image's: as a
        share of what is left of the image, prices would rise as rows go, until the
        last ones went too. And half the root of that: neighbours stand in for each
        other, so that several cost more than each would alone.
        """
        network, what = self.network, self.prices.unit_cost
        costs: dict[str, float] = {}
        # no mean, no unit to compare with: all cost the same
        if what != "constant" and (mean := saved_by_the_mean_unit(network, what)):
            for c in network.hidden:
                costs[c.name] = math.sqrt(saved_by_a_unit(network, c, what) / mean)
        gated = [] if self.gates is None else self.gates.channels
        if gated and (mean := saved_by_the_mean_unit(network, "macs")):
            saved = macs_of_weights(network)
            costs |= {
                c.name: GATES_ARE_WORTH * math.sqrt(saved / self.n_gates[c.name] / mean)
                for c in gated
            }
        return costs

    def _step(
        self, channels: Channels, s: Tensor, alpha: float, exactly: int | None
    ) -> Tensor:
        """Take the proximal step on channels of a priced saliency; tell what stays."""
        prox = self.prices.penalty.prox
        if exactly is not None:
            order = s.argsort(descending=True, stable=True)
            keep = torch.zeros_like(s, dtype=torch.bool)
            keep[order[:exactly]] = True
            alpha = float(s[order[exactly]]) if exactly < len(s) else 0.0
        else:
            keep = prox(s, alpha) > 0
            if not keep.any():
                self.starved.append(channels.name)
                keep[s.argmax()] = True
            rounds = self.prices.round_units_to > 1
            if rounds and channels is not self.network.inputs:
                keep = self._rounded_up(channels, s, keep)
        left = prox(s, alpha)
        # What is kept by rule, as ties and the last group are, stays as it is.
        scale = torch.where(left > 0, left / s, 1.0)
        if channels is self.network.inputs:
            keep, scale = keep[self.groups], scale[self.groups]
        if self._is_gate(channels.name):  # open or closed: no weights to shrink
            return keep
        if not bool((scale == 1).all()):
            self._scale_(channels, scale)
        return keep

    def _rounded_up(self, channels: Channels, s: Tensor, keep: Tensor) -> Tensor:
        """Keep the most salient of what would go, up to a round number of units."""
        to = self.prices.round_units_to
        # so many channels that all layers that make them have round numbers of units
        multiple = math.lcm(*(to // math.gcd(to, n) for n in channels.units_each))
        more = -int(keep.sum()) % multiple
        next_ones = torch.where(keep, -1, s).argsort(descending=True, stable=True)
        return keep.index_fill(0, next_ones[:more], True)

    def _scale_(self, channels: Channels, scale: Tensor) -> None:
        """Close gates in part: scale what reads the channels, and so their saliency."""
        with torch.no_grad():
            for axis in channels.read_by:
                p = get_tensor(self.network.module, axis.tensor)
                shape = [-1 if d == axis.dim else 1 for d in range(p.ndim)]
                p.mul_(axis.factors(scale).view(shape))
            self.squares[channels.name] *= scale**2


def _sum_by(values: Tensor, groups: Tensor) -> Tensor:
    """Return the sum of values, (n,), in each of the groups numbered 0, 1, …."""
    n_groups = int(groups.max()) + 1
    sums = torch.zeros(n_groups, dtype=values.dtype, device=values.device)
    return sums.index_add_(0, groups, values)
