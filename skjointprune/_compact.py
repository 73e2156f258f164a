"""Trace back and compact: (network, masks) to a smaller network.

Zeroing a group and removing it give the same outputs. A removed unit that still
says something when zeroed (a sigmoid says 0.5) says a constant, which is folded
into the bias of the layers that read it.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ._groups import Axis, Channels, Network, get_tensor, owner


def zero_groups_(network: Network, keep: Mapping[str, Tensor]) -> None:
    """Zero, in place, the groups of each channel set that `keep` leaves out."""
    with torch.no_grad():
        for channels in network.channels:
            if channels.name in keep:
                dead = (~keep[channels.name]).nonzero().flatten()
                for axis in channels.zeroed:
                    get_tensor(network.module, axis.tensor).index_fill_(
                        axis.dim, dead, 0
                    )


def compact(network: Network, keep: Mapping[str, Tensor]) -> Network:
    """Return a smaller network that computes what the zeroed one computes.

    Parameters
    ----------
    network : Network
        Left as it is.
    keep : mapping of str to bool tensor
        For names of channels, which to keep; the others are kept whole.

    Returns
    -------
    Network
        Over the retained inputs, with the retained units.
    """
    module = deepcopy(network.module)
    small = replace(network, module=module, channels=deepcopy(network.channels))
    compact_(small, keep)
    return small


def compact_(
    network: Network, keep: Mapping[str, Tensor], optimizer: Optimizer | None = None
) -> None:
    """Compact in place; the state of an optimiser shrinks with its parameters.

    Raises
    ------
    ValueError
        If a mask names channels that must be kept whole, has the wrong size, or
        keeps nothing. The network is then untouched.
    """
    _check(network, keep)
    keep = {name: mask for name, mask in keep.items() if not mask.all()}
    zero_groups_(network, keep)
    _fold_constants_(network, keep, optimizer)
    index: dict[str, dict[int, Tensor]] = {}
    for channels in network.channels:
        if channels.name in keep:
            kept = keep[channels.name].nonzero().flatten()
            channels.size = len(kept)
            for axis in channels.axes:
                index.setdefault(axis.tensor, {})[axis.dim] = kept
    for tensor, cuts in index.items():
        _cut_(network.module, tensor, cuts, optimizer)


def _check(network: Network, keep: Mapping[str, Tensor]) -> None:
    by_name = {c.name: c for c in network.channels}
    for name, mask in keep.items():
        channels = by_name.get(name)
        if channels is None or channels.pinned or len(mask) != channels.size:
            if channels is None:
                why = "no channels have this name"
            else:
                why = channels.pinned or f"there are {channels.size}"
            raise ValueError(
                f"The channels {name!r} cannot be cut by a mask of {len(mask)}: {why}. "
                "Name channels that are not pinned, and give one entry each."
            )
        if not mask.any():
            raise ValueError(
                f"The mask of the channels {name!r} keeps none. Keep at least one."
            )


def _fold_constants_(
    network: Network, keep: Mapping[str, Tensor], optimizer: Optimizer | None
) -> None:
    """Add what zeroed units still say to the bias of the layers that read them."""
    thinned = [channels for channels in network.hidden if channels.name in keep]
    heard = _heard_by_readers(network, thinned)
    for channels in thinned:
        dead = ~keep[channels.name]
        for axis in channels.read_by:
            layer, _ = owner(network.module, axis.tensor)
            assert isinstance(layer, nn.Linear)
            constant = heard[axis.tensor][dead]
            if not constant.any():
                continue
            shift = layer.weight.detach()[:, dead].double() @ constant  # (out,)
            if layer.bias is None:
                _add_bias_(network, axis.tensor, layer, optimizer)
            with torch.no_grad():
                layer.bias.add_(shift.to(layer.bias.dtype))


def _add_bias_(
    network: Network, weight: str, layer: nn.Linear, optimizer: Optimizer | None
) -> None:
    """Give a layer a bias of zeros, known to its channels and to the optimiser."""
    layer.bias = nn.Parameter(torch.zeros_like(layer.weight[:, 0]))
    for channels in network.channels:
        if Axis(weight, 0) in channels.produced_by:
            bias = Axis(weight.removesuffix("weight") + "bias", 0)
            channels.produced_by.append(bias)
    if optimizer is not None:
        optimizer.param_groups[0]["params"].append(layer.bias)


def _heard_by_readers(network: Network, thinned: list[Channels]) -> dict[str, Tensor]:
    """Run one row through the zeroed network; note what each reader is given.

    Whatever row it is: what zeroed units say does not depend on the input.
    """
    heard: dict[str, Tensor] = {}
    if not thinned:
        return heard
    probe = deepcopy(network.module).double().eval()

    def listen(tensor: str):
        def hook(layer, args):
            heard[tensor] = args[0][0]  # (units,)

        return hook

    for channels in thinned:
        for axis in channels.read_by:
            layer, _ = owner(probe, axis.tensor)
            layer.register_forward_pre_hook(listen(axis.tensor))
    with torch.no_grad():
        device = next(probe.parameters()).device
        probe(torch.zeros(1, network.inputs.size, dtype=torch.float64, device=device))
    return heard


def _cut_(
    module: nn.Module,
    tensor: str,
    cuts: Mapping[int, Tensor],
    optimizer: Optimizer | None,
) -> None:
    """Replace a tensor, and the optimiser's moments of it, by the kept part."""

    def cut(full: Tensor) -> Tensor:
        for dim, kept in cuts.items():
            full = full.index_select(dim, kept)
        return full

    layer, attribute = owner(module, tensor)
    old = getattr(layer, attribute)
    new = cut(old.detach())
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
        if old.grad is not None:
            new.grad = cut(old.grad)
        if optimizer is not None:
            _swap_(optimizer, old, new, cut)
    setattr(layer, attribute, new)
    _resize_(layer)


def _swap_(optimizer: Optimizer, old: nn.Parameter, new: nn.Parameter, cut) -> None:
    for group in optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    if old in optimizer.state:
        state = optimizer.state.pop(old)
        optimizer.state[new] = {
            key: cut(value)
            if isinstance(value, Tensor) and value.shape == old.shape
            else value
            for key, value in state.items()
        }


def _resize_(layer: nn.Module) -> None:
    """Let a layer's attributes say its new size."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.BatchNorm1d):
        held = layer.weight if layer.affine else layer.running_mean
        if held is not None:
            layer.num_features = len(held)
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = len(layer.weight)
