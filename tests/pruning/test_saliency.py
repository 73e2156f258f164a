import numpy as np
import pytest
import torch
from _pictures import SmallConvNet
from torch import nn

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._graph.groups import find_groups
from skjointprune._pruning import saliency as module_of_saliency
from skjointprune._pruning.gates import InputGates
from skjointprune._pruning.input_costs import CostSaliency
from skjointprune._pruning.saliency import FisherSaliency, gate_gradient
from skjointprune._training import measures
from skjointprune.modules import MLP


def fisher(network, batch_size=64, memory=1000):
    gates = InputGates(("channel",), network.input_shape)
    return FisherSaliency(network, gates, batch_size, memory)


def trained(optimizer=torch.optim.Adam, steps=30):
    """A network and a measure of a few steps; the first of six inputs matters."""
    module = MLP(6, 2, (5,), norm=None, dropout=0)
    optimizer = optimizer(module.parameters(), lr=1e-2)
    network = find_groups(module, (6,))
    saliency = fisher(network)
    X = torch.randn(64, 6)
    y = (X[:, 0] > 0).long()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        saliency.watch()
        optimizer.step()
    return network, saliency


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
    network = find_groups(MLP(6, 2, (5,), norm=None, dropout=0), (6,))
    saliency = fisher(network, memory=memory)
    W = network.module.linear1.weight
    squares = []
    for _ in range(20):
        W.grad = torch.randn_like(W)
        network.module.output.weight.grad = torch.randn(2, 5)
        squares.append((W * W.grad).sum(dim=0) ** 2)
        saliency.watch()
    weights = decay ** torch.arange(20).flip(0)
    mean = (torch.stack(squares) * weights[:, None]).sum(0) / weights.sum()
    torch.testing.assert_close(saliency.measure(network.inputs), (64 * mean / 2).sqrt())


class Spectral(nn.Module):
    """Units that a complex weight reads; a gate multiplies each."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(3, 2)
        self.mix = nn.Parameter(torch.randn(4, 3, dtype=torch.cfloat))

    def forward(self, X, gates=1.0):
        spectrum = torch.complex(self.a(X) * gates, torch.zeros(()))
        return self.b(torch.einsum("ni,io->no", spectrum, self.mix).abs())


def test_the_derivative_by_a_gate_is_real_where_a_weight_is_complex():
    module, gates = Spectral(), torch.ones(4, requires_grad=True)
    X, y = torch.randn(20, 6), torch.randint(2, (20,))
    nn.functional.cross_entropy(module(X, gates), y).backward()
    network = find_groups(module, (6,))
    (channels,) = (c for c in network.hidden if c.name == "a")
    torch.testing.assert_close(gate_gradient(network, channels), gates.grad)


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

    class Spy(CostSaliency):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            found.append(1 / (1 - self.decay))

    monkeypatch.setattr(measures, "CostSaliency", Spy)
    X = np.random.default_rng(0).normal(size=(64, 3))
    params = {
        "alpha": 0.02,
        "max_epochs": epochs,
        "retrain_epochs": 0,
        "batch_size": 16,
    }
    fit = estimator((2,), validation_fraction=None, random_state=0, **params)
    fit.fit(X, (X[:, 0] > 0).astype(int))
    assert found == [pytest.approx(memory)]


def test_saliency_does_not_change_with_the_scale_of_a_normalised_layer():
    def measure(scale):
        torch.manual_seed(0)
        module = MLP(6, 2, (5,), norm="batch", dropout=0)
        with torch.no_grad():
            module.linear1.weight.mul_(scale)
            module.linear1.bias.mul_(scale)
        network = find_groups(module, (6,))
        saliency = fisher(network)
        X = torch.randn(64, 6)
        nn.functional.cross_entropy(module(X), (X[:, 0] > 0).long()).backward()
        saliency.watch()
        return saliency.measure(network.inputs)

    torch.testing.assert_close(measure(1.0), measure(7.0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_the_input_that_matters_is_the_most_salient(optimizer):
    network, saliency = trained(optimizer, steps=200)
    assert int(saliency.measure(network.inputs).argmax()) == 0


def test_what_is_kept_keeps_its_saliency():
    network, saliency = trained()
    before = [saliency.measure(c) for c in network.channels]
    mask = torch.tensor([True, False, True, True, False, False])
    saliency.keep("inputs", mask)
    after = [saliency.measure(c) for c in network.channels]
    assert torch.equal(after[0], before[0][mask])
    assert torch.equal(after[1], before[1])


def test_saliency_scales_as_the_weights_do():
    network, saliency = trained()
    before = saliency.measure(network.inputs)
    factors = torch.linspace(0.1, 1, 6)
    saliency.scale("inputs", factors)
    torch.testing.assert_close(saliency.measure(network.inputs), before * factors)


def test_the_saliency_of_a_group_is_between_that_of_its_mean_and_of_its_sum():
    network, saliency = trained()
    s = saliency.measure(network.inputs)
    groups = torch.zeros(6, dtype=torch.long)
    got = saliency.measure_groups(network.inputs, groups)
    mean, total = (s**2).mean().sqrt(), (s**2).sum().sqrt()
    torch.testing.assert_close(got, (mean * total).sqrt()[None])


def test_an_input_alone_in_its_group_is_worth_what_it_is():
    network, saliency = trained()
    s = saliency.measure(network.inputs)
    alone = saliency.measure_groups(network.inputs, torch.arange(6))
    torch.testing.assert_close(alone, s)
    paired = saliency.measure_groups(network.inputs, torch.tensor([2, 0, 0, 0, 1, 0]))
    torch.testing.assert_close(paired[1:], s[[4, 0]])


def test_the_saliency_of_a_gate_is_of_the_steps_it_recorded(monkeypatch):
    monkeypatch.setattr(module_of_saliency, "ALL_STEPS_BEFORE", 6)
    network = find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))
    gates = InputGates(("row",), (3, 8, 9))
    saliency = FisherSaliency(network, gates, batch_size=1.0, memory=1000)
    X = torch.randn(2, 3, 8, 9)
    recorded, found = [], []
    for _ in range(14):
        recorded.append(gates.records_gradient)
        network.module.zero_grad()
        network.module.eval()(gates.apply(X)).sum().backward()
        saliency.watch()
        found.append(saliency.measure(gates.channels[0]))
    assert [step for step, did in enumerate(recorded) if did] == [*range(6), 8, 12]
    # the same batch again and again: so is the mean of its squared derivatives
    for again in found:
        torch.testing.assert_close(again, found[0])
    assert (found[0] > 0).all()
