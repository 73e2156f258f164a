import torch
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune._graph.labels import CONSTANT
from skjointprune._graph.network import Axis, Channels
from skjointprune.modules import MLP

# two channels of three slots, of which the last but one is of neither
SLOTS = Axis("weight", 0, slots=torch.tensor([1, 0, 1, 0, 0, CONSTANT, 1]))


def test_slots_follow_their_channels():
    only_first = torch.tensor([True, False])
    assert SLOTS.where(only_first).int().tolist() == [0, 1, 0, 1, 1, 0, 0]
    kept = SLOTS.where(only_first, otherwise=True)
    assert kept.int().tolist() == [0, 1, 0, 1, 1, 1, 0]
    assert SLOTS.factors(torch.tensor([2.0, 3.0])).tolist() == [3, 2, 3, 2, 2, 1, 3]


def test_values_of_slots_are_summed_by_channel():
    assert SLOTS.sum(torch.arange(7.0), size=2).tolist() == [1 + 3 + 4, 0 + 2 + 6]


def test_a_slot_is_a_channel_where_nothing_is_said():
    axis, values = Axis("weight", 0), torch.tensor([1.0, 2.0])
    assert axis.where(values) is values
    assert axis.factors(values) is values
    assert axis.sum(values, size=2) is values


def test_units_of_a_channel_are_counted_in_each_layer():
    heads = Axis("a", 0, slots=torch.tensor([0, 0, 1, 1]))
    assert Channels("c", 2, produced_by=[heads]).units_each == {2}
    assert Channels("c", 2, produced_by=[heads, Axis("b", 0)]).units_each == {1, 2}


def test_every_axis_shrinks_once():
    a, b, c = (Axis(name, 0) for name in "abc")
    channels = Channels("x", 2, produced_by=[a], carried_by=[b], read_by=[a, c])
    assert channels.axes == [a, b, c]


def test_a_copy_has_lists_and_a_module_of_its_own():
    network = find_groups(MLP(4, 2, (3,)), (4,))
    copied = network.copy()
    assert copied.module is not network.module
    copied.channels[1].produced_by.clear()
    copied.channels[0].size = 1
    copied.module.linear1.weight.data.zero_()
    assert network.channels[1].produced_by and network.channels[0].size == 4
    assert network.module.linear1.weight.any()


def test_channels_are_inputs_and_then_layers():
    network = find_groups(MLP(4, 2, (3, 5)), (4,))
    assert network.inputs.name == "inputs" and network.inputs.size == 4
    assert [c.size for c in network.hidden] == [3, 5]
    assert network.n_outputs == 2 and network.kept_whole == {}


def test_what_is_kept_whole_is_told_with_its_reason():
    network = find_groups(nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), (4,))
    network.inputs.pinned = "so"
    assert network.kept_whole["inputs"] == "so"


def test_inputs_are_zeroed_where_they_are_read_and_units_where_they_are_made():
    network = find_groups(MLP(4, 2, (3,), norm=None), (4,))
    units = network.hidden[0]
    assert [a.tensor for a in network.zeroed(network.inputs)] == ["linear1.weight"]
    made = {a.tensor for a in network.zeroed(units)}
    assert made == {"linear1.weight", "linear1.bias"}
