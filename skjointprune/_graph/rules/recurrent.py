"""The rule of recurrent layers: which units of a state go together.

A unit of an LSTM is a row of each of four gates, a column of what reads the state, and
biases (Wen et al., "Learning intrinsic sparse structures within long short-term
memory", arXiv 1709.05027). Where all that makes it is zero, it is zero at each step, as
the state is zero to begin with.
"""

from itertools import product
from typing import Any

from torch import Tensor, nn

from .context import PinnedParts, RuleContext
from .elementwise import pin_what_meets_constants

FIRST = ("weight_ih", "weight_ih_l0", "weight_ih_l0_reverse")  # what reads the rows


def recurrent(layer: nn.RNNBase, name: str, x: Any, context: RuleContext) -> Any:
    """Return labels of the outputs and of the last states."""
    x, *states = x if isinstance(x, tuple) else (x,)
    if x.ndim != 3 or (states and layer.proj_size):  # no rows
        return NotImplemented
    if layer.proj_size:
        return _projected(layer, name, x, context)
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    # one number says how many units all layers and directions have
    units = context.labels.fresh(layer.hidden_size)
    context.count(f"{name}.hidden_size", units)
    below = context.channels(x, -1)
    context.count(f"{name}.input_size", below)
    for level, direction in product(range(layer.num_layers), directions):
        if level and not direction:
            below = units.repeat(len(directions))
        _make_units(context, layer, name, f"_l{level}{direction}", below, units)
    _begin_with(context, states, units)
    n_rows = x.shape[0 if layer.batch_first else 1]
    out = units.repeat(len(directions)).expand(*x.shape[:2], -1)
    last = units.expand(layer.num_layers * len(directions), n_rows, -1)
    return out, (last, last) if isinstance(layer, nn.LSTM) else last


def cell(layer: nn.RNNCellBase, name: str, x: Any, context: RuleContext) -> Any:
    """Return labels of the state after one step."""
    x, *states = x if isinstance(x, tuple) else (x,)
    if x.ndim != 2:
        return NotImplemented
    units = context.labels.fresh(layer.hidden_size)
    context.count(f"{name}.hidden_size", units)
    below = context.channels(x, -1)
    context.count(f"{name}.input_size", below)
    _make_units(context, layer, name, "", below, units)
    _begin_with(context, states, units)
    out = units.expand(len(x), -1)
    return (out, out) if isinstance(layer, nn.LSTMCell) else out


def _make_units(
    context: RuleContext,
    layer: nn.Module,
    name: str,
    of_level: str,
    below: Tensor,
    units: Tensor,
) -> None:
    """Say that weights of all gates make units, of those below and of themselves."""
    context.read(f"{name}.weight_ih{of_level}", 1, below[None], of=-1)
    context.read(f"{name}.weight_hh{of_level}", 1, units[None], of=-1)
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        tensor = f"{name}.{part}{of_level}"
        if context.labels.has(tensor):
            n_gates = len(getattr(layer, part + of_level)) // len(units)
            context.produce(tensor, 0, units.repeat(n_gates))


def _begin_with(context: RuleContext, states: list[Tensor], units: Tensor) -> None:
    """Tie units with those of the state that is given; whether they are 0 is tried."""
    for state in states:
        pin_what_meets_constants(context, [state, units])
        context.tie(state, units)
        context.labels.summed.append(units)


def _projected(layer: nn.RNNBase, name: str, x: Tensor, context: RuleContext) -> Any:
    """Keep the state whole: torch tells a projection by its size alone."""
    for direction in ("", "_reverse") if layer.bidirectional else ("",):
        v = context.read(f"{name}.weight_ih_l0{direction}", 1, x, of=-1)
    context.count(f"{name}.input_size", v)
    state = context.produce(f"{name}.weight_hh_l0", 1)
    context.tie(state, state[:1])
    context.pin(state, f"LSTM {name!r} has a projection, and keeps its state whole")
    return PinnedParts(state[:1])


def reads_its_state(layer: nn.Module, tensor: str) -> bool:
    """Tell whether a weight reads what the layer itself has made."""
    recurs = isinstance(layer, nn.RNNBase | nn.RNNCellBase)
    return recurs and tensor not in FIRST


def uses_of(layer: nn.Module, name: str, shape: tuple[int, ...]) -> dict[str, int]:
    """Return how often a layer uses each weight for one row: once at each step."""
    steps = 1
    if isinstance(layer, nn.RNNBase) and len(shape) == 3:
        steps = shape[1 if layer.batch_first else 0]
    own = layer.named_parameters(name, recurse=False)
    return {tensor: steps for tensor, p in own if p.ndim > 1}
