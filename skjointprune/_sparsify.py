"""Step 1, sparsify: drive whole groups of weights to zero while training.

The saliency of a group g of weights is

    saliency(g) = sqrt( mean over w in g of  F(w) * w ** 2 / 2 ),

where F is the diagonal of the empirical Fisher information, the mean over rows of
the squared gradient. F(w) * w ** 2 / 2 is the second-order estimate of what zeroing w
costs (LeCun, Denker, Solla, "Optimal Brain Damage", 1989; with F for the Hessian,
Theis et al., arXiv 1801.05787). A mean, not a sum, lets one `alpha` serve inputs and
layers of any width. It does not change when a normalised layer is rescaled. A
penalty is a function of it, and its proximal step says what saliency is left.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ._compact import compact_
from ._groups import Axis, Channels, Network, get_tensor, group_matrix


class Penalty(Protocol):
    """A price `alpha` on saliencies `s` >= 0, elementwise."""

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return the price of each group."""

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Return the t that minimise (t - s) ** 2 / 2 + value(t, alpha)."""


class GroupL0:
    """A fixed price on every group that is there: it stays as it is, or goes.

    The groups that go are those whose saliency is at most `alpha`.
    """

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return alpha ** 2 / 2 for each group that is there."""
        return alpha**2 / 2 * (s > 0)

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Threshold hard, at `alpha`."""
        return s * (s > alpha)


class GroupLasso:
    """A price in proportion to saliency: groups shrink, and go at `alpha`.

    Yuan and Lin, "Model selection and estimation in regression with grouped
    variables", JRSS B 68 (2006), with the norm of the Fisher metric.
    """

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return alpha * s for each group."""
        return alpha * s

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Threshold softly, at `alpha`."""
        return (s - alpha).clamp(min=0)


PENALTIES: dict[str, type[Penalty]] = {
    "group_l0": GroupL0,
    "group_lasso": GroupLasso,
}

FISHER_DECAY = 0.999  # Adam's own; about the last thousand steps


def watch_gradients(optimizer: Optimizer) -> None:
    """Keep a running mean of squared gradients where the optimiser keeps none.

    Adam and its kin have it as their second moment. For SGD it is kept in the same
    form in the optimiser's state, so that a saliency means the same.
    """
    for group in optimizer.param_groups:
        for p in group["params"]:
            state = optimizer.state[p]
            if p.grad is None or "exp_avg_sq" in state:
                continue
            fisher = state.setdefault("fisher", torch.zeros_like(p))
            fisher.lerp_(p.grad**2, 1 - FISHER_DECAY)
            state["fisher_step"] = state.get("fisher_step", 0) + 1


def fisher_diagonal(optimizer: Optimizer, p: Tensor) -> Tensor:
    """Return the running mean of a parameter's squared gradient, unbiased."""
    state = optimizer.state.get(p, {})
    if "exp_avg_sq" in state:
        group = next(
            g for g in optimizer.param_groups if any(q is p for q in g["params"])
        )
        decay, mean, step = group["betas"][1], state["exp_avg_sq"], state["step"]
    elif "fisher" in state:
        decay, mean, step = FISHER_DECAY, state["fisher"], state["fisher_step"]
    else:  # a parameter that has not moved yet
        return torch.zeros_like(p)
    return mean / (1 - decay ** float(step))


def connections(
    network: Network, channels: Channels
) -> tuple[list[Tensor], list[Axis]]:
    """Return what the penalty is on: the matrices of weights of the groups.

    A bias is no connection, and a normalisation's scale and shift are in units of
    their own; these go with their group, but do not count.
    """
    pairs = [(get_tensor(network.module, a.tensor), a) for a in channels.axes]
    pairs = [(p, axis) for p, axis in pairs if p.ndim > 1]
    return [p for p, _ in pairs], [axis for _, axis in pairs]


def saliency(
    network: Network, channels: Channels, optimizer: Optimizer, batch_size: float
) -> Tensor:
    """Return the saliency of each group of a set of channels, (groups,)."""
    weights, axes = connections(network, channels)
    squares = [fisher_diagonal(optimizer, p) * p.detach() ** 2 for p in weights]
    # A batch's mean gradient has the batch's size times less variance than a row's.
    return (batch_size * group_matrix(squares, axes).mean(dim=1) / 2).sqrt()


@dataclass(frozen=True)
class Prices:
    """What may go, and what it costs to stay.

    `groups`, (inputs,), numbers the groups of inputs that go together, and `costs`,
    (inputs,), multiply the threshold of each input; None is one each. `unit_cost`
    makes the threshold of a unit follow what its removal saves, "macs" or "params",
    relative to the mean unit of the network; "constant" does not.
    """

    penalty: Penalty
    prune: str = "joint"
    groups: Tensor | None = None
    costs: Tensor | None = None
    unit_cost: str = "constant"

    def targets(self, network: Network) -> list[Channels]:
        """Return which channels may go."""
        targets = [network.inputs] if self.prune in ("joint", "inputs") else []
        targets += network.hidden if self.prune in ("joint", "weights") else []
        return [c for c in targets if not c.pinned]


