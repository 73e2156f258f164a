"""What a fit puts around a network: a layer before it or after it, at a place."""

from collections import OrderedDict

from torch import nn


def put_around(network: nn.Module, place: str, layer: nn.Module) -> nn.Sequential:
    """Return the network, by that name, with a layer before it; targets come after."""
    parts = [(place, layer), ("network", network)]
    return nn.Sequential(OrderedDict(parts[::-1] if place == "targets" else parts))
