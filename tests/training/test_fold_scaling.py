from copy import deepcopy

import pytest
import torch
from torch import nn

from skjointprune._data.prepare import Scaling
from skjointprune._graph.groups import find_groups
from skjointprune._layers.affine import Affine
from skjointprune._training.fold_scaling import LARGEST_OFFSET, fold_scaling
from skjointprune.modules import MLP


@pytest.mark.parametrize("bias", [True, False])
def test_folded_module_on_raw_inputs_is_the_module_on_scaled_ones(bias):
    module = MLP(4, 3, (5,), bias=bias).double().eval()
    X = torch.randn(10, 4, dtype=torch.float64) * 7 + 3
    mean, scale = X.mean(0), X.std(0)
    expected = module((X - mean) / scale)
    folded = fold_scaling(find_groups(module, (4,)), Scaling(mean, scale), None)
    assert not any(isinstance(m, Affine) for m in folded.modules())
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)


def test_scaling_stands_before_a_first_layer_that_cannot_take_it():
    module = nn.Sequential(nn.Tanh(), nn.Linear(4, 3)).double().eval()
    X = torch.randn(10, 4, dtype=torch.float64) * 7 + 3
    mean, scale = X.mean(0), X.std(0)
    expected = module((X - mean) / scale)
    folded = fold_scaling(find_groups(module, (4,)), Scaling(mean, scale), None)
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)
    assert isinstance(folded[0], Affine)


def test_columns_far_from_zero_are_computed_in_double_precision():
    module = MLP(4, 3, (5,)).eval()
    Z = torch.randn(10, 4)
    expected = module(Z)
    mean = torch.full((4,), 1e7, dtype=torch.float64)
    scale = mean / LARGEST_OFFSET / 10
    folded = fold_scaling(find_groups(module, (4,)), Scaling(mean, scale), None)
    got = folded(Z.double() * scale + mean)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got.float(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_folded_targets_are_the_outputs_on_their_own_scale(bias):
    module = MLP(4, 3, (5,), bias=bias).double().eval()
    X = torch.randn(10, 4, dtype=torch.float64)
    targets = Scaling(torch.tensor([5.0, -2.0, 0.0]), torch.tensor([3.0, 0.1, 9.0]))
    targets = Scaling(targets.mean.double(), targets.scale.double())
    expected = module(X) * targets.scale + targets.mean
    folded = fold_scaling(find_groups(module, (4,)), None, targets)
    assert not any(isinstance(m, Affine) for m in folded.modules())
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)


def test_target_scaling_stands_after_outputs_that_cannot_take_it():
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double().eval()
    X = torch.randn(10, 4, dtype=torch.float64)
    mean, scale = torch.randn(3).double(), torch.rand(3).double() + 1
    expected = module(X) * scale + mean
    folded = fold_scaling(find_groups(module, (4,)), None, Scaling(mean, scale))
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)


def test_both_scalings_of_a_linear_model_are_folded_into_the_same_layer():
    module = nn.Sequential(nn.Linear(4, 2)).double()
    X = torch.randn(10, 4, dtype=torch.float64) * 3 + 1
    inputs = Scaling(X.mean(0), X.std(0))
    targets = Scaling(torch.ones(2).double(), torch.full((2,), 4.0).double())
    expected = module((X - inputs.mean) / inputs.scale) * 4 + 1
    folded = fold_scaling(find_groups(module, (4,)), inputs, targets)
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)


class Apart(nn.Module):
    """A network whose parts are put together by a function."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.how = forward

    def forward(self, X):
        return self.how(self, X)


def tied(module):
    module.b.weight = module.a.weight
    return module


def behind_a_hook(module):
    module.register_forward_pre_hook(lambda module, args: (args[0].tanh(),))
    module.register_forward_hook(lambda module, args, out: out.exp())
    return module


OTHERWISE = {
    "last layer twice": Apart(lambda m, X: m.b(m.a(X) + m.b(m.a(X)))),
    "first layer twice": Apart(lambda m, X: m.b(m.a(m.a(X).relu()))),
    "first layer twice, both on inputs": Apart(lambda m, X: m.b(m.a(X) * m.a(X))),
    "first layer on something else": Apart(lambda m, X: m.b(m.a(X) * m.a(X.exp()))),
    "weights tied": tied(Apart(lambda m, X: m.b(m.a(X).relu()))),
    "weights by themselves": Apart(lambda m, X: m.b(m.a(X) @ m.a.weight)),
    "hooks": behind_a_hook(Apart(lambda m, X: m.b(m.a(X)))),
    "otherwise in training": Apart(
        lambda m, X: m.b(m.a(X)) if m.training else m.b(m.a(X)).exp()
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_scalings_are_exact_whatever_the_code_does_with_its_layers(name):
    module = deepcopy(OTHERWISE[name]).double()
    network = find_groups(module, (4,))
    module.eval()
    X = torch.randn(10, 4, dtype=torch.float64) / 3 + 1
    inputs = Scaling(X.mean(0), X.std(0))
    targets = Scaling(torch.randn(4).double(), torch.rand(4).double() + 1)
    expected = module((X - inputs.mean) / inputs.scale) * targets.scale + targets.mean
    folded = fold_scaling(network, inputs, targets).eval()
    torch.testing.assert_close(folded(X), expected, rtol=1e-7, atol=1e-7)
