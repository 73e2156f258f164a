"""Groups of a module: which parameters go together.

`trace.py` makes the graph, `propagate.py` sends labels through it by the rules of
layers and functions, and `probes.py` runs the module. Here the labels are collected
into channels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, fx, nn

from .._layers.scatter_inputs import ScatterInputs
from .._layers.sizes import let_sizes_follow_
from .._layers.stand_ins import with_prunable_norms
from .._layers.wrap import wrap
from .._utils.torch import kind_of_rows
from .attributes import is_question
from .compact import is_exact
from .gradients import find_untold_inputs
from .labels import CONSTANT, OUTPUT, Bound, Labels, varies
from .network import IN_GROUPS, INPUTS, Axis, Channels, Network
from .probes import (
    PROBED_ROWS,
    find_constants_,
    pin_what_has_no_gradient_,
    redraw_,
)
from .propagate import propagate_labels
from .refusals import explaining
from .rules.registry import has_registered_rule
from .sizes import next_choices, renew_divisors, settle_sizes, sizes_to_put_in
from .tensors import get_tensor
from .trace import note_shapes_, refuse_hooks_of_old, trace, what_is_remembered


def find_groups(module: nn.Module, input_shape: Iterable[int]) -> Network:
    """Trace a module that maps rows of a shape to (rows, outputs) into its groups.

    Raises
    ------
    ValueError
        If the module cannot be traced, does not run on rows of this shape, does not
        return one 2-D tensor, or has no parameters.
    """
    shape = tuple(input_shape)
    if not any(p.requires_grad for p in module.parameters()):
        raise ValueError(
            f"`module` {type(module).__name__} has no parameters to train. Add a layer "
            "that reads the inputs, such as torch.nn.Linear, or let some require "
            "gradients."
        )
    with_prunable_norms(module, has_registered_rule)
    refuse_hooks_of_old(module)
    with explaining(module):
        return _find_groups(module, shape)


def _find_groups(module: nn.Module, shape: tuple[int, ...]) -> Network:
    there = set(vars(module))
    made: set[str] | None = None
    try:
        graph, remembered, one_row_apart = trace(module, shape)
        n_outputs = note_shapes_(module, graph, shape)
        remembered |= what_is_remembered(module, shape)
        made = set(vars(module)) - there

        def attempt(in_vain: set[str]) -> tuple[Network, set[str]]:
            labels, inputs, positions = _propagate(module, graph, shape, in_vain)
            for name, sizes in sizes_to_put_in(labels).items():
                let_sizes_follow_(module.get_submodule(name), sizes)
            channels, input_dim = _collect(labels, inputs)
            network = Network(
                module,
                channels,
                shape,
                input_dim,
                n_outputs,
                _first_layers(module, graph) if len(shape) == 1 else [],
                _last_layer(module, graph),
                positions,
                without_rule=labels.without_rule,
                by_function=_used_by_themselves(graph, labels),
                remembered=remembered,
                one_row_apart=one_row_apart,
            )
            untold, vary = find_constants_(network)
            pin_what_has_no_gradient_(network)
            _pin_what_adds_to_sums_(network, labels, inputs, untold, vary)
            _pin_what_is_decided_by_(network, labels)
            return network, _mixed_in_vain(network, labels)

        network, in_vain = attempt(set())
        if in_vain:
            network, _ = attempt(in_vain)
    finally:  # tracing leaves tensors that the code makes here
        for name in set(vars(module)) - there if made is None else made:
            delattr(module, name)
    return network


def _mixed_in_vain(network: Network, labels: Labels) -> set[str]:
    """Return the layers that mix positions of channels that all stay.

    Units of these layers may go instead.
    """
    pinned = set()
    for channels in network.channels:
        if channels.pinned:
            pinned |= _roots_made(channels, labels)
    return {
        node
        for node, x in labels.mixing.items()
        if len(labels.roots_in(labels.members(x)) - pinned) < 2
    }


def _roots_made(channels: Channels, labels: Labels) -> set[int]:
    """Return the roots of the labels of what produces channels."""
    roots: set[int] = set()
    for axis in channels.produced_by:
        bound = labels.bound[labels.canonical(axis.tensor), axis.dim]
        every = torch.ones(channels.size, dtype=torch.bool)
        if "produce" in bound:
            of = bound["produce"].labels[axis.where(every)]
            roots |= labels.roots_in(of.tolist())
    return roots


OF_INPUTS = "they hang together with the inputs, which stay"

# The signs and sizes by which parameters change for a trial: a ReLU may hide much.
CHANGES = ((0, 0.1), (1, 0.1), (-1, 0.1), (1, 1.0), (-1, 1.0))


def _goes_exactly(
    network: Network, keep: dict[str, Tensor], sign: int, by: float
) -> bool | None:
    """Try a cut, with parameters that are drawn anew.

    None where outputs are not finite, which tells nothing.
    """
    kinds = torch.float64, kind_of_rows(network.module)["dtype"]
    for kind in kinds:  # some code has a type written down
        trial = network.copy()
        trial.module.cpu().to(kind).eval()
        generator = torch.Generator().manual_seed(0)
        redraw_(trial.module, sign, generator, by)
        # each image has many positions
        n_rows = 2 if len(network.input_shape) > 2 else PROBED_ROWS
        shape = (n_rows, *network.input_shape)
        rows = torch.rand(shape, generator=generator, dtype=kind)
        try:
            with torch.no_grad():
                tells = trial.module(rows.clone()).isfinite().all()
        except Exception:  # whatever the module raises
            continue
        return is_exact(trial, keep, rows) if tells else None
    return False


SUMS = "to a sum of products, a mean or a maximum"


def _pin_what_adds_to_sums_(
    network: Network, labels: Labels, inputs: Tensor, untold: set[str], vary: set[str]
) -> None:
    """Keep channels whole that add to sums of products where all of them are zero.

    After a sigmoid, for example. No weight reads these products, so it is tried. And
    so are channels of parameters of which weights are computed, as by an exponential,
    and those that are `untold` by constants, or that `vary` as zeros. What varies and
    adds to a sum stays: what it costs to make it zero there is not known.
    """
    summed = {root for along in labels.summed for root in labels.roots(along).tolist()}
    of_inputs = labels.roots_in(labels.members(inputs))
    suspects: dict[str, str] = {}  # and what is said of them where they stay
    for channels in network.channels:
        roots = of_inputs if channels is network.inputs else set()
        computed = {a.tensor for a in channels.axes} & labels.computed
        roots |= _roots_made(channels, labels)
        adds = bool(roots & summed or computed)
        if channels.pinned or channels.size < 2:
            continue
        to = f"to what is computed of {min(computed)!r}" if computed else SUMS
        if adds and channels.name in vary:
            channels.pinned = f"zeroed, they still add {to}"
        elif adds:
            suspects[channels.name] = f"zeroed, they still add {to}"
        elif channels.name in untold | vary:
            suspects[channels.name] = "zeroed, they are still not constant"
    keep = {
        c.name: torch.arange(c.size) % 2 == 0
        for c in network.channels
        if c.name in suspects
    }
    if not keep or _always_goes_exactly(network, keep):  # one trial for all
        return
    for channels in network.channels:
        if channels.name not in suspects:
            continue
        found = _always_goes_exactly(network, {channels.name: keep[channels.name]})
        is_untold = channels.name in untold | vary
        if found is False or (is_untold and found is None):
            channels.pinned = suspects[channels.name]


def _always_goes_exactly(network: Network, keep: dict[str, Tensor]) -> bool | None:
    """Try a cut with parameters that change in five ways; None if none tells."""
    told = None
    for sign, by in CHANGES:
        found = _goes_exactly(network, keep, sign, by)
        if found is False:
            return False
        told = told or found
    return told


def _pin_what_is_decided_by_(network: Network, labels: Labels) -> None:
    """Keep channels whole that do not go exactly with an attribute that counts them.

    The code may do more with it than the graph tells, as by `range(self.n_features)`.
    """
    for channels in network.channels:
        counted = [a.tensor for a in channels.counted_by if a.tensor in labels.renewed]
        if channels.pinned or channels.size < 2 or not counted:
            continue
        keep = {channels.name: torch.arange(channels.size) % 2 == 0}
        if False in [_goes_exactly(network, keep, 1, by) for by in (0.1, 1.0)]:
            channels.pinned = labels.renewed[counted[0]]


def _propagate(
    module: nn.Module,
    graph: fx.Graph,
    shape: tuple[int, ...],
    in_vain: set[str],
) -> tuple[Labels, Tensor, dict[str, int]]:
    """Send labels through the graph, and take those choices by which most can go.

    Of layers that mix positions `in_vain` the units may go. Returns the labels, those
    of the inputs, and how often a row uses each weight.
    """
    chosen: dict[str, int] = {}
    found = []
    while True:  # at most as often as a split has choices
        labels = Labels(module, chosen, in_vain)
        found.append((labels, *propagate_labels(module, graph, labels, shape)))
        renew_divisors(labels)
        settle_sizes(labels)
        others = next_choices(labels)
        if not others:
            return max(found, key=lambda attempt: attempt[0].count_free())
        chosen = chosen | others


def let_inputs_go(network: Network, rows: Tensor) -> Network:
    """Return a network that can lose inputs, for one over a table whose are pinned.

    A layer before the module scatters the inputs that are left. Inputs whose gradients
    do not tell what they are worth, as where they are looked up, always stay. If none
    is left to go, the network is returned as it was given.
    """
    (width,) = network.input_shape
    untold = find_untold_inputs(network.module, rows)
    scaled = ~untold if untold.any() else None
    layer = ScatterInputs(width, scaled).to(**kind_of_rows(network.module))
    module = wrap(network.module, "places", layer)
    found = find_groups(module, network.input_shape)
    found.inputs.must_stay = untold if untold.any() else None
    if found.inputs.pinned or untold.all():
        network.inputs.pinned = (
            f"{network.inputs.pinned}, and gradients do not tell what they are worth"
        )
        return network
    _name_as_within_(found, "network.")
    return found


def _name_as_within_(network: Network, prefix: str) -> None:
    """Take a prefix from the names of layers, as if the inner module were alone."""
    names = {INPUTS: 1}
    for channels in network.hidden:
        path = channels.name.partition("#")[0]
        if f"{path}." == prefix:  # a parameter of the module itself
            path = channels.produced_by[0].tensor
        name = path.removeprefix(prefix)
        names[name] = names.get(name, 0) + 1
        channels.name = name if names[name] == 1 else f"{name}#{names[name]}"
        if channels.pinned:
            channels.pinned = channels.pinned.replace(f"'{prefix}", "'")
    network.without_rule = {
        name.removeprefix(prefix): why.replace(f"'{prefix}", "'")
        for name, why in network.without_rule.items()
    }


def _collect(labels: Labels, inputs: Tensor) -> tuple[list[Channels], int]:
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
    number = torch.full(
        (max(members, default=0) + 2,), CONSTANT
    )  # the last is of others
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


def _used_by_themselves(graph: fx.Graph, labels: Labels) -> set[str]:
    """Return the tensors that the code uses itself, and not only through a layer."""
    return {
        labels.canonical(str(node.target))
        for node in graph.nodes
        if node.op == "get_attr" and not all(map(is_question, node.users))
    }


def _first_layers(module: nn.Module, graph: fx.Graph) -> list[str]:
    users = next(n for n in graph.nodes if n.op == "placeholder").users
    if any(user.op != "call_module" for user in users):
        return []
    names = dict.fromkeys(str(user.target) for user in users)
    linear = all(type(module.get_submodule(n)) is nn.Linear for n in names)
    return [*names] if linear else []


def _last_layer(module: nn.Module, graph: fx.Graph) -> str | None:
    (source,) = next(n for n in graph.nodes if n.op == "output").all_input_nodes
    if source.op != "call_module":
        return None
    name = str(source.target)
    linear = type(module.get_submodule(name)) is nn.Linear
    return name if linear and len(source.users) == 1 else None
