import pytest
from torch import nn

from skjointprune._graph.costs import (
    macs_of_weights,
    saved_by_a_unit,
    saved_by_the_mean_unit,
)
from skjointprune._graph.groups import find_groups
from skjointprune.modules import MLP


def dense(*sizes):
    return find_groups(MLP(6, 2, sizes, norm=None), (6,))


def test_a_unit_saves_what_makes_it_and_what_reads_it():
    first, second = (network := dense(5, 3)).hidden
    assert saved_by_a_unit(network, first, "macs") == 6 + 3
    assert saved_by_a_unit(network, second, "macs") == 5 + 2
    assert saved_by_a_unit(network, first, "params") == 6 + 1 + 3
    assert saved_by_a_unit(network, second, "params") == 5 + 1 + 2


def test_a_map_of_features_saves_macs_at_each_position():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1))
    module.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    network = find_groups(module, (3, 5, 7))
    assert saved_by_a_unit(network, network.hidden[0], "macs") == 35 * (27 + 2)
    assert saved_by_a_unit(network, network.hidden[0], "params") == 27 + 1 + 2
    assert macs_of_weights(network) == 35 * (4 * 27 + 2 * 4)


@pytest.mark.parametrize("what", ["macs", "params"])
def test_the_mean_is_over_units_and_not_layers(what):
    network = dense(5, 3)
    first, second = (saved_by_a_unit(network, c, what) for c in network.hidden)
    mean = saved_by_the_mean_unit(network, what)
    assert mean == pytest.approx((5 * first + 3 * second) / 8)
    assert saved_by_the_mean_unit(dense(), what) == 0


def test_macs_are_those_of_all_weights():
    assert macs_of_weights(dense(5, 3)) == 6 * 5 + 5 * 3 + 3 * 2
