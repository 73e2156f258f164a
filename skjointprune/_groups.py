"""Module to groups: which parameters live and die together.

The *channels* of a network are its inputs and the units of each layer. All that
belongs to one channel is a *group*: the parameters that produce it (rows of weights,
biases, a normalisation's scale and shift), what rides along (running statistics) and
the columns of weight that read it. The graph comes from `torch.fx`; `_rules` says how
the channels of each kind of layer hang together, `_labels` keeps what they say.
"""

from collections.abc import Iterable
from copy import copy, deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from ._context import kind_of_rows
from ._labels import CONSTANT, OUTPUT, Bound, Labels, get_tensor, owner, varies
from ._trace import run_shapes, trace, walk


@dataclass(frozen=True)
class Axis:
    """One dimension of one parameter or buffer, named as in `state_dict`.

    `slots`, (size of the dimension,), says whose channel each slot is, -1 for none of
    these channels; None where slot i is channel i. What reads channels, or takes means
    over them, does so along the dimension `of` what its layer is given.
    """

    tensor: str
    dim: int
    slots: Tensor | None = field(default=None, compare=False, repr=False)
    of: int = field(default=1, compare=False, repr=False)

    def where(self, mask: Tensor, otherwise: bool = False) -> Tensor:
        """Return a mask of channels as a mask of slots."""
        if self.slots is None:
            return mask
        slots = self.slots.to(mask.device)
        return torch.where(slots == CONSTANT, otherwise, mask[slots.clamp(min=0)])

    def factors(self, values: Tensor) -> Tensor:
        """Return a factor for each channel as one for each slot, 1 for others."""
        if self.slots is None:
            return values
        slots = self.slots.to(values.device)
        return torch.where(slots == CONSTANT, 1.0, values[slots.clamp(min=0)])

    def sum(self, values: Tensor, size: int) -> Tensor:
        """Return values of slots, (slots,), summed into each of `size` channels."""
        if self.slots is None:
            return values
        slots = self.slots.to(values.device)
        mine = slots != CONSTANT
        sums = torch.zeros(size, dtype=values.dtype, device=values.device)
        return sums.index_add_(0, slots[mine], values[mine])


@dataclass
class Channels:
    """Channels that hang together alike: `size` groups of parameters.

    `produced_by` are the parameters that must be zero for a channel to be zero,
    `carried_by` what shrinks with it, `read_by` the weights that consume it. `pinned`
    says why these channels must be kept whole. `counted_by` are attributes of layers
    that say how many there are, `averaged_by` those of layers that take means over
    them, where they must be zero to go.
    """

    name: str
    size: int
    produced_by: list[Axis] = field(default_factory=list)
    carried_by: list[Axis] = field(default_factory=list)
    read_by: list[Axis] = field(default_factory=list)
    pinned: str | None = None
    counted_by: list[Axis] = field(default_factory=list)
    averaged_by: list[Axis] = field(default_factory=list)

    def is_of_several(self) -> bool:
        """Tell whether one group is of several units."""
        mine = torch.ones(self.size, dtype=torch.bool)
        return any(
            axis.slots is not None and axis.where(mine).sum() > self.size
            for axis in self.produced_by
        )

    def copy(self) -> "Channels":
        """Return channels with lists of their own."""
        new = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list):
                setattr(new, name, list(value))
        return new

    @property
    def axes(self) -> list[Axis]:
        """Every axis that shrinks when a channel is removed."""
        return self.produced_by + self.carried_by + self.read_by


@dataclass
class Network:
    """A module and its channels: the inputs first, then layer by layer.

    `input_shape` is that of one row, of which dimension `input_dim` (1 is the first)
    holds the inputs. `first_layers` are the linear layers that read a table's inputs as
    they come; empty where something else stands before. `last_layer` is the linear
    layer whose outputs leave as they are, None where something else comes after.
    `positions` is how often each layer's weights are used for one row. `speaking` are
    the axes of weights that read a constant of units that are zero.
    """

    module: nn.Module
    channels: list[Channels]
    input_shape: tuple[int, ...]
    input_dim: int
    n_outputs: int
    first_layers: list[str] = field(default_factory=list)
    last_layer: str | None = None
    positions: dict[str, int] = field(default_factory=dict)
    speaking: set[Axis] = field(default_factory=set)

    @property
    def inputs(self) -> Channels:
        """The channels of the network's input."""
        return self.channels[0]

    @property
    def hidden(self) -> list[Channels]:
        """The channels between input and output."""
        return self.channels[1:]

    @property
    def kept_whole(self) -> dict[str, str]:
        """Channels that are never pruned, and why."""
        return {c.name: c.pinned for c in self.channels if c.pinned}

    def zeroed(self, channels: Channels) -> list[Axis]:
        """Return what is zero in a dead group: what makes a unit, or uses an input."""
        if channels is self.inputs:
            return channels.produced_by + channels.read_by
        return channels.produced_by


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
    there = set(vars(module))
    try:
        graph = trace(module)
        n_outputs = run_shapes(module, graph, shape)
        labels = Labels(module)
        inputs, positions = walk(module, graph, labels, shape)
    finally:  # tracing leaves tensors that the code makes here
        for made in set(vars(module)) - there:
            delattr(module, made)
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
    )
    _note_what_speaks_(network)
    _pin_what_has_no_gradient_(network)
    return network


