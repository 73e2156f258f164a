"""Module to groups: which parameters live and die together.

The *channels* of a network are its inputs and the units of each layer. All that
belongs to one channel is a *group*: the parameters that produce it (rows of weights,
biases, a normalisation's scale and shift), what rides along (running statistics) and
the columns of weight that read it. The graph comes from `torch.fx`; `_rules` says how
the channels of each kind of layer hang together, `_labels` keeps what they say.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ._labels import CONSTANT, Bound, Labels, varies
from ._rules import LAYER_RULES, Computed, PinnedParts, function_rule


@dataclass(frozen=True)
class Axis:
    """One dimension of one parameter or buffer, named as in `state_dict`.

    `slots`, (size of the dimension,), says whose channel each slot is, -1 for none of
    these channels; None where slot i is channel i.
    """

    tensor: str
    dim: int
    slots: Tensor | None = field(default=None, compare=False, repr=False)

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
    says why these channels must be kept whole.
    """

    name: str
    size: int
    produced_by: list[Axis] = field(default_factory=list)
    carried_by: list[Axis] = field(default_factory=list)
    read_by: list[Axis] = field(default_factory=list)
    pinned: str | None = None

    @property
    def axes(self) -> list[Axis]:
        """Every axis that shrinks when a channel is removed."""
        return self.produced_by + self.carried_by + self.read_by


@dataclass
class Network:
    """A module and its channels: the inputs first, then layer by layer.

    `input_shape` is that of one row, of which dimension `input_dim` (1 is the first)
    holds the inputs. `first_layers` are the linear layers that read the inputs as they
    come; empty where something else stands before. `last_layer` is the linear layer
    whose outputs leave as they are, None where something else comes after.
    `positions` is how often each layer's weights are used for one row.
    """

    module: nn.Module
    channels: list[Channels]
    input_shape: tuple[int, ...]
    input_dim: int
    n_outputs: int
    first_layers: list[str] = field(default_factory=list)
    last_layer: str | None = None
    positions: dict[str, int] = field(default_factory=dict)

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


def owner(module: nn.Module, tensor: str) -> tuple[nn.Module, str]:
    """Return the layer that holds a named tensor, and its name there."""
    path, _, attribute = tensor.rpartition(".")
    return module.get_submodule(path), attribute


def get_tensor(module: nn.Module, tensor: str) -> Tensor:
    """Return a parameter or buffer by its name in `state_dict`."""
    layer, attribute = owner(module, tensor)
    return getattr(layer, attribute)


def find_groups(module: nn.Module, input_shape: Iterable[int]) -> Network:
    """Trace a module that maps rows of a shape to (rows, outputs) into its groups.

    Raises
    ------
    ValueError
        If the module cannot be traced, does not run on rows of this shape, does not
        return one 2-D tensor, or has no parameters.
    """
    shape = tuple(input_shape)
    if not any(True for _ in module.parameters()):
        raise ValueError(
            f"`module` {type(module).__name__} has no parameters to train. Add a layer "
            "that reads the inputs, such as torch.nn.Linear."
        )
    there = set(vars(module))
    graph = _trace(module)
    n_outputs = _run_shapes(module, graph, shape)
    labels = Labels(module)
    inputs, positions = _walk(module, graph, labels, shape)
    for made in set(vars(module)) - there:  # tracing leaves constants of the code here
        delattr(module, made)
    channels, input_dim = _collect(labels, inputs)
    network = Network(
        module,
        channels,
        shape,
        input_dim,
        n_outputs,
        _first_layers(module, graph),
        _last_layer(module, graph),
        positions,
    )
    _pin_what_speaks_(network)
    return network


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYER_RULES or super().is_leaf_module(
            m, module_qualified_name
        )


def _trace(module: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(module)
    except Exception as error:
        raise ValueError(
            f"`module` {type(module).__name__} could not be traced ({error}). Its "
            "forward must not branch on values; register a rule for the layer that "
            "does (skjointprune.register_rule)."
        ) from error


def _run_shapes(module: nn.Module, graph: fx.Graph, shape: tuple[int, ...]) -> int:
    """Run two rows through a copy, so that a misfit shows before training.

    Notes the shape of every node in the graph; returns the number of outputs.
    """
    traced = fx.GraphModule(deepcopy(module).eval(), graph)
    parameter = next(module.parameters())
    rows = torch.zeros(2, *shape, device=parameter.device, dtype=parameter.dtype)
    try:
        out = ShapeProp(traced).propagate(rows)
    except Exception as error:
        size = " x ".join(map(str, shape))
        remedy = (
            "Make its first layer accept as many inputs as X has columns, or take them "
            "as a parameter `n_features_in`."
            if len(shape) == 1
            else "Let it take the shape of a row as a parameter `input_shape`."
        )
        raise ValueError(
            f"`module` {type(module).__name__} does not run on {size} inputs "
            f"({str(error).splitlines()[0]}). {remedy}"
        ) from error
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            "`module` must map rows to a tensor of shape (rows, outputs). Got "
            f"{got} from 2 rows; return the logits alone."
        )
    return out.shape[1]


