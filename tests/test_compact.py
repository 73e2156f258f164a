from copy import deepcopy

import pytest
import torch
from torch import nn

from skjointprune._compact import compact, compact_, zero_groups_
from skjointprune._groups import find_groups
from skjointprune.modules import ACTIVATIONS, MLP


def shaken(module):
    """Make every parameter and running statistic non-trivial."""
    with torch.no_grad():
        for name, t in module.state_dict().items():
            if t.is_floating_point():
                t.copy_(
                    torch.rand_like(t) + 0.5 if "var" in name else torch.randn_like(t)
                )
    return module.eval()


def random_masks(network):
    keep = {}
    for channels in network.channels:
        if not channels.pinned:
            mask = torch.rand(channels.size) < 0.6
            mask[torch.randint(channels.size, ())] = True
            keep[channels.name] = mask
    return keep


def assert_compact_matches_zeroed(module, n_inputs, tolerance):
    network = find_groups(module, (n_inputs,))
    keep = random_masks(network)
    small = compact(network, keep)
    zero_groups_(network, keep)
    X = torch.randn(20, n_inputs, dtype=next(module.parameters()).dtype)
    with torch.no_grad():
        expected = network.module(X)
        got = small.module(X[:, keep.get("inputs", torch.ones(n_inputs).bool())])
    scale = expected.abs().max().clamp(min=1)
    assert ((got - expected).abs().max() / scale) < tolerance
    for channels in small.channels:
        if channels.name in keep:
            assert channels.size == int(keep[channels.name].sum())


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