def _collect(labels: Labels, inputs: Tensor) -> tuple[list[Channels], int]:
    """Gather groups that hang together alike into channels.

    Returns the inputs, then the others in the order of their first layers; and the
    dimension of a row that holds the inputs.
    """
    bound = [(b, labels.roots(b.labels)) for b in labels.bound.values()]
    why = labels.why()
    roots = labels.roots(inputs.flatten()).view(inputs.shape)
    dims = [d for d in range(inputs.ndim) if varies(roots, d)]
    dim = dims[0] if dims else 0
    own = roots.movedim(dim, 0).reshape(roots.shape[dim], -1)[:, 0].tolist()
    pinned = next((why[r] for r in set(roots.flatten().tolist()) if r in why), None)
    if len(dims) > 1:
        pinned = "they are read one by one, not by channels"
    elif len(set(own)) < len(own):
        pinned = pinned or "they are read in groups"
    of_inputs = set(roots.flatten().tolist())
    for b, of in bound:
        if b.role == "average" and of_inputs.intersection(of.tolist()):
            pinned = pinned or f"{b.tensor.rpartition('.')[0]!r} takes means over them"
    channels = [_channels("inputs", own if pinned is None else [], bound)]
    channels[0].size, channels[0].pinned = len(own), pinned

    touched: dict[int, list[int]] = {}
    for i, (_, slots) in enumerate(bound):
        for root in set(slots.tolist()) - {CONSTANT}:
            touched.setdefault(root, []).append(i)
    alike: dict[tuple, list[int]] = {}
    for root in sorted(touched):
        if root not in of_inputs:
            alike.setdefault((*touched[root], why.get(root)), []).append(root)
    names: dict[str, int] = {}
    for (*at, reason), members in alike.items():
        some = [bound[i] for i in at]
        made_by = [b.tensor for b, _ in some if b.role == "produce"]
        if reason == OUTPUT or not made_by:
            continue
        name = made_by[0].rpartition(".")[0] or made_by[0]
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name}#{names[name]}"
        found = _channels(name, members, some)
        if reason is None and not found.read_by:
            reason = "no weights read them"
        if reason is None and len(members) == 1 and found.is_of_several():
            reason = "they all hang together"
        found.pinned = reason
        channels.append(found)
    return channels, dim + 1


def _channels(
    name: str, members: list[int], bound: list[tuple[Bound, Tensor]]
) -> Channels:
    """Make channels of the groups that some roots stand for."""
    found = Channels(name, len(members))
    number = {root: i for i, root in enumerate(members)}
    lists = {
        "produce": found.produced_by,
        "carry": found.carried_by,
        "read": found.read_by,
        "count": found.counted_by,
        "average": found.averaged_by,
    }
    for b, roots in bound:
        slots = torch.tensor([number.get(r, CONSTANT) for r in roots.tolist()])
        if (slots == CONSTANT).all():
            continue
        plain = torch.equal(slots, torch.arange(len(members)))
        lists[b.role].append(Axis(b.tensor, b.dim, None if plain else slots, b.of))
    return found


def holders(module: nn.Module) -> dict[int, list[nn.Module]]:
    """Return the layers that have a parameter, by its id: of a shared one, several."""
    found: dict[int, list[nn.Module]] = {}
    for layer in module.modules():
        for p in layer.parameters(recurse=False):
            found.setdefault(id(p), []).append(layer)
    return found


def absorbs_constants(layer: nn.Module) -> bool:
    """Tell whether a constant that a layer reads can go into its bias."""
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not any(type(layer).forward is kind.forward for kind in plain):
        return False
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        padded = layer.padding_mode == "zeros" and layer.padding not in (0, "valid")
        return not (padded and any(layer._reversed_padding_repeated_twice))
    return True


