import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from skjointprune._utils.torch import evaluating, kind_of_rows


def test_each_layer_gets_its_mode_back_even_after_an_error():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3).eval()))
    before = [layer.training for layer in module.modules()]
    with pytest.raises(KeyError), evaluating(module):
        assert not any(layer.training for layer in module.modules())
        raise KeyError
    assert [layer.training for layer in module.modules()] == before
    assert set(before) == {True, False}  # or nothing was to be given back


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_have_the_type_of_the_first_parameter_of_real_numbers(dtype):
    module = nn.Module()
    module.first = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    module.second = nn.Parameter(torch.ones(2, dtype=dtype))
    assert kind_of_rows(module)["dtype"] == dtype


def rounding_set():
    """What says how convolutions and products of matrices round on a GPU."""
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    return [part.fp32_precision for part in (cudnn.conv, cudnn.rnn, cublas)]


def rounding():
    """All that says how numbers round, None where it cannot be read beside others."""
    backends = torch.backends
    settings = [(backends.cudnn, "allow_tf32"), (backends.cuda.matmul, "allow_tf32")]
    settings += [(backends.mkldnn.matmul, "fp32_precision")]
    found = rounding_set()
    for where, name in settings:
        try:
            found.append(getattr(where, name))
        except RuntimeError:
            found.append(None)
    return found


EXACT = ["ieee"] * 3
SET_BEFORE = [
    "pass",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.fp32_precision = 'tf32'",
]


# Each setting in a process that has set nothing yet: forks of one that has imported.
CHECK_EACH = """
import os
import torch
from skjointprune._utils.torch import full_precision
from test_torch import EXACT, SET_BEFORE, rounding, rounding_set

for set_before in SET_BEFORE:
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, set_before
        continue
    exec(set_before)
    before = rounding()
    with full_precision(torch.device("cpu")):
        assert rounding() == before
    assert rounding_set() != EXACT
    with full_precision(torch.device("cuda")):
        assert rounding_set() == EXACT, rounding_set()
    assert rounding() == before, (before, rounding())
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_gpu_rounds_as_before_after_full_precision():
    path = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    env = os.environ | {"PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", CHECK_EACH], check=True, env=env)
