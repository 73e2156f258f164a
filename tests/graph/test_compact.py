from copy import deepcopy
from functools import partial

import pytest
import torch
from _networks import Net, compact, cut, random_masks, shaken
from torch import nn

from skjointprune._graph.compact import compact_, is_exact
from skjointprune._graph.groups import find_groups
from skjointprune._graph.network import Axis
from skjointprune._graph.rules.layers import LAYER_RULES
from skjointprune.modules._mlp import ACTIVATIONS, MLP


def assert_compact_matches_zeroed(module, n_inputs, tolerance):
    network = find_groups(module, (n_inputs,))
    assert cut(network, random_masks(network))[1] < tolerance


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)]
)
def test_compact_module_matches_zeroed_module(activation, norm, bias, dtype, tolerance):
    for _ in range(5):
        n_inputs, n_outputs, *hidden = torch.randint(1, 12, (4,)).tolist()
        module = MLP(n_inputs, n_outputs, hidden, activation, norm, 0.2, bias).to(dtype)
        assert_compact_matches_zeroed(shaken(module), n_inputs, tolerance)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.BatchNorm1d(6), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 2)],
        lambda: [nn.Linear(6, 5), nn.Sigmoid(), nn.BatchNorm1d(5), nn.Linear(5, 2)],
        lambda: [nn.Linear(6, 5), nn.PReLU(5), nn.Softplus(), nn.Linear(5, 2)],
        lambda: [
            nn.Linear(6, 5, bias=False),
            nn.BatchNorm1d(5, affine=False),
            nn.ELU(),
            nn.Linear(5, 4, bias=False),
            nn.Sigmoid(),
            nn.Linear(4, 2, bias=False),
        ],
        lambda: [nn.Dropout(), nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 2)],
        lambda: [nn.Linear(6, 2)],
    ],
)
def test_unusual_stacks_stay_exact(layers):
    for _ in range(5):
        module = shaken(nn.Sequential(*layers()).double())
        assert_compact_matches_zeroed(module, 6, 1e-10)


def test_compact_leaves_the_network_as_it_was():
    network = find_groups(shaken(MLP(6, 2, (5,))), (6,))
    before = deepcopy(network.module.state_dict())
    compact(network, random_masks(network))
    after = network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert network.inputs.size == 6


def test_compact_module_is_a_plain_module_of_the_same_class_and_says_its_size():
    network = find_groups(MLP(6, 2, (5,)), (6,))
    keep = {
        "inputs": torch.tensor([True, False, True, False, False, True]),
        "linear1": torch.tensor([True, True, False, False, False]),
    }
    small = compact(network, keep).module
    assert type(small) is MLP
    assert (small.linear1.in_features, small.linear1.out_features) == (3, 2)
    assert small.norm1.num_features == 2
    assert not small.linear1._forward_pre_hooks
    assert isinstance(small.linear1.weight, nn.Parameter)


