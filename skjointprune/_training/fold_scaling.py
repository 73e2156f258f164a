"""Fold the standardisation of inputs and targets into a finished network."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from .._data.prepare import Scaling
from .._graph.network import Network
from .._layers.affine import Affine
from .._layers.wrap import wrap
from .._utils.torch import kind_of_rows

# Above this many standard deviations between a column and zero, a folded layer
# subtracts numbers too large for float32.
LARGEST_OFFSET = 1e3
# Beyond this scale, or below one over it, factors are at the limits of float32.
LARGEST_SCALE = 1e30


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
        From standardised inputs to standardised targets. Left as it is, but where
        columns are far from zero its module becomes one of float64; the result is a
        copy of the module, or around it.
    inputs, targets : Scaling or None
        Of each, where it was standardised.
    mask : Tensor or None
        What of an image is not to be zeroed, (channels, height, width).
    """
    module = network.module
    if mask is not None and inputs is None:
        inputs = Scaling(*torch.tensor([0.0, 1.0]).double()[:, None, None, None])
    for scaling in (inputs, targets):
        if scaling is not None and _needs_double(scaling):
            module.double()
    kind = kind_of_rows(module)
    rows = torch.randn(
        4,
        *network.input_shape,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
    )
    within = ""  # where the user's network is
    if inputs is not None:
        rows = rows * inputs.scale.cpu() + inputs.mean.cpu()
        scale = (1 / inputs.scale).to(kind["device"])
        shift = -inputs.mean.to(kind["device"]) * scale
        if mask is not None:
            scale, shift = scale * mask, shift * mask
        affine = Affine(scale.to(kind["dtype"]), shift.to(kind["dtype"]))
        wrapped = wrap(module, "inputs", affine)
        # Around an image a convolution pads with zeros, after standardisation.
        module = _folded(module, network.first_layers, _fold_before_, wrapped, rows)
        within = "network." if module is wrapped else ""
    if targets is not None:
        scale = targets.scale.to(kind["device"])
        shift = targets.mean.to(kind["device"])
        affine = Affine(scale.to(kind["dtype"]), shift.to(kind["dtype"]))
        wrapped = wrap(module, "targets", affine)
        last = [] if network.last_layer is None else [within + network.last_layer]
        module = _folded(module, last, _fold_after_, wrapped, rows)
    return module


def _needs_double(scaling: Scaling) -> bool:
    """Tell whether float32 cannot hold a scaling."""
    offset = (scaling.mean / scaling.scale).abs().max()
    scale = scaling.scale
    beyond = torch.stack([scale.max(), 1 / scale.min()]).max()
    return bool(offset > LARGEST_OFFSET or beyond > LARGEST_SCALE)


def _folded(
    module: nn.Module,
    layers: list[str],
    fold_: Callable[[nn.Module, Affine], None],
    wrapped: nn.Sequential,
    rows: Tensor,
) -> nn.Module:
    """Return the module with an affine map folded into layers, or else wrapped in it.

    Code may use a layer, or its weights, in more than one place, or have hooks around
    it: outputs say whether the two are the same, in float64.
    """
    if not layers:
        return wrapped
    affine = next(m for m in wrapped if isinstance(m, Affine))
    kind = kind_of_rows(module)
    try:
        folded = deepcopy(module).cpu().double().eval()
        for name in layers:
            fold_(folded.get_submodule(name), deepcopy(affine).cpu().double())
        with torch.no_grad():
            expected = deepcopy(wrapped).cpu().double().eval()(rows)
            got = folded(rows)
    except Exception:  # whatever the module raises, in float64
        return wrapped
    if not (got - expected).abs().max() <= 1e-7 * expected.abs().max():
        return wrapped
    return folded.to(**kind)


def _fold_before_(layer: nn.Module, affine: Affine) -> None:
    assert isinstance(layer, nn.Linear)
    W = layer.weight.detach().double()  # (out, inputs)
    _set_(layer, W * affine.scale, _bias(layer) + W @ affine.shift)


def _fold_after_(layer: nn.Module, affine: Affine) -> None:
    assert isinstance(layer, nn.Linear)
    W = layer.weight.detach().double()
    bias = _bias(layer) * affine.scale + affine.shift
    _set_(layer, W * affine.scale[:, None], bias)


def _bias(layer: nn.Linear) -> Tensor:
    if layer.bias is None:
        return torch.zeros_like(layer.weight[:, 0], dtype=torch.float64)
    return layer.bias.detach().double()


def _set_(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
    layer.bias = nn.Parameter(bias.to(layer.weight.dtype))
