import numpy as np
import pytest
import torch
from _networks import Residual
from _pictures import SmallConvNet
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.layers import LAYER_RULES
from skjointprune._pruning.gates import InputGates
from skjointprune._pruning.prices import Prices
from skjointprune._pruning.saliency import FisherSaliency
from skjointprune._pruning.sparsifier import Sparsifier
from skjointprune.modules import MLP
from skjointprune.penalties import PENALTIES, GroupL0, GroupLasso

S = torch.tensor([0.9, 0.5, 0.1, 0.4, 0.2, 0.3])  # of inputs


class GivenSaliency:
    """Saliencies by name, 1 where none are given; those of a group add up."""

    def __init__(self, **given):
        self.given = {name: torch.as_tensor(s) for name, s in given.items()}
        self.n_steps = 0

    def watch(self):
        self.n_steps += 1

    def measure(self, channels):
        return self.given.setdefault(channels.name, torch.ones(channels.size))

    def measure_groups(self, channels, groups):
        sums = torch.zeros(int(groups.max()) + 1)
        return sums.index_add_(0, groups, self.measure(channels))

    def keep(self, name, mask):
        self.given[name] = self.given[name][mask]

    def scale(self, name, factors):
        self.given[name] = self.given[name] * factors


def sparsifier(network, saliency, prices, gates=None):
    return Sparsifier(
        network,
        gates or InputGates(("channel",), network.input_shape),
        saliency,
        prices,
        torch.optim.Adam(network.module.parameters()),
        rows=lambda: torch.ones(2, network.inputs.size, *network.input_shape[1:]),
    )


def dense(*sizes, norm=None):
    return find_groups(MLP(6, 2, sizes, norm=norm, dropout=0), (6,))


def of_inputs(penalty=None, prune="inputs", s=S, **prices):
    """A sparsifier of six inputs of given saliencies, and five units of saliency 1."""
    prices = Prices(penalty or GroupL0(), prune, **prices)
    return sparsifier(dense(5), GivenSaliency(inputs=s), prices)


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_exactly_as_many_inputs_stay_as_asked(penalty, k):
    pruner = of_inputs(penalty)
    for n in (6, max(k, 4), k):
        pruner.prune(1e-3, n)
    assert pruner.network.inputs.size == k == len(pruner.support)
    assert set(pruner.support.tolist()) == set(S.argsort()[6 - k :].tolist())
    importances = pruner.importances()
    assert importances.shape == (6,)
    assert set(importances.nonzero().flatten().tolist()) == {*pruner.support.tolist()}


def test_exactly_k_stay_when_saliencies_tie():
    pruner = of_inputs(s=torch.zeros(6))
    pruner.prune(1e-3, 2)
    assert pruner.network.inputs.size == 2


def test_groups_go_at_alpha():
    pruner = of_inputs()
    pruner.prune(0.0)
    assert pruner.network.inputs.size == 6
    kept = pruner.prune(float(S[3]))  # the fourth goes too: at most alpha
    assert kept.tolist() == pruner.support.tolist() == [0, 1]
    assert pruner.network.inputs.size == 2
    assert pruner.prune(0.6).tolist() == [0]  # positions among those there were


def test_what_stays_keeps_its_saliency():
    pruner = of_inputs()
    kept = pruner.prune(0.0, 3)
    assert torch.equal(pruner.saliency.measure(pruner.network.inputs), S[kept])


def test_an_alpha_that_kills_all_keeps_the_most_salient_and_notes_it():
    pruner = of_inputs(prune="joint")
    pruner.prune(1e6)
    assert pruner.support.tolist() == [0]
    assert [c.size for c in pruner.network.hidden] == [1]
    assert set(pruner.starved) == {"inputs", "linear1"}


def test_pinned_channels_are_passed_over():
    network = dense(5, norm="layer")
    pruner = sparsifier(network, GivenSaliency(), Prices(GroupL0()))
    pruner.prune(1e6)
    assert network.hidden[0].size == 5
    assert network.inputs.size == 1


