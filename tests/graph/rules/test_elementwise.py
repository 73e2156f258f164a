import math

import pytest
import torch
from _cases import (
    A8,
    HALF,
    I8,
    ROW,
    check,
    conv,
    image,
    linear,
    parameter,
    row,
    sequence,
    two,
    whole,
)
from _networks import Net, assert_cuts_are_exact
from torch import nn
from torch.nn import functional as F

from skjointprune._graph.groups import find_groups, let_inputs_go
from skjointprune._graph.network import IN_GROUPS


def excited(m, x):
    s = m.up(torch.relu(m.down(x.mean((2, 3))))).sigmoid()
    return x * s.view(x.size(0), x.size(1), 1, 1)


# What is pruned, and how many groups there are.
PRUNED = {
    "one number of the code": (row(lambda m, x: x / x.new_tensor(2.0)), A8),
    "add": (two(lambda x, y: x + y), A8),
    "add, named": (two(lambda x, y: torch.add(input=x, other=y)), A8),
    "add in place": (two(lambda x, y: x.add_(y).relu_()), A8),
    "mul": (two(lambda x, y: x * y), A8),
    "pow": (two(lambda x, y: x.abs() ** y), A8),
    "number to the power of it": (row(lambda m, x: 2**x), A8),
    "where": (two(lambda x, y: torch.where(x > y, x, y)), A8),
    "maximum": (two(torch.max), A8),
    "gate and what is left": (
        two(lambda x, y: x.sigmoid() * y + (1 - x.sigmoid())),
        A8,
    ),
    "added to the inputs": (
        (ROW, lambda m, x: m.b(x + m.a(x)), {"a": linear(6, 6), "b": linear(6, 2)}),
        {"inputs": 6},
    ),
    "complex": (two(lambda x, y: torch.complex(x, y).abs()), A8),
    "pairs turned as complex numbers": (
        row(
            lambda m, x: torch.view_as_real(
                torch.view_as_complex(x.view(len(x), -1, 2)) * (0.6 + 0.8j)
            ).flatten(1)
        ),
        {"inputs": 6, "a": 4},
    ),
    "spatial attention": (
        image(lambda m, x: x * m.l(x).sigmoid(), l=conv(8, 1, 3, padding=1)),
        I8 | {"l": "it is one for all at 'mul'"},
    ),
    "attention of one unit": (
        sequence(lambda m, x: (m.l(x).softmax(1) * x).sum(1), l=linear(8, 1)),
        A8 | {"l": "it is one for all at 'mul'"},
    ),
    "experts by units, weighed by gates that read them": (
        row(
            lambda m, x: (
                (stacked := torch.stack([x, m.c(x)], -1))
                * m.gate(stacked.flatten(1)).softmax(-1)[:, None]
            ).sum(-1),
            c=linear(8, 8),
            gate=linear(16, 2),
        ),
        A8 | {"gate": "each meets all channels of others at 'mul'"},
    ),
    "gates that are repeated for all units of experts": (
        row(
            lambda m, x: (
                (stacked := torch.stack([x, m.c(x)]))
                * m.gate(x).softmax(1).t()[..., None].expand(-1, -1, stacked.size(2))
            ).sum(0),
            c=linear(8, 8),
            gate=linear(8, 2),
        ),
        A8 | {"gate": "each is repeated for all channels at 'expand'"},
    ),
    "where a number is missing": (
        (
            ROW,
            lambda m, x: m.b(torch.where(~torch.isnan(x), x, 0)),
            {"b": linear(6, 2)},
        ),
        {"inputs": 6},
    ),
    "negative": (row(lambda m, x: torch.threshold(x, 0.1, 0).negative().atan()), A8),
    "squeeze and excitation": (
        image(excited, down=linear(8, 3), up=linear(3, 8)),
        I8 | {"down": 3},
    ),
    "type of a weight": (row(lambda m, x: x.to(m.b.weight.dtype)), A8),
    "stochastic depth": (
        image(
            lambda m, x: (
                x + m.c(x) * x.new_empty((x.shape[0],) + (1,) * 3).bernoulli_(1.0)
            ),
            c=conv(8, 8, 1),
        ),
        I8,
    ),
    "tensor of one number": (row(lambda m, x: m.p.exp() * x, p=parameter(1)), A8),
    "glu over maps": (image(lambda m, x: F.glu(x, 1), 4), HALF),
}

# What is kept whole, and why.
KEPT = {
    "divided by their number": (
        row(lambda m, x: x / x.size(1)),
        whole("their number is part of what 'truediv' computes"),
    ),
    "scaled by the root of their number": (
        row(lambda m, x: x * math.sqrt(x.shape[-1])),
        whole("their number is part of what 'mul' computes"),
    ),
    "division": (
        two(lambda x, y: x / y),
        whole("zeroed, they are still not constant"),
    ),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])


def embedded(m, x):
    x = x[:, :, None] * m.w + m.shift[None]
    weights = (m.q(x) @ m.k(x).mT).softmax(-1)
    return m.b((x + weights @ x).mean(1))


def test_embeddings_of_numbers_lose_width_where_columns_are_mixed():
    def make():
        layers = {name: nn.Linear(8, 5) for name in "qk"} | {"b": nn.Linear(8, 2)}
        tensors = {name: nn.Parameter(torch.randn(6, 8)) for name in ("w", "shift")}
        return Net(embedded, **layers, **tensors)

    network = find_groups(make(), (6,))
    assert network.kept_whole == {}
    assert network.inputs.pinned == IN_GROUPS
    assert {c.name: c.size for c in network.hidden}["w"] == 8
    assert_cuts_are_exact(make, (6,))


def test_embeddings_of_numbers_lose_width_where_inputs_go_by_their_places():
    layers = {name: nn.Linear(8, 5) for name in "qk"} | {"b": nn.Linear(8, 2)}
    tensors = {name: nn.Parameter(torch.randn(6, 8)) for name in ("w", "shift")}
    network = let_inputs_go(
        find_groups(Net(embedded, **layers, **tensors), (6,)), torch.randn(20, 6)
    )
    assert network.kept_whole == {}
    assert network.inputs.pinned is None
    assert {c.name: c.size for c in network.hidden}["w"] == 8


def test_a_parameter_does_not_spread_what_is_as_wide():
    def forward(m, x):
        x = x[:, :, None].expand(-1, -1, 8) * m.w
        return m.b((x @ x.mT).softmax(-1) @ m.q(x)).mean(1)

    def make():
        layers = {"q": nn.Linear(8, 8), "b": nn.Linear(8, 2)}
        return Net(forward, w=nn.Parameter(torch.randn(6, 8)), **layers)

    assert_cuts_are_exact(make, (6,))
