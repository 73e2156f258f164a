"""Fold the standardisation of inputs into a finished network."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ._groups import Network

# Above this many standard deviations between a column and zero, a folded first layer
# subtracts numbers too large for float32.
LARGEST_OFFSET = 1e3


class Rescale(nn.Module):
    """Subtract a mean and divide by a scale, column by column.

    Stands before a first layer that the two cannot be folded into.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, X: Tensor) -> Tensor:
        """Return the standardised rows."""
        return (X - self.mean) / self.scale


def fold_scaling(network: Network, mean: Tensor, scale: Tensor) -> nn.Module:
    """Return a module that takes raw inputs, given one for standardised inputs.

    Parameters
    ----------
    network : Network
        Its module is changed in place and is, or is part of, the result.
    mean, scale : Tensor of shape (inputs,), float64
        What was subtracted from each column, and what it was then divided by.
    """
    module = network.module
    if float((mean / scale).abs().max()) > LARGEST_OFFSET:
        module.double()
    device = next(module.parameters()).device
    mean, scale = mean.to(device), scale.to(device)
    if not network.first_layers:
        dtype = next(module.parameters()).dtype
        rescale = Rescale(mean.to(dtype), scale.to(dtype))
        return nn.Sequential(OrderedDict(rescale=rescale, network=module))
    with torch.no_grad():
        for name in network.first_layers:
            layer = module.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            W = layer.weight.double() / scale  # (out, inputs)
            bias = torch.zeros(len(W), dtype=torch.float64, device=device)
            if layer.bias is not None:
                bias += layer.bias
            layer.weight.copy_(W)
            layer.bias = nn.Parameter((bias - W @ mean).to(layer.weight.dtype))
    return module
