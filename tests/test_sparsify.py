import numpy as np
import pytest
import torch
from torch import nn

from skjointprune._groups import find_groups
from skjointprune._sparsify import (
    PENALTIES,
    GroupL0,
    GroupLasso,
    Prices,
    Sparsifier,
    fisher_diagonal,
    saliency,
    watch_gradients,
)
from skjointprune.modules import MLP


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
@pytest.mark.parametrize("alpha", [0.1, 0.7, 3.0])
def test_prox_minimises_its_objective(penalty, alpha):
    grid = torch.linspace(0, 4, 4001, dtype=torch.float64)
    for s in torch.linspace(0, 4, 57, dtype=torch.float64):
        objective = (grid - s) ** 2 / 2 + penalty.value(grid, alpha)
        t = penalty.prox(s[None], alpha)
        reached = (t - s) ** 2 / 2 + penalty.value(t, alpha)
        assert float(reached) <= float(objective.min()) + 1e-6


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
def test_groups_go_at_alpha_and_stay_above(penalty):
    s = torch.tensor([0.5, 1.0, 1.001, 2.0])
    assert (penalty.prox(s, 1.0) > 0).tolist() == [False, False, True, True]


def test_l0_leaves_survivors_alone_and_lasso_shrinks_them():
    s = torch.tensor([2.0, 3.0])
    assert GroupL0().prox(s, 1.0).tolist() == [2, 3]
    assert GroupLasso().prox(s, 1.0).tolist() == [1, 2]


def trained(optimizer, steps=30, **kwargs):
    """A network after a few steps, with its optimiser and the data's first input."""
    module = MLP(6, 2, (5,), norm=None, dropout=0, **kwargs)
    optimizer = optimizer(module.parameters(), lr=1e-2)
    X = torch.randn(64, 6)
    y = (X[:, 0] > 0).long()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        optimizer.step()
        watch_gradients(optimizer)
    return find_groups(module, 6), optimizer


def test_fisher_diagonal_is_the_same_mean_for_adam_and_for_sgd():
    p = nn.Parameter(torch.zeros(3))
    adam = torch.optim.Adam([p], lr=0)
    sgd = torch.optim.SGD([p], lr=0)
    for _ in range(20):
        p.grad = torch.randn(3)
        adam.step()
        sgd.step()
        watch_gradients(adam)
        watch_gradients(sgd)
    torch.testing.assert_close(fisher_diagonal(adam, p), fisher_diagonal(sgd, p))
    assert "fisher" not in adam.state[p]


def test_saliency_is_that_of_its_formula():
    network, optimizer = trained(torch.optim.Adam)
    W = network.module.linear1.weight
    v = fisher_diagonal(optimizer, W)
    expected = (64 * (v * W**2).mean(dim=0) / 2).sqrt()
    got = saliency(network, network.inputs, optimizer, batch_size=64)
    torch.testing.assert_close(got, expected)


def test_saliency_does_not_grow_with_the_width_of_a_layer():
    network, optimizer = trained(torch.optim.Adam)
    W = network.module.linear1.weight
    before = saliency(network, network.inputs, optimizer, batch_size=64)
    v = optimizer.state[W]["exp_avg_sq"]
    network.module.linear1.weight = nn.Parameter(W.detach().repeat(2, 1))
    optimizer.param_groups[0]["params"][0] = network.module.linear1.weight
    optimizer.state[network.module.linear1.weight] = {
        **optimizer.state.pop(W),
        "exp_avg_sq": v.repeat(2, 1),
    }
    after = saliency(network, network.inputs, optimizer, batch_size=64)
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_the_input_that_matters_is_the_most_salient(optimizer):
    network, optimizer = trained(optimizer, steps=200)
    s = saliency(network, network.inputs, optimizer, batch_size=64)
    assert int(s.argmax()) == 0


def sparsifier(network, optimizer, penalty=None, prune="joint", **kwargs):
    prices = Prices(penalty or GroupL0(), prune, **kwargs)
    return Sparsifier(network, optimizer, 64, prices)


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_exactly_as_many_inputs_stay_as_asked(penalty, k):
    network, optimizer = trained(torch.optim.Adam)
    pruner = sparsifier(network, optimizer, penalty, "inputs")
    for n in (6, max(k, 4), k):
        pruner.prune(1e-3, n)
    assert network.inputs.size == k == len(pruner.support)
    assert int((pruner.importances() > 0).sum()) == k


def test_exactly_k_stay_when_saliencies_tie():
    network, optimizer = trained(torch.optim.Adam)
    with torch.no_grad():
        network.module.linear1.weight.zero_()
    sparsifier(network, optimizer).prune(1e-3, 2)
    assert network.inputs.size == 2


def test_groups_go_at_alpha():
    network, optimizer = trained(torch.optim.Adam)
    s = saliency(network, network.inputs, optimizer, 64)
    alpha = float(s.sort().values[3])  # the fourth goes too: at most alpha
    pruner = sparsifier(network, optimizer, prune="inputs")
    pruner.prune(0.0)
    assert network.inputs.size == 6
    pruner.prune(alpha)
    assert network.inputs.size == 2
    assert set(pruner.support.tolist()) == set(s.argsort()[4:].tolist())