def test_optimizer_state_follows_the_kept_groups():
    network = find_groups(MLP(6, 2, (5,)), (6,))
    optimizer = torch.optim.Adam(network.module.parameters(), lr=0.1)
    network.module(torch.randn(8, 6)).square().sum().backward()
    optimizer.step()
    W = network.module.linear1.weight
    moments = optimizer.state[W]["exp_avg_sq"].clone()
    inputs = torch.tensor([True, False, True, False, False, True])
    units = torch.tensor([True, True, False, False, True])
    compact_(network, {"inputs": inputs, "linear1": units}, optimizer)
    W = network.module.linear1.weight
    assert torch.equal(optimizer.state[W]["exp_avg_sq"], moments[units][:, inputs])
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in network.module.parameters()}
    assert len(optimizer.state) == len(held)
    network.module(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()
    assert torch.isfinite(network.module.linear1.weight).all()


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        ({"inputs": torch.zeros(6, dtype=torch.bool)}, "keeps none"),
        ({"inputs": torch.ones(5, dtype=torch.bool)}, "there are 6"),
        ({"output": torch.tensor([True, False])}, "no channels have this name"),
        ({"linear1": torch.tensor([True] * 5)}, "LayerNorm"),
        ({"nothing": torch.tensor([True])}, "no channels have this name"),
    ],
)
def test_a_mask_that_cannot_be_cut_is_refused_and_changes_nothing(keep, says):
    network = find_groups(MLP(6, 2, (5,), norm="layer"), (6,))
    before = deepcopy(network.module.state_dict())
    with pytest.raises(ValueError, match=says):
        compact_(network, keep)
    after = network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def convolutions():
    layers = {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 6, 3, groups=2)}
    head = nn.Linear(6, 2)
    return Net(lambda m, x: m.head(m.b(m.a(x)).mean((2, 3))), **layers, head=head)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (torch.optim.Adam, "exp_avg"),
        (partial(torch.optim.SGD, lr=0.1, momentum=0.9), "momentum_buffer"),
    ],
)
def test_optimizer_state_follows_the_kept_maps(make, key):
    network = find_groups(convolutions(), (3, 6, 6))
    module = network.module
    optimizer = make(module.parameters())
    module(torch.randn(4, 3, 6, 6)).square().sum().backward()
    optimizer.step()
    before = {n: optimizer.state[p][key].clone() for n, p in module.named_parameters()}
    inputs = torch.tensor([True, False, True])
    first = torch.tensor(
        [True, False]
    )  # of the groups of b: 4 of its inputs, 3 outputs
    assert [c.size for c in network.channels] == [3, 2]
    compact_(network, {"inputs": inputs, "a": first}, optimizer)
    after = {n: optimizer.state[p][key] for n, p in module.named_parameters()}
    assert torch.equal(after["a.weight"], before["a.weight"][:4][:, inputs])
    assert torch.equal(after["b.weight"], before["b.weight"][:3])
    assert torch.equal(after["b.bias"], before["b.bias"][:3])
    assert torch.equal(after["head.weight"], before["head.weight"][:, :3])
    module(torch.randn(4, 2, 6, 6)).square().sum().backward()
    optimizer.step()


def test_gradients_follow_the_kept_groups():
    network = find_groups(MLP(6, 2, (5,)), (6,))
    network.module(torch.randn(8, 6)).square().sum().backward()
    W = network.module.linear1.weight.grad.clone()
    units = torch.tensor([True, True, False, False, True])
    compact_(network, {"linear1": units})
    assert torch.equal(network.module.linear1.weight.grad, W[units])


def test_a_bias_that_takes_up_a_constant_is_trained():
    module = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 2, bias=False))
    network = find_groups(shaken(module), (6,))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    compact_(network, {"0": torch.tensor([True, True, False, False, True])}, optimizer)
    assert module[2].bias is not None
    assert any(p is module[2].bias for p in optimizer.param_groups[0]["params"])


def test_a_layer_under_two_names_stays_one():
    shared = nn.Linear(8, 8)
    layers = {
        "a": nn.Linear(6, 8),
        "one": shared,
        "other": shared,
        "b": nn.Linear(8, 2),
    }
    network = find_groups(Net(lambda m, x: m.b(m.other(m.one(m.a(x)))), **layers), (6,))
    small, _ = cut(network, random_masks(network))
    assert small.module.one is small.module.other


def test_weights_that_are_tied_stay_one():
    layers = {"a": nn.Linear(6, 8), "one": nn.Linear(8, 8), "other": nn.Linear(8, 8)}
    layers["other"].weight = layers["one"].weight
    module = Net(
        lambda m, x: m.b(m.p * m.other(m.one(m.a(x)))) + m.b(m.q * m.a(x)),
        **layers,
        b=nn.Linear(8, 2),
        p=nn.Parameter(torch.ones(8)),
    )
    module.q = module.p
    network = find_groups(shaken(module.double()), (6,))
    assert network.kept_whole == {}
    small, difference = cut(network, random_masks(network, 0.5))
    assert difference < 1e-10
    assert small.module.one.weight is small.module.other.weight
    assert small.module.p is small.module.q
    assert len(small.module.p) == small.channels[1].size < 8


