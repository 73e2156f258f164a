import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from skjointprune._context import evaluating, kind_of_rows


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


def of_torch_2_9():
    return hasattr(torch.backends.cudnn, "conv")


def rounding():
    """How a GPU rounds; some of it cannot be read where another part was set."""
    backends = torch.backends
    settings = [(backends.cudnn, "allow_tf32"), (backends.cuda.matmul, "allow_tf32")]
    if of_torch_2_9():
        layers = backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul
        settings += [(layer, "fp32_precision") for layer in layers]
        settings += [(backends.mkldnn.matmul, "fp32_precision")]
    found = []
    for where, name in settings:
        try:
            found.append(getattr(where, name))
        except RuntimeError:
            found.append(None)
    return found


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("", "", None),
        ("cuda.matmul", "allow_tf32", True),
        ("", "fp32_precision", "tf32"),
    ],
)
def test_a_gpu_rounds_as_before_after_full_precision(where, name, value):
    if name == "fp32_precision" and not of_torch_2_9():
        pytest.skip("not in this torch")
    set_it = f"torch.backends{'.' * bool(where)}{where}.{name} = {value!r}"
    code = f"""
import torch
from skjointprune._context import full_precision
from test_context import rounding
{set_it if name else ""}
before = rounding()
with full_precision(torch.device("cpu")):
    assert rounding() == before
with full_precision(torch.device("cuda")):
    assert "tf32" not in rounding()[2:5], rounding()
assert rounding() == before, (before, rounding())
"""
    path = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": path}
    )