def test_an_alpha_that_kills_all_keeps_the_most_salient_and_notes_it():
    network, optimizer = trained(torch.optim.Adam)
    best = int(saliency(network, network.inputs, optimizer, 64).argmax())
    pruner = sparsifier(network, optimizer)
    pruner.prune(1e6)
    assert pruner.support.tolist() == [best]
    assert [c.size for c in network.hidden] == [1]
    assert set(pruner.starved) == {"inputs", "linear1"}


def test_pinned_channels_are_passed_over():
    network = find_groups(MLP(6, 2, (5,), norm="layer"), 6)
    optimizer = torch.optim.Adam(network.module.parameters())
    sparsifier(network, optimizer).prune(1e6)
    assert network.hidden[0].size == 5
    assert network.inputs.size == 1


def test_a_proximal_step_leaves_the_saliency_that_it_says():
    network, optimizer = trained(torch.optim.Adam)
    before = saliency(network, network.inputs, optimizer, 64)
    alpha = float(before.min()) / 2
    sparsifier(network, optimizer, GroupLasso(), "inputs").prune(alpha)
    after = saliency(network, network.inputs, optimizer, 64)
    torch.testing.assert_close(after, before - alpha)


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
def test_inputs_of_a_group_stay_or_go_together(penalty):
    network, optimizer = trained(torch.optim.Adam)
    groups = torch.tensor([0, 1, 1, 0, 2, 2])
    s = saliency(network, network.inputs, optimizer, 64)
    of_group = [(s[groups == g] ** 2).mean().sqrt() for g in range(3)]
    order = sorted(range(3), key=lambda g: of_group[g])
    pruner = sparsifier(network, optimizer, penalty, "inputs", groups=groups)
    pruner.prune(float(of_group[order[0]]) * 1.0001)  # the least salient group goes
    left = set(groups[pruner.support].tolist())
    assert left == set(order[1:])
    assert len(pruner.support) == 4
    pruner.prune(0.0, 1)
    assert len(pruner.support) == 2  # one group
    assert len(set(groups[pruner.support].tolist())) == 1


def test_the_saliency_of_a_group_does_not_grow_with_its_size():
    network, optimizer = trained(torch.optim.Adam)
    s = saliency(network, network.inputs, optimizer, 64)
    together = sparsifier(network, optimizer, groups=torch.zeros(6, dtype=torch.long))
    got = together._priced(network.inputs)
    torch.testing.assert_close(got, (s**2).mean().sqrt()[None])


def test_the_threshold_of_an_input_is_alpha_times_its_cost():
    network, optimizer = trained(torch.optim.Adam)
    s = saliency(network, network.inputs, optimizer, 64)
    alpha = float(s.min()) / 2
    dear = int(s.argmax())
    costs = torch.ones(6)
    costs[dear] = float(s[dear]) / alpha * 1.01
    pruner = sparsifier(network, optimizer, prune="inputs", costs=costs)
    pruner.prune(alpha)
    assert sorted({*range(6)} - {*pruner.support.tolist()}) == [dear]


@pytest.mark.parametrize("what", ["macs", "params"])
def test_unit_costs_are_what_a_unit_saves_relative_to_the_mean_unit(what):
    network = find_groups(MLP(6, 2, (5, 3), norm=None), 6)
    optimizer = torch.optim.Adam(network.module.parameters())
    costs = [
        sparsifier(network, optimizer, unit_cost=what)._unit_cost(c)
        for c in network.hidden
    ]
    first, second = {"macs": (6 + 3, 5 + 2), "params": (6 + 1 + 3, 5 + 1 + 2)}[what]
    mean = (5 * first + 3 * second) / 8
    assert costs == pytest.approx([first / mean, second / mean])


def test_constant_unit_cost_is_one():
    network = find_groups(MLP(6, 2, (5, 3)), 6)
    optimizer = torch.optim.Adam(network.module.parameters())
    assert sparsifier(network, optimizer)._unit_cost(network.hidden[1]) == 1


def test_alpha_for_removes_the_share_of_inputs_and_units_asked_for():
    network, optimizer = trained(torch.optim.Adam)
    pruner = sparsifier(network, optimizer)
    s = torch.cat([saliency(network, c, optimizer, 64) for c in network.channels[:2]])
    alphas = [pruner.alpha_for(share) for share in np.linspace(0, 1, 30)]
    assert alphas[0] == 0
    assert (np.diff(alphas) >= 0).all()
    counts = [int((s > alpha).sum()) for alpha in alphas]
    assert set(counts) >= {*range(3, 12)}  # one by one, from all 11
    pruner.prune(alphas[-1])
    assert network.inputs.size == network.hidden[0].size == 1
    assert pruner.alpha_for(0.5) == 0  # enough are gone
