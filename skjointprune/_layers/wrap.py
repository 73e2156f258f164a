"""A layer before or after a network, at a named place."""

from collections import OrderedDict

from torch import nn


def wrap(network: nn.Module, place: str, layer: nn.Module) -> nn.Sequential:
    """Return a network with a layer before it, or after it if `place` is "targets".

    The layer is named after its place, the network is named "network".
    """
    parts = [(place, layer), ("network", network)]
    return nn.Sequential(OrderedDict(parts[::-1] if place == "targets" else parts))
