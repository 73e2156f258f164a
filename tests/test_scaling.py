import pytest
import torch
from torch import nn

from skjointprune._groups import find_groups
from skjointprune._scaling import LARGEST_OFFSET, Rescale, fold_scaling
from skjointprune.modules import MLP


@pytest.mark.parametrize("bias", [True, False])
def test_folded_module_on_raw_inputs_is_the_module_on_scaled_ones(bias):
    module = MLP(4, 3, (5,), bias=bias).double().eval()
    X = torch.randn(10, 4, dtype=torch.float64) * 7 + 3
    mean, scale = X.mean(0), X.std(0)
    expected = module((X - mean) / scale)
    folded = fold_scaling(find_groups(module, 4), mean, scale)
    assert not any(isinstance(m, Rescale) for m in folded.modules())
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)


def test_scaling_stands_before_a_first_layer_that_cannot_take_it():
    module = nn.Sequential(nn.Tanh(), nn.Linear(4, 3)).double().eval()
    X = torch.randn(10, 4, dtype=torch.float64) * 7 + 3
    mean, scale = X.mean(0), X.std(0)
    expected = module((X - mean) / scale)
    folded = fold_scaling(find_groups(module, 4), mean, scale)
    torch.testing.assert_close(folded(X), expected, rtol=1e-10, atol=1e-10)
    assert isinstance(folded[0], Rescale)


def test_columns_far_from_zero_are_computed_in_double_precision():
    module = MLP(4, 3, (5,)).eval()
    Z = torch.randn(10, 4)
    expected = module(Z)
    mean = torch.full((4,), 1e7, dtype=torch.float64)
    scale = mean / LARGEST_OFFSET / 10
    folded = fold_scaling(find_groups(module, 4), mean, scale)
    got = folded(Z.double() * scale + mean)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got.float(), expected, rtol=1e-4, atol=1e-4)
