"""Module to groups: which parameters live and die together.

A network is a chain of *channels*: its inputs, then the units of each layer. All
that belongs to one channel is a *group*: the parameters that produce it (a row of
a weight, a bias, a normalisation's scale and shift), what rides along (running
statistics) and the columns of weight that read it. The graph comes from
`torch.fx`; each kind of layer has one rule in `LAYER_RULES`.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F


@dataclass(frozen=True)
class Axis:
    """One dimension of one parameter or buffer, named as in `state_dict`."""

    tensor: str
    dim: int


@dataclass
class Channels:
    """The channels of one tensor in the network: `size` groups of parameters.

    `produced_by` are the parameters that must be zero for a channel to be zero,
    `carried_by` the buffers that shrink with it, `read_by` the weights that
    consume it. `pinned` says why these channels must be kept whole.
    """

    name: str
    size: int
    produced_by: list[Axis] = field(default_factory=list)
    carried_by: list[Axis] = field(default_factory=list)
    read_by: list[Axis] = field(default_factory=list)
    pinned: str | None = None

    @property
    def zeroed(self) -> list[Axis]:
        """What is zero in a dead group: what produces a unit, what reads an input."""
        return self.produced_by or self.read_by

    @property
    def axes(self) -> list[Axis]:
        """Every axis that shrinks when a channel is removed."""
        return self.produced_by + self.carried_by + self.read_by


@dataclass
class Network:
    """A module and its channels: the inputs first, then layer by layer.

    `first_layers` are the linear layers that read the inputs as they come; empty
    where something else stands before. `last_layer` is the linear layer whose outputs
    leave as they are, None where something else comes after.
    """

    module: nn.Module
    channels: list[Channels]
    first_layers: list[str] = field(default_factory=list)
    last_layer: str | None = None

    @property
    def inputs(self) -> Channels:
        """The channels of the network's input."""
        return self.channels[0]

    @property
    def hidden(self) -> list[Channels]:
        """The channels between input and output."""
        return self.channels[1:-1]

    @property
    def kept_whole(self) -> dict[str, str]:
        """Channels that are never pruned, and why; the output is not listed."""
        return {c.name: c.pinned for c in self.channels[:-1] if c.pinned}


def owner(module: nn.Module, tensor: str) -> tuple[nn.Module, str]:
    """Return the layer that holds a named tensor, and its name there."""
    path, _, attribute = tensor.rpartition(".")
    return module.get_submodule(path), attribute


def get_tensor(module: nn.Module, tensor: str) -> Tensor:
    """Return a parameter or buffer by its name in `state_dict`."""
    layer, attribute = owner(module, tensor)
    return getattr(layer, attribute)


# --- one rule a kind of layer: (layer, its name, channels in) -> channels out


def _linear(layer: nn.Linear, name: str, channels: Channels) -> Channels:
    channels.read_by.append(Axis(f"{name}.weight", 1))
    out = Channels(name, layer.out_features, [Axis(f"{name}.weight", 0)])
    if layer.bias is not None:
        out.produced_by.append(Axis(f"{name}.bias", 0))
    return out


def _batch_norm(layer: nn.BatchNorm1d, name: str, channels: Channels) -> Channels:
    # Without scale and shift a zeroed unit leaves as -mean/std, a constant that
    # compaction folds into the next layer.
    if layer.affine:
        axes = [Axis(f"{name}.weight", 0), Axis(f"{name}.bias", 0)]
        # An input is given, not produced: a norm on it only comes along.
        side = channels.produced_by if channels.produced_by else channels.carried_by
        side.extend(axes)
    if layer.track_running_stats:
        channels.carried_by.append(Axis(f"{name}.running_mean", 0))
        channels.carried_by.append(Axis(f"{name}.running_var", 0))
    return channels


def _couples(layer: nn.Module, name: str, channels: Channels) -> Channels:
    channels.pinned = f"{type(layer).__name__} {name!r} couples them"
    return channels


def _prelu(layer: nn.PReLU, name: str, channels: Channels) -> Channels:
    if layer.num_parameters > 1:
        channels.carried_by.append(Axis(f"{name}.weight", 0))
    return channels


def _elementwise(layer: nn.Module, name: str, channels: Channels) -> Channels:
    return channels


Rule = Callable[..., Channels]

LAYER_RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    nn.BatchNorm1d: _batch_norm,
    nn.LayerNorm: _couples,
    nn.RMSNorm: _couples,
    nn.PReLU: _prelu,
    **dict.fromkeys(
        (nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish,
         nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6,
         nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign,
         nn.Tanh, nn.Tanhshrink, nn.Threshold, nn.AlphaDropout, nn.Dropout,
         nn.Identity),
        _elementwise,
    ),
}  # fmt: skip

ELEMENTWISE_FUNCTIONS = {
    F.celu, F.dropout, F.elu, F.gelu, F.hardsigmoid, F.hardswish, F.hardtanh,
    F.leaky_relu, F.logsigmoid, F.mish, F.relu, F.relu6, F.selu, F.sigmoid, F.silu,
    F.softplus, F.softsign, F.tanh, F.tanhshrink, torch.relu, torch.selu,
    torch.sigmoid, torch.tanh,
}  # fmt: skip
ELEMENTWISE_METHODS = {"contiguous", "relu", "relu_", "sigmoid", "tanh"}


