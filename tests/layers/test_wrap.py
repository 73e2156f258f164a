import pytest
from torch import nn

from skjointprune._layers.wrap import wrap


@pytest.mark.parametrize(
    ("place", "order"),
    [("inputs", ["inputs", "network"]), ("targets", ["network", "targets"])],
)
def test_targets_come_after_the_network_and_all_else_before_it(place, order):
    network, layer = nn.Linear(2, 2), nn.ReLU()
    module = wrap(network, place, layer)
    assert [name for name, _ in module.named_children()] == order
    assert module.network is network
    assert module.get_submodule(place) is layer