def _walk(
    module: nn.Module, graph: fx.Graph, labels: Labels, shape: tuple[int, ...]
) -> tuple[Tensor, dict[str, int]]:
    """Send labels through the graph.

    Returns those of the inputs, and how often a row uses the weights of each layer.
    """
    at: dict[fx.Node, Any] = {}
    positions: dict[str, int] = {}
    inputs = None
    for node in graph.nodes:
        meta = node.meta.get("tensor_meta")
        labels.shape, labels.node = tuple(getattr(meta, "shape", ())), str(node)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: at[n])
        if node.op == "placeholder":
            if inputs is not None:
                if node.args:  # has a default
                    at[node] = node.args[0]
                    continue
                raise ValueError(
                    f"`module` {type(module).__name__} takes a second input, {node}. "
                    "Give it a default, or let `forward` take the rows alone."
                )
            inputs = labels.fresh(int(torch.Size(shape).numel())).view(shape)
            out: Any = inputs.expand(2, *shape)
        elif node.op == "get_attr":
            out = _attribute(module, str(node.target), labels)
        elif node.op == "output":
            labels.pin(args[0], "they are the output")
            break
        elif node.op == "call_module":
            name = str(node.target)
            layer = module.get_submodule(name)
            weight = getattr(layer, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim > 1:
                out_channels = labels.shape[-1 if isinstance(layer, nn.Linear) else 1]
                per_row = torch.Size(labels.shape).numel() // 2 // out_channels
                positions[name] = positions.get(name, 0) + per_row
            rule = LAYER_RULES.get(type(layer))
            several = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
            known = rule is not None and args and len(several) == len(args)
            if rule is not None and known:
                out = rule(layer, name, args[0] if len(args) == 1 else args, labels)
            else:
                out = _no_rule(labels, args, kwargs, f"{type(layer).__name__} {name!r}")
        else:
            out = _call(node, args, kwargs, labels)
        if isinstance(out, PinnedParts) and labels.shape:
            out = out.label.expand(labels.shape)
        at[node] = out
    assert inputs is not None
    return inputs, positions


def _call(node: fx.Node, args: Any, kwargs: Any, labels: Labels) -> Any:
    """Apply the rule of a function or method, or compute where no channel is met."""
    flat: list[Any] = []
    fx.node.map_aggregate((args, kwargs), flat.append)
    sizes = node.op == "call_method" and node.target in ("size", "dim", "numel")
    sizes |= node.target is getattr
    met = any(isinstance(a, Tensor | PinnedParts) for a in flat)
    if sizes or not met:
        if node.op == "call_method":
            out = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            out = node.target(*args, **kwargs)  # type: ignore[operator]
        return fx.node.map_aggregate(
            tuple(out) if isinstance(out, torch.Size) else out,
            lambda a: Computed(a) if type(a) is int else a,
        )
    rule = function_rule(node)
    if rule is None:
        name = getattr(node.target, "__name__", node.target)
        return _no_rule(labels, args, kwargs, f"{name} at {node.name!r}")
    return rule(labels, *args, **kwargs)


def _no_rule(labels: Labels, args: Any, kwargs: Any, what: str) -> Any:
    why = f"there is no rule for {what}"
    labels.pin([args, kwargs], why)
    label = labels.fresh(1)
    labels.pin(label, why)
    return PinnedParts(label)


def _attribute(module: nn.Module, name: str, labels: Labels) -> Tensor:
    """Label a parameter or buffer that the code uses by itself."""
    held = get_tensor(module, name)
    labels.shape = tuple(held.shape)
    long = [d for d, n in enumerate(held.shape) if n > 1]
    if not long:
        return torch.full(held.shape, CONSTANT)
    if len(long) > 1 or not labels.has(name):
        return labels.pinned(f"{name!r} is used by itself")
    v = labels.fresh(held.shape[long[0]])
    if isinstance(held, nn.Parameter):
        v = labels.produce(name, long[0], v)
    else:
        labels.carry(name, long[0], v)
    return labels.spread(v, long[0])


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
    channels = [_channels("inputs", own if pinned is None else [], bound)]
    channels[0].size, channels[0].pinned = len(own), pinned

    touched: dict[int, list[int]] = {}
    for i, (_, slots) in enumerate(bound):
        for root in set(slots.tolist()) - {CONSTANT}:
            touched.setdefault(root, []).append(i)
    alike: dict[tuple, list[int]] = {}
    of_inputs = set(roots.flatten().tolist())
    for root in sorted(touched):
        if root not in of_inputs:
            alike.setdefault((*touched[root], why.get(root)), []).append(root)
    names: dict[str, int] = {}
    for (*at, reason), members in alike.items():
        some = [bound[i] for i in at]
        made_by = [b.tensor for b, _ in some if b.role == "produce"]
        if reason == "they are the output" or not made_by:
            continue
        name = made_by[0].rpartition(".")[0] or made_by[0]
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name}#{names[name]}"
        found = _channels(name, members, some)
        if reason is None and not found.read_by:
            reason = "no weights read them"
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
    }
    for b, roots in bound:
        slots = torch.tensor([number.get(r, CONSTANT) for r in roots.tolist()])
        if (slots == CONSTANT).all():
            continue
        plain = torch.equal(slots, torch.arange(len(members)))
        lists[b.role].append(Axis(b.tensor, b.dim, None if plain else slots))
    return found


