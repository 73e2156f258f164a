import numpy as np
import pytest
import torch
from _networks import Residual
from torch import nn

from skjointprune import (
    JointPruneClassifier,
    JointPruneRegressor,
)
from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.layers import LAYER_RULES
from skjointprune._pruning.sparsifier import Prices, Sparsifier, gate_gradient
from skjointprune._training import trainer
from skjointprune.modules import MLP
from skjointprune.penalties import PENALTIES, GroupL0, GroupLasso


def sparsifier(network, optimizer, prices, memory=1000):
    rows = lambda: torch.ones(2, network.inputs.size)  # noqa: E731
    return Sparsifier(network, optimizer, 64, prices, memory, rows)


def trained(optimizer=torch.optim.Adam, steps=30, prices=None, bias=True):
    """A sparsifier that has seen a few steps; the first of six inputs matters."""
    module = MLP(6, 2, (5,), norm=None, dropout=0, bias=bias)
    optimizer = optimizer(module.parameters(), lr=1e-2)
    pruner = sparsifier(find_groups(module, (6,)), optimizer, prices or price())
    X = torch.randn(64, 6)
    y = (X[:, 0] > 0).long()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        pruner.watch()
        optimizer.step()
    return pruner


def price(penalty=None, prune="joint", **kwargs):
    return Prices(penalty or GroupL0(), prune, **kwargs)


def priced(pruner, *args, **kwargs):
    """The same network and gradients at other prices."""
    other = sparsifier(pruner.network, pruner.optimizer, price(*args, **kwargs))
    other.squares, other.n_steps = dict(pruner.squares), pruner.n_steps
    other.forgetting = dict(pruner.forgetting)
    return other


def untrained(*args, **kwargs):
    network = find_groups(MLP(6, 2, *args, **kwargs), (6,))
    return sparsifier(network, torch.optim.Adam(network.module.parameters()), price())


class Gated(nn.Module):
    """A network with an explicit gate on each input and on each unit."""

    def __init__(self, mlp):
        super().__init__()
        self.mlp = mlp
        self.inputs, self.units = (
            nn.Parameter(torch.ones(6)),
            nn.Parameter(torch.ones(5)),
        )

    def forward(self, X):
        hidden = self.mlp.activation1(self.mlp.linear1(X * self.inputs))
        return self.mlp.output(hidden * self.units)


def test_the_derivative_by_a_gate_is_that_of_an_explicit_gate():
    gated = Gated(MLP(6, 2, (5,), norm=None, dropout=0))
    loss = nn.functional.cross_entropy(
        gated(torch.randn(20, 6)), torch.randint(2, (20,))
    )
    loss.backward()
    network = find_groups(gated.mlp, (6,))
    torch.testing.assert_close(
        gate_gradient(network, network.inputs), gated.inputs.grad
    )
    torch.testing.assert_close(
        gate_gradient(network, network.hidden[0]), gated.units.grad
    )


@pytest.mark.parametrize(("memory", "decay"), [(10, 0.9), (100, 0.99), (1000, 0.999)])
def test_saliency_is_that_of_its_formula(memory, decay):
    pruner = trained(steps=0)
    pruner = sparsifier(pruner.network, pruner.optimizer, price(), memory)
    inputs = pruner.network.inputs
    W = pruner.network.module.linear1.weight
    squares = []
    for _ in range(20):
        W.grad = torch.randn_like(W)
        pruner.network.module.output.weight.grad = torch.randn(2, 5)
        squares.append((W * W.grad).sum(dim=0) ** 2)
        pruner.watch()
    weights = decay ** torch.arange(20).flip(0)
    mean = (torch.stack(squares) * weights[:, None]).sum(0) / weights.sum()
    torch.testing.assert_close(pruner.saliency(inputs), (64 * mean / 2).sqrt())


@pytest.mark.parametrize(
    ("estimator", "epochs", "memory"),
    [
        (JointPruneClassifier, 400, 1600 / 12),
        (JointPruneRegressor, 400, 1600 / 4),
        (JointPruneClassifier, 20, 100),
    ],
)
def test_gradients_are_averaged_over_a_share_of_the_steps(
    monkeypatch, estimator, epochs, memory
):
    found = []

    class Spy(Sparsifier):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            found.append(1 / (1 - self.decay))

    monkeypatch.setattr(trainer, "Sparsifier", Spy)
    X = np.random.default_rng(0).normal(size=(64, 3))
    params = {"max_epochs": epochs, "retrain_epochs": 0, "batch_size": 16}
    fit = estimator((2,), validation_fraction=None, random_state=0, **params)
    fit.fit(X, (X[:, 0] > 0).astype(int))
    assert found == [pytest.approx(memory)]


