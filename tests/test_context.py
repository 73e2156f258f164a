import pytest
import torch
from torch import nn

from skjointprune._context import evaluating, full_precision, kind_of_rows


def test_each_layer_gets_its_mode_back_even_after_an_error():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3).eval()))
    before = [layer.training for layer in module.modules()]
    with pytest.raises(KeyError), evaluating(module):
        assert not any(layer.training for layer in module.modules())
        raise KeyError
    assert [layer.training for layer in module.modules()] == before
    assert True in before
    assert False in before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_have_the_type_of_the_first_parameter_of_real_numbers(dtype):
    module = nn.Module()
    module.first = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    module.second = nn.Parameter(torch.ones(2, dtype=dtype))
    assert kind_of_rows(module)["dtype"] == dtype


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_numbers_are_rounded_as_before_after_full_precision(precision):
    def state():
        cudnn = torch.backends.cudnn
        return (
            torch.get_float32_matmul_precision(),
            *(cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
        )

    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        before = state()
        with pytest.raises(KeyError), full_precision():
            assert state() == ("highest", False, *before[2:])
            raise KeyError
        assert state() == before
    finally:
        torch.set_float32_matmul_precision(usual)
