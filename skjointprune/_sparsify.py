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

from typing import Protocol

import torch
from torch import Tensor
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


class Sparsifier:
    """Prune a network little by little while it is trained.

    Each call of `prune` raises the threshold along the schedule, takes one proximal
    step and removes what it zeroed at once, so training gets cheaper on the way.

    Parameters
    ----------
    network : Network
        Changed in place.
    optimizer : Optimizer
        Trains the network; its state follows.
    batch_size : float
        Rows of one of its steps, on average.
    penalty : Penalty
    alpha : float
        The threshold of saliency at the end of the schedule.
    targets : list of Channels
        Which channels to prune; those that must be kept whole are passed over.
    n_inputs : int or None
        If given, exactly as many inputs stay, whatever their saliency.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        batch_size: float,
        penalty: Penalty,
        *,
        alpha: float,
        targets: list[Channels],
        n_inputs: int | None = None,
    ):
        self.network = network
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.penalty = penalty
        self.alpha = alpha
        self.targets = [c for c in targets if not c.pinned]
        self.n_inputs = n_inputs
        self.n_dense = network.inputs.size
        self.support = torch.arange(self.n_dense)
        self.starved: list[str] = []

    def prune(self, progress: float) -> Tensor:
        """Zero and remove what the schedule asks for at `progress` in [0, 1].

        Returns the positions of the inputs that stay among those there were.
        """
        keep = {c.name: self._step(c, progress) for c in self.targets}
        inputs = self.network.inputs
        kept = keep.get(inputs.name, torch.ones(inputs.size, dtype=torch.bool))
        self.support = self.support[kept.cpu()]
        compact_(self.network, keep, self.optimizer)
        return kept.nonzero().flatten()

    def importances(self) -> Tensor:
        """Return the saliency of every input, 0 for those that went."""
        full = torch.zeros(self.n_dense)
        found = self._saliency(self.network.inputs)
        full[self.support] = found.float().cpu()
        return full

    def _saliency(self, channels: Channels) -> Tensor:
        return saliency(self.network, channels, self.optimizer, self.batch_size)

    def _step(self, channels: Channels, progress: float) -> Tensor:
        """Take the proximal step on one set of channels; return what stays."""
        s = self._saliency(channels)
        if channels is self.network.inputs and self.n_inputs is not None:
            # The threshold is whatever leaves as many as the schedule asks for.
            excess = (self.n_dense - self.n_inputs) * (1 - progress) ** 3
            n_keep = min(self.n_inputs + round(excess), len(s))
            order = s.argsort(descending=True, stable=True)
            keep = torch.zeros_like(s, dtype=torch.bool)
            keep[order[:n_keep]] = True
            threshold = float(s[order[n_keep]]) if n_keep < len(s) else 0.0
        else:
            threshold = self.alpha * progress**3
            keep = self.penalty.prox(s, threshold) > 0
            if not keep.any():
                self.starved.append(channels.name)
                keep[s.argmax()] = True
        left = self.penalty.prox(s, threshold)
        # Where ties or the last group are kept by rule, they stay as they are.
        scale = torch.where(left > 0, left / s, 1.0)
        if not bool((scale == 1).all()):
            self._scale_(channels, scale)
        return keep

    def _scale_(self, channels: Channels, scale: Tensor) -> None:
        with torch.no_grad():
            for p, axis in zip(*connections(self.network, channels), strict=True):
                shape = [-1 if d == axis.dim else 1 for d in range(p.ndim)]
                p.mul_(scale.view(shape))
