import pytest
import torch
from _cases import (
    A8,
    check,
    row,
    sequence,
    whole,
)

# What is pruned, and how many groups there are.
PRUNED = {
    "matmul": (
        sequence(lambda m, x: (x @ x.mT).mean(1), 5),
        A8,
    ),
}

# What is kept whole, and why.
KEPT = {
    "product that is scaled by their number": (
        sequence(
            lambda m, x: torch.baddbmm(
                x.new_zeros(1), x, x.mT, beta=0, alpha=1 / x.size(-1)
            ).mean(1),
            5,
        ),
        whole("their number is part of what 'baddbmm' computes"),
    ),
    "einsum": (
        row(lambda m, x: torch.einsum("bi,bj->bij", x, x).flatten(1), 64),
        whole("all of them meet others at 'einsum'"),
    ),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])