def channel_dim(layer: nn.Module) -> int:
    """Return which dimension of its input a layer's weights read."""
    return -1 if isinstance(layer, nn.Linear | nn.RNNBase) else 1


def absorbs_constants(layer: nn.Module) -> bool:
    """Tell whether a constant that a layer reads can go into its bias."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        padded = layer.padding_mode == "zeros" and layer.padding not in (0, "valid")
        return not (padded and any(layer._reversed_padding_repeated_twice))
    return isinstance(layer, nn.Linear)


def _pin_what_speaks_(network: Network) -> None:
    """Keep channels whole that say something when zeroed that cannot be folded away."""
    probe = deepcopy(network.module).double().eval()
    generator = torch.Generator().manual_seed(0)
    for name, statistic in probe.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            random = torch.rand(statistic.shape, generator=generator) + 0.5
            statistic.copy_(random)
    silent = [c for c in network.hidden if not c.pinned]
    with torch.no_grad():
        for channels in silent:
            for axis in channels.produced_by:
                t = get_tensor(probe, axis.tensor)
                all_dead = torch.ones(channels.size, dtype=torch.bool)
                t.index_fill_(axis.dim, axis.where(all_dead).nonzero().flatten(), 0)
    rows = torch.rand(2, *network.input_shape, generator=generator).double()
    heard = listen(probe, {a.tensor for c in silent for a in c.read_by}, rows)
    for channels in silent:
        for axis in channels.read_by:
            layer, _ = owner(probe, axis.tensor)
            mine = axis.where(torch.ones(channels.size, dtype=torch.bool))
            for said in heard.get(axis.tensor, []):
                said = said[:, mine]
                if not torch.allclose(said, said[:1]):
                    channels.pinned = "they are not silent when they are zero"
                elif said.any() and not absorbs_constants(layer):
                    channels.pinned = (
                        "a constant is left of them, which the padding of "
                        f"{axis.tensor.rpartition('.')[0]!r} does not let fold"
                    )


def listen(
    module: nn.Module, weights: Iterable[str], rows: Tensor
) -> dict[str, list[Tensor]]:
    """Run rows through a module; return what the layers of some weights are given.

    A tensor (positions of all rows, channels) for each call of each layer.
    """
    heard: dict[str, list[Tensor]] = {}

    def hook_of(tensor: str):
        def hook(layer, args):
            given = args[0].movedim(channel_dim(layer), -1)
            heard.setdefault(tensor, []).append(given.reshape(-1, given.shape[-1]))

        return hook

    hooks = []
    for tensor in weights:
        layer, _ = owner(module, tensor)
        hooks.append(layer.register_forward_pre_hook(hook_of(tensor)))
    parameter = next(module.parameters())
    try:
        with torch.no_grad():
            module(rows.to(parameter.device, parameter.dtype))
    finally:
        for handle in hooks:
            handle.remove()
    return heard


def _first_layers(module: nn.Module, graph: fx.Graph) -> list[str]:
    users = next(n for n in graph.nodes if n.op == "placeholder").users
    names = [str(user.target) for user in users if user.op == "call_module"]
    linear = [n for n in names if type(module.get_submodule(n)) is nn.Linear]
    return linear if len(linear) == len(users) else []


def _last_layer(module: nn.Module, graph: fx.Graph) -> str | None:
    (source,) = next(n for n in graph.nodes if n.op == "output").all_input_nodes
    if source.op != "call_module":
        return None
    name = str(source.target)
    linear = type(module.get_submodule(name)) is nn.Linear
    return name if linear and len(source.users) == 1 else None
