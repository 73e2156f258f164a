"""Compaction: from a network and masks of its channels to a smaller network.

Zeroing a group and removing it give the same outputs. Of a zeroed unit a constant may
be left (0.5 after a sigmoid): it is folded into the bias of the layers that read it.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._utils.torch import full_precision
from .labels import CONSTANT
from .network import INPUTS, Axis, Network
from .probes import absorbs_constants, record_reads
from .tensors import get_tensor, locate_tensor, names_of_tensors


def zero_groups_(network: Network, keep: Mapping[str, Tensor]) -> None:
    """Zero, in place, the groups of each channel set that `keep` leaves out."""
    for channels in network.channels:
        if channels.name in keep:
            for axis in network.zeroed(channels):
                t = get_tensor(network.module, axis.tensor)
                dead = axis.where(~keep[channels.name]).nonzero().flatten()
                with torch.no_grad():
                    t.index_fill_(axis.dim, dead.to(t.device), 0)
    network.forget_()


TOLERANCE = 1e-4  # relative to the largest output


def is_exact(network: Network, keep: Mapping[str, Tensor], rows: Tensor) -> bool:
    """Tell whether the compact network computes what the zeroed one does, on rows."""
    trial = network.copy()
    zero_groups_(trial, keep)
    trial.module.eval()
    left = rows
    if INPUTS in keep:
        kept = keep[INPUTS].nonzero().flatten().to(rows.device)
        left = rows.index_select(network.input_dim, kept)
    n_rows = (len(rows), 1) if network.one_row_apart else (len(rows),)
    with full_precision(rows.device), torch.no_grad():
        # copies, as the code may change what it is given
        expected = [trial.module(rows[:n].clone()) for n in n_rows]
        compact_(trial, keep)
        try:
            got = [trial.module(left[:n].clone()) for n in n_rows]
        except Exception:  # sizes that do not fit: whatever the module raises
            return False
    return all(_is_close(*outputs) for outputs in zip(got, expected, strict=True))


def _is_close(got: Tensor, expected: Tensor) -> bool:
    if got.shape != expected.shape:
        return False
    difference = (got - expected).abs().max()
    return bool(difference <= TOLERANCE * expected.abs().max() + 1e-6)


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
    cuts: dict[str, dict[int, Tensor]] = {}  # of each tensor and dimension, a mask
    for channels in network.channels:
        if channels.name in keep:
            mask = keep[channels.name]
            for axis in channels.axes + channels.counted_by + channels.averaged_by:
                kept = axis.where(mask, otherwise=True)
                of = cuts.setdefault(axis.tensor, {})
                of[axis.dim] = of[axis.dim] & kept if axis.dim in of else kept
            channels.size = int(mask.sum())
            if channels.must_stay is not None:
                channels.must_stay = channels.must_stay[mask.cpu()]
    _renumber_(network, keep, cuts)
    if INPUTS in keep:
        shape = list(network.input_shape)
        shape[network.input_dim - 1] = network.inputs.size
        network.input_shape = tuple(shape)
    names = names_of_tensors(network.module)
    for tensor, masks in cuts.items():
        if tensor in names:
            kept_slots = {dim: m.nonzero().flatten() for dim, m in masks.items()}
            _cut_(network.module, names[tensor], kept_slots, optimizer)
        else:  # an attribute that counts channels
            layer, attribute = locate_tensor(network.module, tensor)
            setattr(layer, attribute, int(masks[0].sum()))
    for layer in network.module.modules():
        if isinstance(layer, nn.RNNBase):
            layer.flatten_parameters()  # which a GPU asks for
    network.forget_()


def _renumber_(
    network: Network,
    keep: Mapping[str, Tensor],
    cuts: Mapping[str, Mapping[int, Tensor]],
) -> None:
    """Set the channel of each slot of all axes as it is after the cut."""
    for channels in network.channels:
        for axes in (
            channels.produced_by,
            channels.carried_by,
            channels.read_by,
            channels.counted_by,
            channels.averaged_by,
        ):
            for i, axis in enumerate(axes):
                cut = cuts.get(axis.tensor, {}).get(axis.dim)
                if cut is None or axis.slots is None:
                    continue
                slots = axis.slots[cut.cpu()]
                if channels.name in keep:
                    number = keep[channels.name].cpu().long().cumsum(0) - 1
                    mine = slots.clamp(min=0)
                    slots = torch.where(slots == CONSTANT, CONSTANT, number[mine])
                axes[i] = replace(axis, slots=slots)


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
        if channels.must_stay is not None and channels.must_stay[~mask.cpu()].any():
            raise ValueError(
                f"The mask of the channels {name!r} leaves out some that must stay. "
                "Keep all of `must_stay`."
            )
        if not mask.any():
            raise ValueError(
                f"The mask of the channels {name!r} keeps none. Keep at least one."
            )


def _fold_constants_(
    network: Network, keep: Mapping[str, Tensor], optimizer: Optimizer | None
) -> None:
    """Add the constants that are left of zeroed units to the bias of their readers."""
    thinned = [channels for channels in network.hidden if channels.name in keep]
    axes = [a for c in thinned for a in c.read_by if a in network.reads_constants]
    if not axes:
        return
    # Any row will do: constants do not depend on the input.
    probe = deepcopy(network.module).eval()
    read = record_reads(probe, axes, torch.zeros(2, *network.input_shape))
    for channels in thinned:
        for axis in channels.read_by:
            layer, _ = locate_tensor(network.module, axis.tensor)
            if axis not in read or not absorbs_constants(layer):
                continue  # those that do not absorb were found to read zeros
            dead = axis.where(~keep[channels.name])
            constant = read[axis].flatten(0, -2)[0, dead].double()
            if not constant.any():
                continue
            assert isinstance(layer.weight, Tensor)
            W = layer.weight.detach()[:, dead].double()  # (out, dead, …)
            shift = W.reshape(len(W), len(constant), -1).sum(2) @ constant  # (out,)
            if layer.bias is None:
                _add_bias_(network, axis.tensor, layer, optimizer)
            assert isinstance(layer.bias, nn.Parameter)
            with torch.no_grad():
                layer.bias.add_(shift.to(layer.bias.dtype))


def _add_bias_(
    network: Network, weight: str, layer: nn.Module, optimizer: Optimizer | None
) -> None:
    """Give a layer a bias of zeros, known to its channels and to the optimiser."""
    assert isinstance(layer.weight, Tensor)
    layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))
    name = weight.removesuffix("weight") + "bias"
    for channels in network.channels:
        channels.produced_by += [
            replace(axis, tensor=name)
            for axis in channels.produced_by
            if axis == Axis(weight, 0)
        ]
    if optimizer is not None:
        optimizer.param_groups[0]["params"].append(layer.bias)


def _cut_(
    module: nn.Module,
    names: list[str],
    cuts: Mapping[int, Tensor],
    optimizer: Optimizer | None,
) -> None:
    """Replace a tensor, and the optimiser's state of it, by the part that is kept."""

    def cut(full: Tensor) -> Tensor:
        layout = torch.contiguous_format
        if full.ndim == 4 and full.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last  # or each step would convert it
        for dim, kept in cuts.items():
            full = full.index_select(dim, kept.to(full.device))
        return full.contiguous(memory_format=layout)

    old = get_tensor(module, names[0])
    new = cut(old.detach())
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
        if old.grad is not None:
            new.grad = cut(old.grad)
        if optimizer is not None:
            _swap_(optimizer, old, new, cut)
    for name in names:
        layer, attribute = locate_tensor(module, name)
        setattr(layer, attribute, new)


def _swap_(optimizer: Optimizer, old: nn.Parameter, new: nn.Parameter, cut) -> None:
    for group in optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    if old in optimizer.state:
        state = optimizer.state.pop(old)
        held = [v for v in state.values() if isinstance(v, Tensor) and v.ndim]
        if any(v.shape != old.shape for v in held):
            return  # state of rows and columns, as Adafactor has: it begins anew
        optimizer.state[new] = {
            key: cut(value)
            if isinstance(value, Tensor) and value.shape == old.shape
            else value
            for key, value in state.items()
        }
