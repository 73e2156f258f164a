import pytest
import torch
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune._pruning.gates import InputGates
from skjointprune._pruning.input_costs import CostSaliency
from skjointprune._pruning.saliency import FisherSaliency

N_INPUTS = 4


def table(n=2000):
    """Rows whose target is a step of the first input, and twice the second."""
    X = torch.randn(n, N_INPUTS, generator=torch.Generator().manual_seed(0))
    return X, (X[:, 0] > 0).float() + 2 * X[:, 1]


class Exact(nn.Module):
    """Computes that target, whatever is trained; the last two inputs are not read."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(N_INPUTS, 2, bias=False)
        self.last = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.first.weight.zero_()
            self.first.weight[0, 0], self.first.weight[1, 1] = 30.0, 1.0
            self.last.weight.copy_(torch.tensor([[0.5, 2.0]]))

    def forward(self, X):
        steep, plain = self.first(X).unbind(dim=1)
        return self.last(torch.stack([steep.tanh() + 1, plain], dim=1))


def measured(module, X, y, n_rows=1000, weight=None, n_events=1, at_once=1000):
    network = find_groups(module, (N_INPUTS,))
    weight = torch.ones(len(X)) if weight is None else weight

    def draw_rows(generator):
        drawn = torch.randperm(len(X), generator=generator)[:n_rows]
        for rows in drawn.split(at_once):
            losses = lambda out: (out[:, 0] - y[rows]) ** 2 * weight[rows]  # noqa: B023, E731
            yield X[rows], losses

    gates = InputGates(("channel",), (N_INPUTS,))
    saliency = CostSaliency(network, draw_rows, gates=gates, batch_size=100, memory=10)
    for _ in range(n_events):
        saliency.watch()
        saliency.costs()
    return saliency, network


def test_costs_are_the_same_however_many_rows_are_run_at_once():
    X, y = table()
    found = [
        measured(Exact(), X, y, n_events=60, at_once=at_once)[0].costs()
        for at_once in (1000, 300, 40)
    ]
    torch.testing.assert_close(found[1], found[0], rtol=0.15, atol=0.01)
    torch.testing.assert_close(found[2], found[0], rtol=0.15, atol=0.01)


def test_costs_add_up_to_what_the_inputs_of_other_rows_cost():
    X, y = table()
    saliency, network = measured(Exact(), X, y, n_events=20)
    other = X[torch.randperm(len(X), generator=torch.Generator().manual_seed(1))]
    with torch.no_grad():
        rise = ((network.module(other)[:, 0] - y) ** 2).mean()
    assert float(saliency.costs().sum()) == pytest.approx(float(rise), rel=0.15)


def test_a_point_is_drawn_in_each_half_of_the_way():
    X = (torch.arange(100) % 2).float()[:, None].repeat(1, N_INPUTS)
    seen = []
    exact = Exact()
    exact.first.register_forward_pre_hook(lambda layer, args: seen.append(args[0]))
    network = find_groups(exact, (N_INPUTS,))
    gates = InputGates(("channel",), (N_INPUTS,))
    rows = [(X, lambda out: out[:, 0])]
    saliency = CostSaliency(
        network, lambda _: rows, gates=gates, batch_size=100, memory=10
    )
    seen.clear()
    saliency.watch()
    saliency.costs()
    for at, least in zip(seen, (0.0, 0.5), strict=True):
        gone = torch.where(X == 1, at, 1 - at)[:, 0]  # of the way from another row
        gone = gone[(at[:, 0] > 0) & (at[:, 0] < 1)]
        assert len(gone) > 20
        assert ((gone >= least) & (gone <= least + 0.5)).all()


def test_what_is_not_read_costs_nothing():
    saliency, _ = measured(Exact(), *table())
    first, second, *unread = saliency.costs().tolist()
    assert second > first > 0.1
    assert unread == [0, 0]


def test_a_cost_stays_where_the_network_fits_and_gradients_vanish():
    """The derivative by a gate at 1 is then a measure of nothing."""
    X, y = table()
    saliency, network = measured(Exact(), X, y)
    loss = ((network.module(X)[:, 0] - y) ** 2).mean()
    loss.backward()
    saliency.watch()
    by_gates = FisherSaliency.measure(saliency, network.inputs)
    assert float(by_gates[:2].max()) < 0.3 < float(saliency.costs()[:2].min()) ** 0.5


def test_rows_count_by_their_weights():
    X, y = table()
    weight = (X[:, 0] > 0).float() * 2
    heavy, _ = measured(Exact(), X, y, weight=weight, n_events=10)
    light, _ = measured(Exact(), X, y, weight=torch.full((len(X),), 1e-3))
    assert float(light.costs().abs().max()) < 0.02 < float(heavy.costs()[:2].min())


def test_costs_of_a_group_add_up():
    saliency, network = measured(Exact(), *table())
    saliency.squares["inputs"] += 1.0
    groups = torch.tensor([0, 0, 1, 1])
    both, unread = saliency.measure_groups(network.inputs, groups).tolist()
    assert unread < 1e-2 < both
    alone = saliency.measure(network.inputs)
    costs = saliency.costs()
    # relative to inputs alone, whose gates say the same of all
    assert (alone[2:] < alone[:2].min()).all()
    of_costs = torch.stack([costs[0] + costs[1], costs[2] + costs[3] + 1e-12]).sqrt()
    by_gates = FisherSaliency.measure_groups(saliency, network.inputs, groups)
    expected = (of_costs * by_gates).sqrt()
    expected *= by_gates.norm() / expected.norm()
    assert both == pytest.approx(float(expected[0]), rel=1e-5)


def test_inputs_are_worth_as_much_together_as_by_their_gates():
    saliency, network = measured(Exact(), *table())
    saliency.squares["inputs"] += torch.tensor([1.0, 2.0, 3.0, 0.5])
    by_gates = FisherSaliency.measure(saliency, network.inputs)
    torch.testing.assert_close(saliency.measure(network.inputs).norm(), by_gates.norm())


def test_measuring_changes_no_mode_and_no_random_number_that_follows():
    X, y = table()
    module = nn.Sequential(nn.Linear(N_INPUTS, 3), nn.Dropout(0.5), nn.Linear(3, 1))
    module[1].eval()
    before = torch.get_rng_state()
    first, _ = measured(module.train(), X, y)
    assert all(layer.training for layer in module.modules())
    assert torch.equal(before, torch.get_rng_state())
    second, _ = measured(module, X, y)
    torch.testing.assert_close(first.costs(), second.costs())
    assert all(p.grad is None for p in module.parameters())


def test_between_two_steps_the_answer_is_the_same():
    saliency, _ = measured(Exact(), *table())
    before = saliency.costs()
    assert torch.equal(saliency.costs(), before)
    saliency.watch()
    assert not torch.equal(saliency.costs(), before)


def test_inputs_that_go_are_forgotten():
    saliency, _ = measured(Exact(), *table())
    before = saliency.costs()
    mask = torch.tensor([True, False, True, False])
    saliency.keep("inputs", mask)
    assert torch.equal(saliency.costs(), before[mask])