def test_the_saliency_is_told_of_each_step():
    pruner = of_inputs()
    pruner.watch()
    pruner.watch()
    assert pruner.saliency.n_steps == 2


def test_a_proximal_step_leaves_the_saliency_that_it_says():
    pruner = of_inputs(GroupLasso())
    pruner.prune(0.05)
    after = pruner.saliency.measure(pruner.network.inputs)
    torch.testing.assert_close(after, S - 0.05)


def test_a_proximal_step_scales_the_weights_that_read_a_channel():
    pruner = of_inputs(GroupLasso())
    W = pruner.network.module.linear1.weight.detach().clone()
    pruner.prune(0.05)
    after = pruner.network.module.linear1.weight
    torch.testing.assert_close(after, W * (S - 0.05) / S)


def test_shrunk_weights_have_the_saliency_that_is_left():
    """The running mean of squared gate gradients follows the weights."""
    network = dense(5)
    gates = InputGates(("channel",), (6,))
    saliency = FisherSaliency(network, gates, batch_size=64, memory=1000)
    for _ in range(3):
        network.module.zero_grad()
        network.module(torch.randn(64, 6)).square().mean().backward()
        saliency.watch()
    before = saliency.measure(network.inputs)
    alpha = float(before.min()) / 2
    sparsifier(network, saliency, Prices(GroupLasso(), "inputs"), gates).prune(alpha)
    torch.testing.assert_close(saliency.measure(network.inputs), before - alpha)


@pytest.mark.parametrize("penalty", [p() for p in PENALTIES.values()])
def test_inputs_of_a_group_stay_or_go_together(penalty):
    groups = torch.tensor([0, 1, 1, 0, 2, 2])  # of saliency 1.3, .6 and .5
    pruner = of_inputs(penalty, groups=groups)
    assert pruner.n_groups == 3
    pruner.prune(0.51)  # the least salient group goes
    assert pruner.support.tolist() == [0, 1, 2, 3]
    pruner.prune(0.0, 1)
    assert pruner.support.tolist() == [0, 3]  # one group


def test_the_threshold_of_an_input_is_alpha_times_its_cost():
    costs = torch.ones(6)
    costs[0] = 10.0
    pruner = of_inputs(costs=costs)
    pruner.prune(0.095)
    assert pruner.support.tolist() == [1, 2, 3, 4, 5]
    pruner = of_inputs(costs=costs)
    pruner.prune(0.085)
    assert pruner.support.tolist() == [0, 1, 2, 3, 4, 5]


def test_costs_go_with_their_inputs():
    pruner = of_inputs(costs=torch.arange(1.0, 7.0))
    pruner.prune(0.0, 3)
    assert pruner.prices.costs.tolist() == [i + 1.0 for i in pruner.support.tolist()]


@pytest.mark.parametrize("penalty", [GroupL0(), GroupLasso()])
@pytest.mark.parametrize(("n_above", "n_left"), [(3, 4), (4, 4), (5, 8), (9, 10)])
def test_as_many_of_the_most_salient_units_stay_as_make_a_round_number(
    penalty, n_above, n_left
):
    network = dense(10)
    (unit,) = network.hidden
    order = torch.randperm(10)
    s = 1.0 + order  # the saliency of a unit is its place in order
    inputs = torch.tensor([0.0, *[1e9] * 5])  # five of six stay
    saliency = GivenSaliency(inputs=inputs, **{unit.name: s})
    pruner = sparsifier(network, saliency, Prices(penalty, round_units_to=4))
    alpha = 10.5 - n_above
    before = network.module.output.weight.clone()
    pruner.prune(alpha)
    assert unit.size == n_left
    assert network.inputs.size == 5
    after, kept = network.module.output.weight, order >= 10 - n_left
    below = order[kept] < 10 - n_above  # kept by rule: as they were
    torch.testing.assert_close(after[:, below], before[:, kept][:, below])


def test_numbers_of_inputs_are_not_rounded_even_where_units_are_added_to_them():
    network = find_groups(Residual(6, 2), (6,))
    assert network.inputs.units_each == {1}
    saliency = GivenSaliency(inputs=torch.tensor([0.0, *[1.0] * 5]))
    pruner = sparsifier(network, saliency, Prices(GroupL0(), round_units_to=4))
    pruner.prune(0.01)
    assert network.inputs.size == 5


