"""Channels of a network, and the parameters that belong to each.

The *channels* of a network are its inputs and the units of each layer. All that
belongs to one channel is a *group*: the parameters that produce it (rows of weights,
biases, a normalisation's scale and shift), what rides along (running statistics) and
the columns of weight that read it.
"""

from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from .labels import CONSTANT
from .remembered import restore_

INPUTS = "inputs"  # the name of the channels that are the inputs
# why inputs are pinned that a view cuts into groups: columns go by their places instead
IN_GROUPS = "they are read in groups"
# where layers of torch say how many units they have
SIZES = ("out_features", "out_channels", "hidden_size")


@dataclass(frozen=True)
class Axis:
    """One dimension of one parameter or buffer, named as in `state_dict`.

    `slots`, (size of the dimension,), is the channel of each slot, -1 for none of these
    channels; None where slot i is channel i. A weight that reads channels, or a mean
    over them, runs along the dimension `of` the layer's input.
    """

    tensor: str
    dim: int
    slots: Tensor | None = field(default=None, compare=False, repr=False)
    of: int = field(default=1, compare=False, repr=False)

    def slots_on(self, device: torch.device) -> Tensor:
        """Return the slots on a device, where a copy stays: each step asks for them."""
        assert self.slots is not None
        if device not in self._copies:
            self._copies[device] = self.slots.to(device)
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, Tensor]:
        return {}

    def where(self, mask: Tensor, otherwise: bool = False) -> Tensor:
        """Return a mask of channels as a mask of slots."""
        if self.slots is None:
            return mask
        slots = self.slots_on(mask.device)
        return torch.where(slots == CONSTANT, otherwise, mask[slots.clamp(min=0)])

    def factors(self, values: Tensor) -> Tensor:
        """Return a factor for each channel as one for each slot, 1 for others."""
        if self.slots is None:
            return values
        slots = self.slots_on(values.device)
        return torch.where(slots == CONSTANT, 1.0, values[slots.clamp(min=0)])

    def sum(self, values: Tensor, size: int) -> Tensor:
        """Return values of slots, (slots,), summed into each of `size` channels."""
        if self.slots is None:
            return values
        slots = self.slots_on(values.device)
        slots = torch.where(slots == CONSTANT, size, slots)
        sums = torch.zeros(size + 1, dtype=values.dtype, device=values.device)
        return sums.index_add_(0, slots, values)[:size]


@dataclass
class Channels:
    """Channels that the same tensors belong to: `size` groups of parameters.

    `produced_by` are the parameters that must be zero for a channel to be zero,
    `carried_by` the tensors that shrink with it, `read_by` the weights that read it.
    `pinned` is the reason why these channels must be kept whole, None where they may
    go. `counted_by` are attributes of layers that count the channels, `averaged_by`
    those of layers that take means over them: there, a channel must be zero to go.
    `must_stay`, (size,), are those that must stay where others may go; None for none.
    """

    name: str
    size: int
    produced_by: list[Axis] = field(default_factory=list)
    carried_by: list[Axis] = field(default_factory=list)
    read_by: list[Axis] = field(default_factory=list)
    pinned: str | None = None
    counted_by: list[Axis] = field(default_factory=list)
    averaged_by: list[Axis] = field(default_factory=list)
    must_stay: Tensor | None = None

    @property
    def units_each(self) -> set[int]:
        """How many units one channel has, in each layer that makes it.

        More than 1 for a head of attention, or a group of a grouped convolution.
        """
        mine = torch.ones(self.size, dtype=torch.bool)
        counts = (int(axis.where(mine).sum()) for axis in self.produced_by)
        return {count // self.size for count in counts}

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
        # once each: a weight may read channels that it makes elsewhere
        return [*dict.fromkeys(self.produced_by + self.carried_by + self.read_by)]


@dataclass
class Network:
    """A module and its channels: the inputs first, then layer by layer.

    `input_shape` is that of one row, of which dimension `input_dim` (1 is the first)
    holds the inputs. `first_layers` are the linear layers that read a table's inputs as
    they come; empty where something else stands before. `last_layer` is the linear
    layer whose outputs leave as they are, None where something else comes after.
    `positions` is how often each weight is used for one row. `reads_constants` are the
    axes of weights that read a constant other than zero of zeroed units.
    `without_rule` are the layers whose own parameters have no rule, and why;
    `by_function` the tensors that the code uses by themselves, and not only layers.
    `remembered` are the attributes in which layers keep what they have computed, and
    what they hold as long as nothing is kept. `one_row_apart` tells whether the code
    treats one row by itself in a way of its own.
    """

    module: nn.Module
    channels: list[Channels]
    input_shape: tuple[int, ...]
    input_dim: int
    n_outputs: int
    first_layers: list[str] = field(default_factory=list)
    last_layer: str | None = None
    positions: dict[str, int] = field(default_factory=dict)
    reads_constants: set[Axis] = field(default_factory=set)
    without_rule: dict[str, str] = field(default_factory=dict)
    by_function: set[str] = field(default_factory=set)
    remembered: dict[str, Any] = field(default_factory=dict)
    one_row_apart: bool = False

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
        """Channels, and layers without a rule, that are never pruned, and why.

        Columns of a table that are read in groups can go: see `let_inputs_go`.
        """
        pinned = {c.name: c.pinned for c in self.channels if c.pinned}
        if len(self.input_shape) == 1 and self.inputs.pinned == IN_GROUPS:
            del pinned[INPUTS]
        if (stay := self.inputs.must_stay) is not None and not self.inputs.pinned:
            pinned[INPUTS] = (
                f"{int(stay.sum())} of them always stay, as gradients do not tell what "
                "they are worth"
            )
        return pinned | self.without_rule

    @property
    def units(self) -> dict[str, int]:
        """How many units each layer has, by the name of its channels.

        One channel may be several units of a layer, for example where the output of a
        linear layer is reshaped to a picture.
        """
        layers = dict(self.module.named_modules())
        units = {}
        for c in self.hidden:
            sizes = (getattr(layers.get(c.name), name, None) for name in SIZES)
            units[c.name] = next((n for n in sizes if isinstance(n, int)), c.size)
        return units

    def forget_(self) -> None:
        """Let layers compute anew what they keep of their parameters."""
        restore_(self.module, self.remembered)

    def copy(self) -> "Network":
        """Return a network that can be changed without this one."""
        channels = [c.copy() for c in self.channels]
        return replace(self, module=deepcopy(self.module), channels=channels)

    def zeroed(self, channels: Channels) -> list[Axis]:
        """Return the axes that are zeroed where channels go."""
        if channels is self.inputs:
            return channels.produced_by + channels.read_by
        return channels.produced_by