def _note_what_speaks_(network: Network) -> None:
    """Note what units say when they are zeroed.

    Those that say what no bias can take up are kept whole.
    """
    probe = deepcopy(network.module).eval()
    generator = torch.Generator().manual_seed(0)
    for name, statistic in probe.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            random = torch.rand(statistic.shape, generator=generator) + 0.5
            statistic.copy_(random)
    with torch.no_grad():
        for p in probe.parameters():  # zeros, as some begin with, would silence them
            if p.is_floating_point():
                p.add_(0.1 * torch.rand(p.shape, generator=generator).to(p))
    silent = [c for c in network.hidden if not c.pinned]
    layers_of = holders(probe)
    with torch.no_grad():
        for channels in silent:
            for axis in channels.produced_by:
                t = get_tensor(probe, axis.tensor)
                all_dead = torch.ones(channels.size, dtype=torch.bool, device=t.device)
                t.index_fill_(axis.dim, axis.where(all_dead).nonzero().flatten(), 0)
    rows = torch.rand(2, *network.input_shape, generator=generator)
    heard = listen(probe, [a for c in silent for a in c.read_by + c.averaged_by], rows)
    for channels in silent:
        for axis in channels.read_by:
            if axis not in heard:
                continue
            mine = axis.where(torch.ones(channels.size, dtype=torch.bool))
            said = heard[axis][:, mine]  # (positions, slots)
            layers = layers_of[id(get_tensor(probe, axis.tensor))]
            constant = torch.allclose(said, said[:1]) and said[:1].isfinite().all()
            if said.any():
                network.speaking.add(axis)
            if not constant:
                channels.pinned = "they are not silent when they are zero"
            elif said.any() and (len(layers) > 1 or not absorbs_constants(layers[0])):
                channels.pinned = (
                    "a constant is left of them that the bias of "
                    f"{axis.tensor.rpartition('.')[0]!r} cannot take up"
                )
        for axis in channels.averaged_by:
            mine = axis.where(torch.ones(channels.size, dtype=torch.bool))
            if axis in heard and heard[axis][:, mine].any():
                layer = axis.tensor.rpartition(".")[0]
                channels.pinned = f"zeroed, they still add to means of {layer!r}"


def _pin_what_has_no_gradient_(network: Network) -> None:
    """Keep channels whole whose saliency would not be known.

    It comes of the gradients of the weights that read them, which have none where they
    are frozen, or used under `torch.no_grad`.
    """
    probe = deepcopy(network.module).cpu()
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(2, *network.input_shape, generator=generator)
    rows = rows.to(**kind_of_rows(probe))
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        probe(rows).abs().sum().backward()
    probe.eval()

    def says() -> Tensor:
        with torch.no_grad():
            return probe(rows)

    for channels in network.channels:
        for axis in channels.read_by:
            weight = get_tensor(probe, axis.tensor)
            if weight.grad is not None or channels.pinned:
                continue
            before = says()
            with torch.no_grad():
                weight.add_(1)
            if not torch.equal(says(), before):  # or nothing comes of it
                channels.pinned = (
                    f"{axis.tensor!r}, which reads them, is frozen or has no gradient"
                )


def listen(module: nn.Module, axes: Iterable[Axis], rows: Tensor) -> dict[Axis, Tensor]:
    """Run rows through a module; return what is read, or averaged, through some axes.

    A tensor (positions, channels) for each axis: all rows, calls and layers, and all
    that a layer is given that is as long.
    """
    heard: dict[Axis, list[Tensor]] = {}
    layers_of = holders(module)

    def find(axis: Axis) -> tuple[list[nn.Module], int]:
        """Return the layers that an axis is of, and how long it is."""
        layer, attribute = owner(module, axis.tensor)
        held = getattr(layer, attribute)
        if isinstance(held, Tensor):
            return layers_of[id(held)], held.shape[axis.dim]
        return [layer], held

    def hook_of(axis: Axis, size: int):

        def hook(layer, args, kwargs):
            for given in (*args, *kwargs.values()):
                if isinstance(given, Tensor) and given.shape[axis.of :][:1] == (size,):
                    said = given.movedim(axis.of, -1).reshape(-1, size)
                    heard.setdefault(axis, []).append(said)

        return hook

    hooks = []
    for axis in dict.fromkeys(axes):  # one that several channels share, once
        layers, size = find(axis)
        hooks += [
            layer.register_forward_pre_hook(hook_of(axis, size), with_kwargs=True)
            for layer in layers
        ]
    try:
        with torch.no_grad():
            module(rows.to(**kind_of_rows(module)))
    finally:
        for handle in hooks:
            handle.remove()
    return {axis: torch.cat(said) for axis, said in heard.items()}


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