def test_saliency_does_not_change_with_the_scale_of_a_normalised_layer():
    def saliency(scale):
        torch.manual_seed(0)
        module = MLP(6, 2, (5,), norm="batch", dropout=0)
        with torch.no_grad():
            module.linear1.weight.mul_(scale)
            module.linear1.bias.mul_(scale)
        optimizer = torch.optim.SGD(module.parameters(), lr=0)
        pruner = sparsifier(find_groups(module, (6,)), optimizer, price())
        X = torch.randn(64, 6)
        nn.functional.cross_entropy(module(X), (X[:, 0] > 0).long()).backward()
        pruner.watch()
        return pruner.saliency(pruner.network.inputs)

    torch.testing.assert_close(saliency(1.0), saliency(7.0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_the_input_that_matters_is_the_most_salient(optimizer):
    pruner = trained(optimizer, steps=200)
    assert int(pruner.saliency(pruner.network.inputs).argmax()) == 0


def test_what_is_kept_keeps_its_saliency():
    pruner = trained()
    before = pruner.saliency(pruner.network.inputs)
    kept = pruner.prune(0.0, 3)
    torch.testing.assert_close(pruner.saliency(pruner.network.inputs), before[kept])


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_exactly_as_many_inputs_stay_as_asked(penalty, k):
    pruner = trained()
    network = pruner.network
    pruner = priced(pruner, penalty, "inputs")
    for n in (6, max(k, 4), k):
        pruner.prune(1e-3, n)
    assert network.inputs.size == k == len(pruner.support)
    assert int((pruner.importances() > 0).sum()) == k


def test_exactly_k_stay_when_saliencies_tie():
    pruner = trained()
    network = pruner.network
    with torch.no_grad():
        network.module.linear1.weight.zero_()
    pruner.prune(1e-3, 2)
    assert network.inputs.size == 2


def test_groups_go_at_alpha():
    pruner = trained()
    network = pruner.network
    s = pruner.saliency(network.inputs)
    alpha = float(s.sort().values[3])  # the fourth goes too: at most alpha
    pruner = priced(pruner, prune="inputs")
    pruner.prune(0.0)
    assert network.inputs.size == 6
    pruner.prune(alpha)
    assert network.inputs.size == 2
    assert set(pruner.support.tolist()) == set(s.argsort()[4:].tolist())


def test_an_alpha_that_kills_all_keeps_the_most_salient_and_notes_it():
    pruner = trained()
    network = pruner.network
    best = int(pruner.saliency(network.inputs).argmax())
    pruner.prune(1e6)
    assert pruner.support.tolist() == [best]
    assert [c.size for c in network.hidden] == [1]
    assert set(pruner.starved) == {"inputs", "linear1"}


def test_pinned_channels_are_passed_over():
    pruner = untrained((5,), norm="layer")
    network = pruner.network
    pruner.prune(1e6)
    assert network.hidden[0].size == 5
    assert network.inputs.size == 1


def test_a_proximal_step_leaves_the_saliency_that_it_says():
    pruner = trained()
    network = pruner.network
    before = pruner.saliency(network.inputs)
    alpha = float(before.min()) / 2
    pruner = priced(pruner, GroupLasso(), "inputs")
    pruner.prune(alpha)
    after = pruner.saliency(network.inputs)
    torch.testing.assert_close(after, before - alpha)


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
def test_inputs_of_a_group_stay_or_go_together(penalty):
    pruner = trained()
    network = pruner.network
    groups = torch.tensor([0, 1, 1, 0, 2, 2])
    s = pruner.saliency(network.inputs)
    of_group = [(s[groups == g] ** 2).sum().sqrt() for g in range(3)]
    order = sorted(range(3), key=lambda g: of_group[g])
    pruner = priced(pruner, penalty, "inputs", groups=groups)
    pruner.prune(
        float(of_group[order[0]]) / 2**0.25 * 1.0001
    )  # the least salient group goes
    left = set(groups[pruner.support].tolist())
    assert left == set(order[1:])
    assert len(pruner.support) == 4
    pruner.prune(0.0, 1)
    assert len(pruner.support) == 2  # one group
    assert len(set(groups[pruner.support].tolist())) == 1


def test_the_saliency_of_a_group_is_between_that_of_its_mean_and_of_its_sum():
    pruner = trained()
    s = pruner.saliency(pruner.network.inputs)
    groups = torch.zeros(6, dtype=torch.long)
    got = priced(pruner, groups=groups)._priced()["inputs"]
    mean, total = (s**2).mean().sqrt(), (s**2).sum().sqrt()
    torch.testing.assert_close(got, (mean * total).sqrt()[None])


def test_the_threshold_of_an_input_is_alpha_times_its_cost():
    pruner = trained()
    network = pruner.network
    s = pruner.saliency(network.inputs)
    alpha = float(s.min()) / 2
    dear = int(s.argmax())
    costs = torch.ones(6)
    costs[dear] = float(s[dear]) / alpha * 1.01
    pruner = priced(pruner, prune="inputs", costs=costs)
    pruner.prune(alpha)
    assert sorted({*range(6)} - {*pruner.support.tolist()}) == [dear]


@pytest.mark.parametrize("what", ["macs", "params"])
def test_unit_costs_are_the_root_of_what_a_unit_saves_relative_to_the_mean_unit(what):
    pruner = untrained((5, 3), norm=None)
    network = pruner.network
    of_unit = priced(pruner, unit_cost=what)._costs()
    costs = [of_unit[c.name] for c in network.hidden]
    first, second = {"macs": (6 + 3, 5 + 2), "params": (6 + 1 + 3, 5 + 1 + 2)}[what]
    mean = (5 * first + 3 * second) / 8
    assert costs == pytest.approx([(first / mean) ** 0.5, (second / mean) ** 0.5])


def test_constant_unit_cost_leaves_saliencies_as_they_are():
    pruner = priced(trained())
    (unit,) = pruner.network.hidden
    assert torch.equal(pruner._priced()[unit.name], pruner.saliency(unit))


@pytest.mark.parametrize("penalty", [GroupL0(), GroupLasso()])
@pytest.mark.parametrize(("n_above", "n_left"), [(3, 4), (4, 4), (5, 8), (9, 10)])
def test_as_many_of_the_most_salient_units_stay_as_make_a_round_number(
    penalty, n_above, n_left
):
    pruner = untrained((10,), norm=None)
    (unit,) = pruner.network.hidden
    pruner = priced(pruner, penalty, round_units_to=4)
    order = torch.randperm(10)
    pruner.squares[unit.name] = (1.0 + order) ** 2  # the saliency of its place in order
    s = pruner.saliency(unit).sort(descending=True).values
    alpha = float(s[n_above - 1 : n_above + 1].mean())
    pruner.squares["inputs"][1:] = 1e9  # five of six stay
    before = pruner.network.module.output.weight.clone()
    pruner.prune(alpha)
    assert unit.size == n_left
    assert pruner.network.inputs.size == 5
    after, kept = pruner.network.module.output.weight, order >= 10 - n_left
    below = order[kept] < 10 - n_above  # kept by rule: as they were
    torch.testing.assert_close(after[:, below], before[:, kept][:, below])


def test_numbers_of_inputs_are_not_rounded_even_where_units_are_added_to_them():
    network = find_groups(Residual(6, 2), (6,))
    assert network.inputs.units_each == {1}
    optimizer = torch.optim.Adam(network.module.parameters())
    pruner = sparsifier(network, optimizer, price(round_units_to=4))
    pruner.squares["inputs"][1:] = 1.0
    pruner.prune(0.01)
    assert network.inputs.size == 5


def test_all_layers_whose_units_go_together_are_left_with_round_numbers():
    first, second = nn.Conv2d(3, 24, 1), nn.Conv2d(24, 48, 1, groups=12)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 2)]
    network = find_groups(nn.Sequential(first, second, *head), (3, 4, 4))
    (groups,) = (c for c in network.hidden if not c.pinned)
    assert groups.units_each == {2, 4}
    optimizer = torch.optim.Adam(network.module.parameters())
    pruner = sparsifier(network, optimizer, price(prune="weights", round_units_to=8))
    pruner.rows = lambda: torch.ones(2, 3, 4, 4)
    pruner.squares[groups.name] = torch.arange(12.0)
    pruner.prune(float(pruner.saliency(groups).max()) * 0.99)
    assert (len(network.module[0].weight), len(network.module[1].weight)) == (8, 16)