def test_all_layers_whose_units_go_together_are_left_with_round_numbers():
    first, second = nn.Conv2d(3, 24, 1), nn.Conv2d(24, 48, 1, groups=12)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 2)]
    network = find_groups(nn.Sequential(first, second, *head), (3, 4, 4))
    (groups,) = (c for c in network.hidden if not c.pinned)
    assert groups.units_each == {2, 4}
    saliency = GivenSaliency(**{groups.name: torch.arange(12.0)})
    prices = Prices(GroupL0(), "weights", round_units_to=8)
    sparsifier(network, saliency, prices).prune(10.9)
    assert (len(network.module[0].weight), len(network.module[1].weight)) == (8, 16)


def test_alpha_for_removes_the_share_of_inputs_and_units_asked_for():
    network = dense(5)
    units = torch.tensor([0.35, 0.8, 0.15, 0.6, 0.05])
    saliency = GivenSaliency(inputs=S, linear1=units)
    pruner = sparsifier(network, saliency, Prices(GroupL0()))
    s = torch.cat([S, units])
    alphas = [pruner.alpha_for(share) for share in np.linspace(0, 1, 30)]
    assert 0 < alphas[0] < s.min()  # nothing goes
    assert (np.diff(alphas) >= 0).all()
    counts = [int((s > alpha).sum()) for alpha in alphas]
    assert set(counts) >= {*range(3, 12)}  # one by one, from all 11
    pruner.prune(alphas[-1])
    assert network.inputs.size == network.hidden[0].size == 1
    assert pruner.alpha_for(0.5) == 0  # enough are gone


def test_gates_close_as_inputs_go_and_images_lose_what_any_kind_loses():
    network = find_groups(SmallConvNet((3, 4, 5), 2), (3, 4, 5))
    gates = InputGates(("channel", "row", "column"), (3, 4, 5))
    given = {
        "inputs": torch.tensor([9.0, 0.0, 9.0]),
        "image rows": torch.tensor([0.0, 8.0, 9.0, 9.0]),
        "image columns": torch.tensor([9.0, 9.0, 9.0, 9.0, 0.0]),
    }
    prices = Prices(GroupL0(), "inputs")
    pruner = sparsifier(network, GivenSaliency(**given), prices, gates)
    assert pruner.prune(1e-3).tolist() == [0, 2]
    assert network.inputs.size == 2
    assert [c.size for c in gates.channels] == [3, 4]
    expected = torch.full((3, 4, 5), 9.0)
    expected[:, 1] = 8.0
    expected[1] = expected[:, 0] = expected[:, :, 4] = 0.0
    assert torch.equal(pruner.importances(), expected)


@pytest.mark.parametrize("n_rows", [None, 1])
def test_gates_of_several_kinds_leave_a_number_in_common(n_rows):
    """The rows and the patch that are worth something do not meet."""
    network = find_groups(SmallConvNet((3, 4, 4), 2), (3, 4, 4))
    gates = InputGates(("row", "patch"), (3, 4, 4), patch_size=2)
    given = {
        "image rows": torch.tensor([9.0, 8.0, 0.01, 0.01]),
        "image patches": torch.tensor([0.02, 0.01, 0.01, 9.0]),
    }
    prices = Prices(GroupL0(), "inputs")
    pruner = sparsifier(network, GivenSaliency(**given), prices, gates)
    pruner.prune(1 / max(prices.group_costs(network, gates).values()), n_rows)
    assert pruner.starved == ["image patches"]
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[: n_rows or 2, :2] = True  # of the patch that is worth most there
    assert gates.support().equal(expected.expand(3, 4, 4))