def test_a_constant_that_tied_weights_read_is_not_folded_into_one_of_them():
    one, other = nn.Linear(8, 8), nn.Linear(8, 8)
    other.weight = one.weight
    layers = {"a": nn.Linear(6, 8), "one": one, "other": other, "b": nn.Linear(8, 2)}
    module = Net(lambda m, x: m.b(m.one(y := m.a(x).sigmoid()) + m.other(y)), **layers)
    network = find_groups(module, (6,))
    assert "cannot take up" in network.kept_whole["a"]


def test_outputs_are_the_judge_of_what_is_exact():
    right = find_groups(shaken(MLP(6, 2, (5,))), (6,))
    wrong = find_groups(shaken(MLP(6, 2, (5,))), (6,))
    wrong.hidden[0].carried_by.clear()  # statistics are left as they were
    keep = {"linear1": torch.tensor([True, False, True, True, False])}
    rows = torch.randn(9, 6)
    assert is_exact(right, keep, rows)
    assert not is_exact(wrong, keep, rows)
    half = find_groups(shaken(MLP(6, 2, (5,))), (6,))
    half.hidden[0].read_by[0] = Axis("output.weight", 1, torch.tensor([1, 0, 2, 3, 4]))
    assert not is_exact(half, keep, rows)


def test_the_question_what_is_exact_leaves_the_network_as_it_was():
    network = find_groups(shaken(MLP(6, 2, (5,))), (6,))
    network.module.train()
    network.module.norm1.eval()  # frozen
    before = deepcopy(network.module.state_dict())
    keep = {
        "inputs": torch.tensor([True, False, True, False, False, True]),
        "linear1": torch.tensor([True, False, True, True, False]),
    }
    assert is_exact(network, keep, torch.randn(9, 6))
    after = network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert network.module.training
    assert not network.module.norm1.training
    assert (network.inputs.size, network.hidden[0].size) == (6, 5)


def test_a_layer_of_two_names_is_left_as_it_was_as_well():
    layer = nn.Linear(4, 4)
    module = nn.Sequential(nn.Linear(3, 4), layer, nn.ReLU(), layer, nn.Linear(4, 2))
    network = find_groups(shaken(module), (3,))
    before = {name: (p, p.clone()) for name, p in module.named_parameters()}
    assert is_exact(network, random_masks(network), torch.randn(5, 3))
    for name, p in module.named_parameters():
        assert p is before[name][0]
        assert torch.equal(p, before[name][1])


class Shift(nn.Module):
    """Adds numbers, zeros at first, that stay when a unit is zeroed."""

    def __init__(self, size):
        super().__init__()
        self.by = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return x + self.by


def test_a_constant_that_is_zero_at_first_is_folded_later(monkeypatch):
    def rule(layer, name, x, labels):
        labels.carry(f"{name}.by", 0, labels.channels(x))
        return x

    monkeypatch.setitem(LAYER_RULES, Shift, rule)
    module = nn.Sequential(nn.Linear(6, 5), Shift(5), nn.ReLU(), nn.Linear(5, 2))
    network = find_groups(module.double(), (6,))
    with torch.no_grad():
        module[1].by.normal_()
    keep = {"0": torch.tensor([True, False, False, True, False])}
    small, difference = cut(network, keep)
    assert difference < 1e-10
    assert small.module[3].in_features == 2


class Counting(nn.Module):
    """Counts how often it runs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls.add_(1)
        return x


def test_the_question_what_is_exact_changes_no_buffers():
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2), Counting())
    network = find_groups(module, (6,))
    keep = {"0": torch.tensor([True, False, True, True, False])}
    assert is_exact(network, keep, torch.randn(9, 6))
    assert module[3].calls == 0


def test_maps_stay_in_the_layout_they_are_in():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4, 2)
    )
    network = find_groups(module.to(memory_format=torch.channels_last), (3, 5, 5))
    small = compact(network, {network.hidden[0].name: torch.arange(8) % 3 > 0})
    for layer in small.module:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.is_contiguous(memory_format=torch.channels_last)
            assert not layer.weight.is_contiguous()