def saved_by_a_unit(network: Network, channels: Channels, what: str) -> float:
    """Return how many MACs, or parameters, go with one unit."""
    tensors = [get_tensor(network.module, a.tensor) for a in channels.axes]
    counted = [
        t
        for t in tensors
        if isinstance(t, nn.Parameter) and (what == "params" or t.ndim > 1)
    ]
    return sum(t.numel() for t in counted) / channels.size


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
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        batch_size: float,
        prices: Prices,
    ):
        self.network = network
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.prices = prices
        self.targets = prices.targets(network)
        n = self.n_dense = network.inputs.size
        device = next(network.module.parameters()).device
        self.support = torch.arange(n)  # positions of the inputs that are left
        ones = torch.ones(n) if prices.costs is None else prices.costs
        self.costs = ones.to(device)
        groups = torch.arange(n) if prices.groups is None else prices.groups
        self.groups = groups.to(device)
        self.n_groups = int(self.groups.max()) + 1
        self.n_free = sum(len(self._priced(c)) - 1 for c in self.targets)
        self.starved: list[str] = []

    def prune(self, alpha: float, n_inputs: int | None = None) -> Tensor:
        """Zero and remove what costs more than it is worth at the threshold `alpha`.

        With `n_inputs`, the threshold of the inputs is whatever leaves exactly so many
        (groups of) inputs. Returns the positions of the inputs that stay among those
        there were.
        """
        keep = {}
        for c in self.targets:
            exactly = n_inputs if c is self.network.inputs else None
            keep[c.name] = self._step(c, alpha, exactly)
        inputs = self.network.inputs
        kept = keep.get(inputs.name, torch.ones(inputs.size, dtype=torch.bool))
        if inputs.name in keep:
            self.costs = self.costs[kept]
            self.groups = self.groups[kept].unique(return_inverse=True)[1]
        self.support = self.support[kept.cpu()]
        compact_(self.network, keep, self.optimizer)
        return kept.nonzero().flatten()

    def alpha_for(self, share: float) -> float:
        """Return the `alpha` that removes a share of all inputs and units there were.

        The share goes from 0, none, to 1, all but the last input and the last unit of
        each layer; on a logarithmic scale, but for the last few. Between two
        saliencies the result is interpolated; it is 0 where enough are gone.
        """
        priced = [self._priced(c).sort(descending=True).values for c in self.targets]
        # The last of each stays whatever its saliency.
        free = torch.cat([s[1:] for s in priced]).sort(descending=True).values
        few = 10
        n_left = (self.n_free + few) ** (1 - share) * few**share - few
        if n_left > len(free) - 0.5 or not len(free):
            return 0.0
        at = np.arange(1, len(free) + 1)
        return float(np.interp(n_left + 0.5, at, free.double().cpu().numpy()))

    def importances(self) -> Tensor:
        """Return the saliency of every input, 0 for those that went."""
        full = torch.zeros(self.n_dense)
        found = self._saliency(self.network.inputs)
        full[self.support] = found.float().cpu()
        return full

    def _saliency(self, channels: Channels) -> Tensor:
        return saliency(self.network, channels, self.optimizer, self.batch_size)

    def _priced(self, channels: Channels) -> Tensor:
        """Return saliency over cost of each group of channels, (groups,)."""
        s = self._saliency(channels)
        if channels is self.network.inputs:
            # The mean over all weights of a group, like that over those of an input:
            # fair to its size.
            s = _mean_by(s**2, self.groups).sqrt()
            return s / _mean_by(self.costs, self.groups)
        return s / self._unit_cost(channels)

    def _unit_cost(self, channels: Channels) -> float:
        what = self.prices.unit_cost
        if what == "constant":
            return 1.0
        hidden = self.network.hidden
        saved = [c.size * saved_by_a_unit(self.network, c, what) for c in hidden]
        mean = sum(saved) / sum(c.size for c in hidden)
        return saved_by_a_unit(self.network, channels, what) / mean

    def _step(self, channels: Channels, alpha: float, exactly: int | None) -> Tensor:
        """Take the proximal step on one set of channels; return what stays."""
        s = self._priced(channels)
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
        left = prox(s, alpha)
        # Where ties or the last group are kept by rule, they stay as they are.
        scale = torch.where(left > 0, left / s, 1.0)
        if channels is self.network.inputs:
            keep, scale = keep[self.groups], scale[self.groups]
        if not bool((scale == 1).all()):
            self._scale_(channels, scale)
        return keep

    def _scale_(self, channels: Channels, scale: Tensor) -> None:
        with torch.no_grad():
            for p, axis in zip(*connections(self.network, channels), strict=True):
                shape = [-1 if d == axis.dim else 1 for d in range(p.ndim)]
                p.mul_(scale.view(shape))


def _mean_by(values: Tensor, groups: Tensor) -> Tensor:
    """Return the mean of values, (n,), in each of the groups numbered 0, 1, …."""
    n_groups = int(groups.max()) + 1
    sums = torch.zeros(n_groups, dtype=values.dtype, device=values.device)
    sums.index_add_(0, groups, values)
    return sums / groups.bincount(minlength=n_groups)