def test_alpha_for_removes_the_share_of_inputs_and_units_asked_for():
    pruner = trained()
    network = pruner.network
    s = torch.cat([pruner.saliency(c) for c in network.channels[:2]])
    alphas = [pruner.alpha_for(share) for share in np.linspace(0, 1, 30)]
    assert 0 < alphas[0] < s.min()  # nothing goes
    assert (np.diff(alphas) >= 0).all()
    counts = [int((s > alpha).sum()) for alpha in alphas]
    assert set(counts) >= {*range(3, 12)}  # one by one, from all 11
    pruner.prune(alphas[-1])
    assert network.inputs.size == network.hidden[0].size == 1
    assert pruner.alpha_for(0.5) == 0  # enough are gone


class Sorted(nn.Module):
    def forward(self, X):
        return X.sort(dim=1).values


def test_what_changes_outputs_when_it_is_removed_is_restored_and_named(
    quick, planted, monkeypatch
):
    rule = lambda layer, name, x, labels: x  # noqa: E731 (it does couple them)
    monkeypatch.setitem(LAYER_RULES, Sorted, rule)
    stack = nn.Sequential(nn.Linear(12, 6), Sorted(), nn.Linear(6, 2))
    with pytest.warns(UserWarning, match="The channels '0' are kept whole"):
        clf = quick(module=stack, alpha=0.2).fit(*planted)
    assert clf.report_.pruned.units == {"0": 6}
    assert "outputs were others" in clf.report_.kept_whole["0"]
    assert clf.report_.pruned.inputs < 12
