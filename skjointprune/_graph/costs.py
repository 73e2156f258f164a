"""Costs of a network, and what a unit saves, counted on its weights."""

import torch
from torch import nn

from .network import Channels, Network
from .tensors import get_tensor


def saved_by_a_unit(network: Network, channels: Channels, what: str) -> float:
    """Return how many MACs, or parameters ("params"), one unit saves when it goes."""
    saved = 0.0
    for axis in channels.axes:
        tensor = get_tensor(network.module, axis.tensor)
        if isinstance(tensor, nn.Parameter):
            share = 1.0
            if axis.slots is not None:
                mine = torch.ones(channels.size, dtype=torch.bool)
                share = float(axis.where(mine).float().mean())
            times = 1 if what == "params" else network.positions.get(axis.tensor, 0)
            saved += share * tensor.numel() * times
    return saved / channels.size


def saved_by_the_mean_unit(network: Network, what: str) -> float:
    """Return the mean of `saved_by_a_unit` over all units, 0 where none is known."""
    if not network.hidden:
        return 0.0
    saved = sum(c.size * saved_by_a_unit(network, c, what) for c in network.hidden)
    return saved / sum(c.size for c in network.hidden)


def macs_of_weights(network: Network) -> int:
    """Return the MACs for one row of all that multiplies by weights."""
    return sum(
        times * get_tensor(network.module, weight).numel()
        for weight, times in network.positions.items()
    )
