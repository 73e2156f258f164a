"""Saliency of channels: how much worse a network would be without each.

A saliency is on the scale of the root of a loss, so that a penalty's proximal step
tells which saliency is left. `Saliency` is what the sparsifier asks; `FisherSaliency`
answers from the gradients of training.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from .._graph.network import Channels, Network
from .._graph.tensors import get_tensor
from .gates import InputGates

GATE_INTERVAL = 4  # one step in so many takes the gradients of gates, after
ALL_STEPS_BEFORE = 100  # steps that all do


class Saliency(Protocol):
    """A measure of the channels of one network while it is trained.

    An object is made for a network, its gates, and whatever else it needs: rows, their
    weights, the module itself. It is told of each step and each removal, and asked at
    each event. It may be asked several times between two steps, so a costly measure
    should remember its answer until it is told of something.
    """

    def watch(self) -> None:
        """Take note of a training step, after its backward pass."""

    def measure(self, channels: Channels) -> Tensor:
        """Return the saliency of each channel, (channels,), at least 0."""

    def measure_groups(self, channels: Channels, groups: Tensor) -> Tensor:
        """Return the saliency of groups of channels that go together, (groups,).

        `groups`, (channels,), numbers the group of each, 0, 1, ….
        """

    def keep(self, name: str, mask: Tensor) -> None:
        """Forget the channels that a mask, (channels,), leaves out: they go."""

    def scale(self, name: str, factors: Tensor) -> None:
        """Take note that the weights which read channels were scaled, (channels,)."""

    def state_dict(self) -> dict[str, Any]:
        """Return what it has learnt, as a tree of tensors and numbers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Know what one of the same network knew."""


class FisherSaliency:
    """Saliency by the Fisher information of a gate on each channel.

    Think of a gate on each channel, an input or a unit: a factor m, which is 1, before
    whatever reads the channel. Zeroing the channel is closing its gate. The saliency is

        saliency = sqrt( F(m) / 2 ),

    where F(m) is the Fisher information of the gate, the mean over rows of the squared
    derivative of the loss by m. F(m) / 2 is the second-order estimate of what closing
    the gate costs in loss (LeCun, Denker, Solla, "Optimal Brain Damage", 1989; with F
    for the Hessian, Theis et al., arXiv 1801.05787). The derivative is a sum over the
    weights that read the channel, of weight times gradient. Only a running mean of its
    square is stored.

    Parameters
    ----------
    network : Network
    gates : InputGates
        Before its inputs.
    batch_size : float
        Rows of one training step, on average.
    memory : float
        Over how many steps, the last ones, squared gradients are averaged.

    Attributes
    ----------
    squares : dict of str to Tensor
        The running mean, over steps, of the squared derivative by each gate,
        (channels,), by name of the channels.
    """

    def __init__(
        self, network: Network, gates: InputGates, batch_size: float, memory: float
    ):
        self.network = network
        self.gates = gates
        self.batch_size = batch_size
        self.decay = 1 - 1 / memory
        self.n_steps = 0
        device = next(network.module.parameters()).device
        self.squares = {
            c.name: torch.zeros(c.size, device=device)
            for c in [network.inputs, *gates.channels, *network.hidden]
        }
        # the share of each mean that is still the zero it began with
        self._share_of_zero = dict.fromkeys(self.squares, 1.0)
        gates.records_gradient = True

    def watch(self) -> None:
        """Take the gradients of a training step into account."""
        for c in self.network.channels:
            self._average(c.name, gate_gradient(self.network, c), self.decay)
        if self.gates.channels:
            self._watch_gates(self.n_steps)
        self.n_steps += 1

    def measure(self, channels: Channels) -> Tensor:
        """Return the saliency of each channel, (channels,)."""
        unbiased = max(1 - self._share_of_zero[channels.name], 1 - self.decay)
        # A batch's mean gradient has the batch's size times less variance than a row's.
        fisher = self.batch_size * self.squares[channels.name] / unbiased
        return (fisher / 2).sqrt()

    def measure_groups(self, channels: Channels, groups: Tensor) -> Tensor:
        """Return the saliency of groups of channels that go together, (groups,).

        The sum of squared saliencies is what a group is worth, but also grows with
        noise. Their mean is fair to noise, but not to a category, of which each row has
        one column. The geometric mean of the two is fair to both.
        """
        return saliency_of_groups(self.measure(channels), groups)

    def keep(self, name: str, mask: Tensor) -> None:
        """Forget the channels that a mask, (channels,), leaves out."""
        self.squares[name] = self.squares[name][mask]

    def scale(self, name: str, factors: Tensor) -> None:
        """Scale the saliency of channels as their weights were, (channels,)."""
        self.squares[name] *= factors**2

    def state_dict(self) -> dict[str, Any]:
        """Return the running means, and of how many steps they are."""
        return {
            "squares": self.squares,
            "share_of_zero": self._share_of_zero,
            "n_steps": self.n_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take on the running means of one of the same network."""
        self.squares = state["squares"]
        self._share_of_zero = state["share_of_zero"]
        self.n_steps = state["n_steps"]

    def _watch_gates(self, step: int) -> None:
        """Take the gradients of gates, if this step has any, for all since the last."""
        if self.gates.records_gradient:
            decay = self.decay ** _gate_interval(step)
            for c in self.gates.channels:
                self._average(c.name, self.gates.gradient(c.name), decay)
        self.gates.records_gradient = (step + 1) % _gate_interval(step + 1) == 0

    def _average(self, name: str, gradient: Tensor, decay: float) -> None:
        self.squares[name].lerp_(gradient**2, 1 - decay)
        self._share_of_zero[name] *= decay


def saliency_of_groups(s: Tensor, groups: Tensor) -> Tensor:
    """Return the saliency of groups, (groups,), for saliencies of their channels."""
    groups = groups.to(s.device)
    total = torch.zeros(int(groups.max()) + 1, dtype=s.dtype, device=s.device)
    total.index_add_(0, groups, s**2)
    return (total / groups.bincount().sqrt()).sqrt()


def _gate_interval(step: int) -> int:
    """Return how many steps are from one gradient of gates to the next by now."""
    return 1 if step < ALL_STEPS_BEFORE else GATE_INTERVAL


def gate_gradient(network: Network, channels: Channels) -> Tensor:
    """Return the derivative of a batch's loss by each channel's gate, (channels,).

    Where no weight reads channels, as where queries meet keys, it is that of a factor
    to all that makes them.
    """
    parts = []
    for axis in channels.read_by or channels.produced_by:
        p = get_tensor(network.module, axis.tensor)
        if p.grad is not None:
            product = p.detach() * p.grad
            if p.is_complex():  # whose gradient is that by its conjugate
                product = (p.detach() * p.grad.conj()).real
            others = [dim for dim in range(p.ndim) if dim != axis.dim]
            of_slots = product.sum(dim=others) if others else product
            parts.append(axis.sum(of_slots, channels.size))
    return sum(parts[1:], start=parts[0]) if parts else torch.zeros(())
