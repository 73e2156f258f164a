import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skjointprune._probes import listening


@pytest.mark.parametrize(
    ("read", "n_times"),
    [
        (lambda x, w: x @ w, 1),
        (lambda x, w: x.matmul(w) + torch.matmul(x, w), 2),
        (lambda x, w: F.linear(x, 2 * w.t()), 0),  # not the weight itself
        (lambda x, w: torch.einsum("ni,io->no", x, w), 0),
    ],
)
def test_what_is_multiplied_by_a_weight_is_heard(read, n_times):
    weight, other = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3, 2))
    x = torch.rand(4, 3)
    with listening([weight, other]) as heard:
        read(x, weight)
    assert heard[id(other)] == []
    assert len(heard[id(weight)]) == n_times
    assert all(given is x for given in heard[id(weight)])