def test_a_number_of_inputs_is_of_rows_where_only_these_may_go():
    network = find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))
    gates = InputGates(("row",), (3, 8, 9))
    saliency = GivenSaliency(**{"image rows": torch.arange(8.0)})
    pruner = sparsifier(network, saliency, Prices(GroupL0(), "inputs"), gates)
    assert pruner.n_groups == 8
    pruner.prune(1e-3, 3)
    assert gates.support().any(dim=2).any(dim=0).tolist() == [*[False] * 5, *[True] * 3]
    assert network.inputs.size == 3  # channels: all of them
    assert (pruner.importances() > 0).equal(gates.support())


def test_the_saliency_of_a_row_is_compared_with_its_price():
    network = find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))
    gates = InputGates(("row",), (3, 8, 9))
    prices = Prices(GroupL0(), "inputs")
    dear = prices.group_costs(network, gates)["image rows"]
    saliency = GivenSaliency(**{"image rows": torch.arange(1.0, 9.0)})
    sparsifier(network, saliency, prices, gates).prune(5.5 / dear)
    assert gates.channels[0].size == 3


class PermutedColumns(GivenSaliency):
    """Measures the inputs by the loss once their columns are permuted together."""

    def __init__(self, network, X, y):
        super().__init__()
        self.module, self.X, self.y = network.module, X, y

    def loss(self, X):
        with torch.no_grad():
            return nn.functional.mse_loss(self.module(X), self.y)

    def measure_groups(self, channels, groups):
        found = torch.zeros(int(groups.max()) + 1)
        for group in range(len(found)):
            X, columns = self.X.clone(), groups == group
            X[:, columns] = X[torch.randperm(len(X))][:, columns]
            found[group] = (self.loss(X) - self.loss(self.X)).clamp(min=0).sqrt()
        return found

    def keep(self, name, mask):
        if name == "inputs":
            self.X = self.X[:, mask]
        else:
            super().keep(name, mask)


def test_a_saliency_may_be_measured_on_rows_with_the_module():
    network = dense()
    X = torch.randn(50, 6)
    with torch.no_grad():
        network.module.output.weight.zero_()[:, [1, 4]] = 1.0
        y = network.module(X)
    saliency = PermutedColumns(network, X, y)
    groups = torch.tensor([0, 1, 2, 0, 1, 2])
    pruner = sparsifier(network, saliency, Prices(GroupL0(), "inputs", groups))
    pruner.prune(1e-3)
    assert pruner.support.tolist() == [1, 4]
    pruner.prune(1e-3)
    assert pruner.support.tolist() == [1, 4]


class Shared(nn.Module):
    def forward(self, X):
        return X / X.shape[1]


def couple_nothing(layer, name, x, labels):
    """Return the labels of what is given, wrongly: their number counts."""
    return x


def test_what_changes_outputs_when_it_is_removed_stays_whole_from_then_on(monkeypatch):
    monkeypatch.setitem(LAYER_RULES, Shared, couple_nothing)
    stack = nn.Sequential(nn.Linear(6, 4), Shared(), nn.Linear(4, 2))
    network = find_groups(stack, (6,))
    saliency = GivenSaliency(**{"inputs": S, "0": torch.tensor([0.1, 1.0, 1.0, 1.0])})
    pruner = sparsifier(network, saliency, Prices(GroupL0()))
    with pytest.warns(UserWarning, match="The channels '0' are kept whole"):
        pruner.prune(0.25)
    (units,) = network.hidden
    assert units.size == 4
    assert units.pinned == "without them the outputs were others"
    assert pruner.targets == [network.inputs]
    assert network.inputs.size == 4
    pruner.prune(0.45)
    assert (network.inputs.size, units.size) == (2, 4)


def test_what_changes_outputs_when_it_is_removed_is_restored_and_named(
    quick, planted, monkeypatch
):
    monkeypatch.setitem(LAYER_RULES, Shared, couple_nothing)
    stack = nn.Sequential(nn.Linear(12, 6), Shared(), nn.Linear(6, 2))
    with pytest.warns(UserWarning, match="The channels '0' are kept whole"):
        clf = quick(module=stack, alpha=0.2).fit(*planted)
    assert clf.report_.pruned.units == {"0": 6}
    assert "outputs were others" in clf.report_.kept_whole["0"]
    assert clf.report_.pruned.inputs < 12
