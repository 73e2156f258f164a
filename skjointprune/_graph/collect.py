"""From labels to channels: which tensors belong to each, and what is kept whole."""

import torch
from torch import Tensor, nn

from .labels import CONSTANT, OUTPUT, Bound, Labels, varies
from .network import IN_GROUPS, INPUTS, Axis, Channels
from .tensors import get_tensor

OF_INPUTS = "they hang together with the inputs, which stay"


def collect(labels: Labels, inputs: Tensor) -> tuple[list[Channels], int]:
    """Collect groups that the same tensors belong to into channels.

    Returns the channels of the inputs, then the others in the order of their first
    layers; and the dimension of a row that holds the inputs.
    """
    roles = (b for there in labels.bound.values() for b in there.values())
    bound = [(b, labels.roots(b.labels)) for b in roles]
    why = labels.reasons_of_roots()
    roots = labels.roots(inputs.flatten()).view(inputs.shape)
    dims = [d for d in range(inputs.ndim) if varies(roots, d)]
    # the inputs of an image are its channels, whatever the code reads
    dim = dims[0] if dims and inputs.ndim < 3 else 0
    own = roots.movedim(dim, 0).reshape(roots.shape[dim], -1)[:, 0].tolist()
    pinned = next((why[r] for r in set(roots.flatten().tolist()) if r in why), None)
    if set(dims) - {dim}:
        pinned = pinned or "they are read one by one, not by channels"
    elif len(set(own)) < len(own):
        pinned = pinned or IN_GROUPS
    of_inputs = set(roots.flatten().tolist())
    for b, of in bound:
        if b.role == "average" and of_inputs.intersection(of.tolist()):
            pinned = pinned or f"{b.tensor.rpartition('.')[0]!r} takes means over them"
    channels = [_channels(INPUTS, own if pinned is None else [], bound)]
    channels[0].size, channels[0].pinned = len(own), pinned

    touched: dict[int, list[int]] = {}
    for i, (_, slots) in enumerate(bound):
        for root in set(slots.tolist()) - {CONSTANT}:
            touched.setdefault(root, []).append(i)
    alike: dict[tuple, list[int]] = {}
    for root in sorted(touched):
        reason = why.get(root)
        if root in of_inputs:
            # they are the inputs', or a layer before the network lets these go
            if not pinned or (pinned == IN_GROUPS and inputs.ndim == 1):
                continue
            reason = reason or OF_INPUTS
        alike.setdefault((*touched[root], reason), []).append(root)
    names = {INPUTS: 1}  # a layer may be called so
    for (*at, reason), members in alike.items():
        some = [bound[i] for i in at]
        made_by = [b.tensor for b, _ in some if b.role == "produce"]
        if reason == OUTPUT or not made_by:
            continue
        if members[0] in of_inputs and not _makes_units(labels.module, members, some):
            continue
        name = made_by[0].rpartition(".")[0] or made_by[0]
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name}#{names[name]}"
        found = _channels(name, members, some)
        if reason is None and len(members) == 1 and max(found.units_each) > 1:
            reason = "they all hang together"
        found.pinned = reason
        channels.append(found)
    return channels, dim + 1


def _makes_units(
    module: nn.Module, members: list[int], bound: list[tuple[Bound, Tensor]]
) -> bool:
    """Tell whether weights make several units of each of some groups of inputs.

    A scale of inputs, or a weight for each of them, makes none.
    """
    found = _channels("", members, bound)
    held = (get_tensor(module, axis.tensor) for axis in found.produced_by)
    return max(found.units_each) > 1 and any(tensor.ndim > 1 for tensor in held)


def _channels(
    name: str, members: list[int], bound: list[tuple[Bound, Tensor]]
) -> Channels:
    """Make channels of groups, given the root of each."""
    found = Channels(name, len(members))
    # the last is of others
    number = torch.full((max(members, default=0) + 2,), CONSTANT)
    number[torch.tensor(members, dtype=torch.int64)] = torch.arange(len(members))
    lists = {
        "produce": found.produced_by,
        "carry": found.carried_by,
        "read": found.read_by,
        "count": found.counted_by,
        "average": found.averaged_by,
    }
    for b, roots in bound:
        slots = number[roots.clamp(max=len(number) - 1)]
        if (slots == CONSTANT).all():
            continue
        plain = torch.equal(slots, torch.arange(len(members)))
        lists[b.role].append(Axis(b.tensor, b.dim, None if plain else slots, b.of))
    return found


def roots_made(channels: Channels, labels: Labels) -> set[int]:
    """Return the roots of the labels of what produces channels."""
    roots: set[int] = set()
    for axis in channels.produced_by:
        bound = labels.bound[labels.canonical(axis.tensor), axis.dim]
        every = torch.ones(channels.size, dtype=torch.bool)
        if "produce" in bound:
            of = bound["produce"].labels[axis.where(every)]
            roots |= labels.roots_in(of.tolist())
    return roots