def find_groups(module: nn.Module, n_inputs: int) -> Network:
    """Trace a module that maps (n, n_inputs) to (n, outputs) into its groups.

    Raises
    ------
    ValueError
        If the module cannot be traced, does not accept `n_inputs` inputs, does not
        return one 2-D tensor, or holds a layer that has no rule yet.
    """
    named = [n for n, _ in module.named_parameters(remove_duplicate=False)]
    own = {n for n, _ in module.named_parameters()}
    tied = [n for n in named if n not in own]
    if tied:
        raise ValueError(
            f"`module` uses a parameter twice, again as {tied[0]!r}, which is not "
            "supported yet. Give each layer its own parameters."
        )
    graph = _trace(module)
    _check_shapes(module, graph, n_inputs)
    channels = list(_walk(module, graph, n_inputs))
    channels[-1].pinned = "they are the output"
    if len(channels) == 1:
        raise ValueError(
            "`module` must hold at least one linear layer. Got none; add the layer "
            "that reads the inputs."
        )
    first, last = _first_layers(module, graph), _last_layer(module, graph)
    return Network(module, channels, first, last)


def _trace(module: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(module)
    except Exception as error:
        raise ValueError(
            f"`module` {type(module).__name__} could not be traced ({error}). Use a "
            "feed-forward stack of layers without data-dependent control flow."
        ) from error


def _check_shapes(module: nn.Module, graph: fx.Graph, n_inputs: int) -> None:
    """Run two rows through a copy, so that a misfit shows before training."""
    traced = fx.GraphModule(deepcopy(module).eval(), graph)
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    try:
        out = ShapeProp(traced).propagate(
            torch.zeros(2, n_inputs, device=device, dtype=dtype)
        )
    except Exception as error:
        raise ValueError(
            f"`module` {type(module).__name__} does not run on {n_inputs} inputs "
            f"({str(error).splitlines()[0]}). Make its first layer accept as many "
            "inputs as X has columns, or take them as a parameter `n_features_in`."
        ) from error
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            "`module` must map rows to a tensor of shape (rows, outputs). Got "
            f"{got} from 2 rows; return the logits alone."
        )


def _walk(module: nn.Module, graph: fx.Graph, n_inputs: int) -> Iterator[Channels]:
    """Apply the rules along the graph; yield channels in order of creation."""
    at: dict[fx.Node, Channels] = {}
    seen: set[str] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            if at:
                _refuse(node, "a second input")
            at[node] = Channels("inputs", n_inputs)
            yield at[node]
        elif node.op == "output":
            sources = node.all_input_nodes
            if at[sources[0]] is not list(at.values())[-1]:
                _refuse(node, "another output than that of its last layer")
        else:
            rule, layer, name = _rule_for(node, module, seen)
            sources = node.all_input_nodes
            if len(sources) != 1:
                _refuse(node, "an operation on several tensors")
            source = at[sources[0]]
            at[node] = rule(layer, name, source)
            if at[node] is not source:
                yield at[node]


def _first_layers(module: nn.Module, graph: fx.Graph) -> list[str]:
    users = next(n for n in graph.nodes if n.op == "placeholder").users
    names = [str(user.target) for user in users if user.op == "call_module"]
    linear = [n for n in names if type(module.get_submodule(n)) is nn.Linear]
    return linear if len(linear) == len(users) else []


def _last_layer(module: nn.Module, graph: fx.Graph) -> str | None:
    (source,) = next(n for n in graph.nodes if n.op == "output").all_input_nodes
    name = str(source.target)
    linear = (
        source.op == "call_module" and type(module.get_submodule(name)) is nn.Linear
    )
    return name if linear and len(source.users) == 1 else None


def _rule_for(
    node: fx.Node, module: nn.Module, seen: set[str]
) -> tuple[Rule, nn.Module | None, str]:
    if node.op == "call_module":
        name = str(node.target)
        layer = module.get_submodule(name)
        if name in seen and any(True for _ in layer.parameters()):
            _refuse(node, "a layer that is used twice")
        seen.add(name)
        rule = LAYER_RULES.get(type(layer))
        if rule is None:
            _refuse(node, f"a {type(layer).__name__} layer")
        else:
            return rule, layer, name
    known = node.op == "call_function" and node.target in ELEMENTWISE_FUNCTIONS
    known |= node.op == "call_method" and node.target in ELEMENTWISE_METHODS
    if not known:
        _refuse(node, "an operation without a rule")
    return _elementwise, None, node.name


def _refuse(node: fx.Node, what: str) -> None:
    where = str(node.target) if node.op == "call_module" else node.name
    raise ValueError(
        f"`module` has {what} at {where!r}, which is not supported yet. Use "
        "a feed-forward stack of linear, normalisation, dropout and activation layers."
    )
