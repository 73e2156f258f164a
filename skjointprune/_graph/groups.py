"""Groups of a module: which parameters go together.

`trace.py` makes the graph, `propagate.py` sends labels through it by the rules of
layers and functions, `collect.py` collects them into channels, and `probes.py` and
`trials.py` run the module. Here these follow each other.
"""

from collections.abc import Iterable

from torch import Tensor, fx, nn

from .._layers.scatter_inputs import ScatterInputs
from .._layers.sizes import PREFIX, let_sizes_follow_
from .._layers.stand_ins import with_prunable_norms
from .._layers.wrap import wrap
from .._utils.torch import kind_of_rows
from .attributes import is_question
from .collect import collect, roots_made
from .gradients import find_untold_inputs
from .labels import Labels
from .network import INPUTS, Network
from .probes import find_constants_, pin_what_has_no_gradient_
from .propagate import propagate_labels
from .refusals import explaining
from .rules.registry import has_registered_rule
from .sizes import next_choices, renew_divisors, settle_sizes, sizes_to_put_in
from .trace import Traced, note_shapes_, refuse_hooks_of_old, trace, what_is_remembered
from .trials import pin_what_adds_to_sums_, pin_what_is_decided_by_


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
    try:
        traced = trace(module, shape)
        n_outputs = note_shapes_(module, traced.graph, shape)
        remembered = traced.remembered | what_is_remembered(module, shape)
        traced = traced._replace(remembered=remembered)
        network, labels = _label(module, traced, shape, n_outputs, set())
        if in_vain := _mixed_in_vain(network, labels):
            network, _ = _label(module, traced, shape, n_outputs, in_vain)
    finally:  # tracing leaves tensors that the code makes here, where sizes are, too
        for name in set(vars(module)) - there:
            if not name.startswith(PREFIX):
                delattr(module, name)
    return network


def _label(
    module: nn.Module,
    traced: Traced,
    shape: tuple[int, ...],
    n_outputs: int,
    in_vain: set[str],
) -> tuple[Network, Labels]:
    """Return a network with its channels, and the labels that tell them.

    Of layers that mix positions `in_vain` the units may go.
    """
    graph = traced.graph
    labels, inputs, positions = _propagate(module, graph, shape, in_vain)
    for name, sizes in sizes_to_put_in(labels).items():
        let_sizes_follow_(module.get_submodule(name), sizes)
    channels, input_dim = collect(labels, inputs)
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
        remembered=traced.remembered,
        one_row_apart=traced.one_row_apart,
    )
    untold, vary = find_constants_(network)
    pin_what_has_no_gradient_(network)
    pin_what_adds_to_sums_(network, labels, inputs, untold, vary)
    pin_what_is_decided_by_(network, labels)
    return network, labels


def _mixed_in_vain(network: Network, labels: Labels) -> set[str]:
    """Return the layers that mix positions of channels that all stay.

    Units of these layers may go instead.
    """
    pinned = set()
    for channels in network.channels:
        if channels.pinned:
            pinned |= roots_made(channels, labels)
    return {
        node
        for node, x in labels.mixing.items()
        if len(labels.roots_in(labels.members(x)) - pinned) < 2
    }


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
