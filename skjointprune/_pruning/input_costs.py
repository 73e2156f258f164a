"""Costs of inputs: what a network loses where an input is that of another row."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .._graph.network import Channels, Network
from .saliency import FisherSaliency

# Some rows to train on: X, and what gives the loss of each row for the outputs of the
# network, weighted so that their mean is the loss.
DrawnRows = tuple[Tensor, Callable[[Tensor], Tensor]]
# Given a generator, draws rows, as many at a time as are to be run at once.
DrawRows = Callable[[torch.Generator], Iterable[DrawnRows]]

POINTS = 2  # on the way, for each row, at an event: one in each half
MEMORY = 10  # events over which costs are averaged


class CostSaliency(FisherSaliency):
    """Saliency of inputs by what losing them costs; of units by the Fisher information.

    The derivative by a gate at 1 says what a small turn of it costs. Where targets have
    steps and interactions, that is not what losing the input costs; and as residuals
    vanish it measures noise. The cost is finite: on the line from another row to a row,
    the loss falls by the integral of its gradient, of which each input has a share
    (expected gradients: Erion et al., "Improving performance of deep learning models
    with axiomatic attribution priors and expected gradients", Nature Machine
    Intelligence 3, 2021; the value of Aumann and Shapley). One backward pass tells the
    shares of all inputs, so their number costs nothing. Costs of a group add up.

    The saliency is the geometric mean of the root of the cost and the saliency of the
    gate: inputs that stand in for each other share a cost, and the gate tells them
    apart. The sum of its squares is that of gates, so that inputs and units, which are
    measured by gates alone, are worth as much beside each other as by gates.

    Parameters
    ----------
    network : Network
    draw_rows : callable
        Draws rows to train on, with the columns that are left.
    **params
        Of `FisherSaliency`.
    """

    def __init__(self, network: Network, draw_rows: DrawRows, **params):
        super().__init__(network, **params)
        self.draw_rows = draw_rows
        self.generator = torch.Generator().manual_seed(torch.initial_seed())
        self._mean = torch.zeros(network.inputs.size)
        self._share_known = 0.0
        self._is_current = False

    def watch(self) -> None:
        """Take the gradients of a training step into account."""
        super().watch()
        self._is_current = False

    def costs(self) -> Tensor:
        """Return what losing each input costs in loss, (inputs,); may be negative."""
        if not self._is_current:
            decay = 1 - 1 / MEMORY
            self._mean = decay * self._mean + (1 - decay) * self._expected_gradients()
            self._share_known = decay * self._share_known + (1 - decay)
            self._is_current = True
        return self._mean / self._share_known

    def measure(self, channels: Channels) -> Tensor:
        """Return the saliency of each channel, (channels,)."""
        of_gates = super().measure(channels)
        if channels is not self.network.inputs:
            return of_gates
        return _geometric_mean(self.costs(), of_gates)

    def measure_groups(self, channels: Channels, groups: Tensor) -> Tensor:
        """Return the saliency of groups of inputs that go together, (groups,)."""
        of_gates = super().measure_groups(channels, groups)
        if channels is not self.network.inputs:
            return of_gates
        total = torch.zeros(len(of_gates)).index_add_(0, groups.cpu(), self.costs())
        return _geometric_mean(total, of_gates)

    def keep(self, name: str, mask: Tensor) -> None:
        """Forget the channels that a mask, (channels,), leaves out."""
        super().keep(name, mask)
        if name == self.network.inputs.name:
            self._mean = self._mean[mask.cpu()]

    def state_dict(self) -> dict[str, Any]:
        """Return the means, and the state of the generator."""
        return super().state_dict() | {
            "mean": self._mean,
            "share_known": self._share_known,
            "is_current": self._is_current,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take on the means of one of the same network, and draw as it would."""
        super().load_state_dict(state)
        self._mean, self._share_known = state["mean"], state["share_known"]
        self._is_current = state["is_current"]
        self.generator.set_state(state["generator"])

    def _expected_gradients(self) -> Tensor:
        """Return what each input gives up on the way from another row, (inputs,)."""
        module = self.network.module
        training = [(layer, layer.training) for layer in module.modules()]
        module.eval()
        shares = torch.zeros(self.network.inputs.size)
        n_rows = 0
        for part in range(POINTS):
            for X, losses in self.draw_rows(self.generator):
                other = X[torch.randperm(len(X), generator=self.generator).to(X.device)]
                way = X - other
                t = torch.rand(len(X), 1, generator=self.generator).to(X.device)
                at = (other + (part + t) / POINTS * way).requires_grad_()
                # the code may change what it is given
                loss = losses(module(at.clone())).sum()
                (gradient,) = torch.autograd.grad(  # one may be looked up, or rounded
                    loss, at, allow_unused=True, materialize_grads=True
                )
                shares -= (gradient * way).sum(dim=0).cpu()
                n_rows += len(X)
        for layer, mode in training:
            layer.training = mode
        return shares / n_rows


def _geometric_mean(costs: Tensor, saliency: Tensor) -> Tensor:
    """Return the mean of the roots of costs and a saliency, on the scale of that."""
    least = 1e-12  # what seems to do harm is worth no more than nothing
    mean = (costs.to(saliency).clamp(min=least).sqrt() * saliency).sqrt()
    return mean * (saliency.norm() / mean.norm().clamp(min=least))
