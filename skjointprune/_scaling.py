"""Fold the standardisation of inputs and targets into a finished network."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ._data import Scaling
from ._groups import Network

# Above this many standard deviations between a column and zero, a folded layer
# subtracts numbers too large for float32.
LARGEST_OFFSET = 1e3


class Affine(nn.Module):
    """Multiply by a scale and add a shift: to each column, or channel of an image.

    Stands before or after a layer that the two cannot be folded into.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, X: Tensor) -> Tensor:
        """Return the rows on the other scale."""
        return X * self.scale + self.shift


def fold_scaling(
    network: Network,
    inputs: Scaling | None,
    targets: Scaling | None,
    mask: Tensor | None = None,
) -> nn.Module:
    """Return a module from raw inputs to raw targets.

    Parameters
    ----------
    network : Network
        From standardised inputs to standardised targets. Its module is changed in
        place and is, or is part of, the result.
    inputs, targets : Scaling or None
        Of each, where it was standardised.
    mask : Tensor or None
        What of an image is not to be zeroed, (channels, height, width).
    """
    module = network.module
    if mask is not None and inputs is None:
        inputs = Scaling(*torch.tensor([0.0, 1.0]).double()[:, None, None, None])
    for scaling in (inputs, targets):
        if scaling and float((scaling.mean / scaling.scale).abs().max()) > (
            LARGEST_OFFSET
        ):
            module.double()
    parameter = next(module.parameters())
    if inputs is not None:
        scale = (1 / inputs.scale).to(parameter.device)
        shift = -inputs.mean.to(parameter.device) * scale
        if mask is not None:
            scale, shift = scale * mask, shift * mask
        # Around an image a convolution pads with zeros, after standardisation.
        if network.first_layers:
            for name in network.first_layers:
                _fold_before_(module.get_submodule(name), scale, shift)
        else:
            affine = Affine(scale.to(parameter.dtype), shift.to(parameter.dtype))
            module = nn.Sequential(OrderedDict(inputs=affine, network=module))
    if targets is not None:
        scale = targets.scale.to(parameter.device)
        shift = targets.mean.to(parameter.device)
        if network.last_layer is not None:
            _fold_after_(network.module.get_submodule(network.last_layer), scale, shift)
        else:
            affine = Affine(scale.to(parameter.dtype), shift.to(parameter.dtype))
            module = nn.Sequential(OrderedDict(network=module, targets=affine))
    return module


def _fold_before_(layer: nn.Module, scale: Tensor, shift: Tensor) -> None:
    assert isinstance(layer, nn.Linear)
    W = layer.weight.detach().double()  # (out, inputs)
    _set_(layer, W * scale, _bias(layer) + W @ shift)


def _fold_after_(layer: nn.Module, scale: Tensor, shift: Tensor) -> None:
    assert isinstance(layer, nn.Linear)
    W = layer.weight.detach().double()
    _set_(layer, W * scale[:, None], _bias(layer) * scale + shift)


def _bias(layer: nn.Linear) -> Tensor:
    if layer.bias is None:
        return torch.zeros_like(layer.weight[:, 0], dtype=torch.float64)
    return layer.bias.detach().double()


def _set_(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
    layer.bias = nn.Parameter(bias.to(layer.weight.dtype))
