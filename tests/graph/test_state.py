from copy import deepcopy

import pytest
import torch
from _networks import random_masks, shaken
from torch import nn

from skjointprune._graph.compact import compact_
from skjointprune._graph.groups import find_groups
from skjointprune._graph.state import restore_state_, state_of
from skjointprune.modules._mlp import MLP


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu())


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.r, self.c = nn.Linear(6, 8), nn.LSTM(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.c(self.r(self.a(x).view(-1, 2, 4).transpose(0, 1))[0][-1])


class Counts(nn.Module):
    """Keeps what it has seen in attributes of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 2)
        self.seen, self.names, self.mean = 0, [], torch.zeros(())

    def forward(self, x):
        return self.last(self.first(x).relu())


MODULES = {
    "mlp": lambda: MLP(6, 2, (8, 7), norm="batch"),
    "layer norm": lambda: MLP(6, 2, (8, 7), norm="layer"),
    # a bias is added where a constant is left of what goes
    "no bias": lambda: nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.Sigmoid(), nn.Linear(8, 2, bias=False)
    ),
    "tied": Tied,
    "recurrent": Recurrent,
}


def made(name):
    torch.manual_seed(0)
    return find_groups(shaken(MODULES[name]()), (6,))


def described(network):
    return [vars(c) for c in network.channels], network.units, network.input_shape


@pytest.mark.parametrize("name", MODULES)
def test_a_network_takes_on_the_state_of_one_that_was_cut(name):
    cut, other = made(name), made(name)
    for _ in range(3):
        compact_(cut, random_masks(cut, share=0.8))
        with torch.no_grad():
            for p in cut.module.parameters():
                p.add_(torch.randn_like(p))
    cut.module.train()
    other.module.eval()
    restore_state_(other, deepcopy(state_of(cut)))
    assert described(other) == described(cut)
    assert other.module.training
    rows = torch.randn(5, *cut.input_shape)
    for network in (cut, other):
        network.module.eval()
    assert torch.equal(other.module(rows), cut.module(rows))
    # and can be cut as the other could
    masks = random_masks(cut)
    compact_(cut, masks)
    compact_(other, masks)
    rows = torch.randn(5, *cut.input_shape)
    assert torch.equal(other.module(rows), cut.module(rows))


def test_parameters_that_are_shared_or_frozen_stay_so():
    cut, other = made("tied"), made("tied")
    cut.module.c.weight.requires_grad_(False)
    restore_state_(other, deepcopy(state_of(cut)))
    assert other.module.a.weight is other.module.b.weight
    frozen = [n for n, p in other.module.named_parameters() if not p.requires_grad]
    assert frozen == ["c.weight"]


def test_numbers_and_lists_that_layers_keep_come_back():
    network, other = (find_groups(Counts(), (6,)) for _ in range(2))
    module = network.module
    module.seen, module.names, module.mean = 3, ["a"], torch.tensor(2.5)
    restore_state_(other, deepcopy(state_of(network)))
    got = other.module
    assert (got.seen, got.names, float(got.mean)) == (3, ["a"], 2.5)


def test_tensors_of_the_same_size_stay_in_place():
    network = made("mlp")
    before = [*network.module.parameters()]
    state = deepcopy(state_of(made("mlp")))
    restore_state_(network, state)
    after = [*network.module.parameters()]
    assert all(a is b for a, b in zip(before, after, strict=True))


def test_the_state_of_another_network_is_refused():
    with pytest.raises(ValueError, match="other layers"):
        restore_state_(made("mlp"), state_of(made("no bias")))


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        pass


def test_a_state_that_is_no_tensor_is_refused():
    network = find_groups(nn.Sequential(Extra(6, 4), nn.Linear(4, 2)), (6,))
    with pytest.raises(ValueError, match=r"'0\._extra_state' keeps"):
        state_of(network)
