import math

import pytest
import torch
from _networks import Net, assert_cuts_are_exact
from torch import nn

from skjointprune._graph.compact import compact_
from skjointprune._graph.groups import find_groups


def net(forward, **numbers):
    """A function of layers a, b and c, of rows of 12 numbers, and of attributes."""
    layers = {"a": nn.Linear(12, 8), "b": nn.Linear(8, 8), "c": nn.Linear(8, 2)}
    made = Net(forward, scale=nn.Parameter(torch.randn(8)), **layers)
    for name, number in ({"n": 12, "_width": 8, "part": 3} | numbers).items():
        setattr(made, name, number)
    return made


def rest(m, x):
    return m.c(m.b(m.a(x).relu()).relu())


def of_an_attribute(m, x):
    assert x.shape[1] == m.n
    return rest(m, x)


def of_an_error(m, x):
    if m.n == 0 or x.size(-1) != m.n:
        raise ValueError(f"{m.n} columns are expected")
    return rest(m, x)


def of_an_assertion_of_torch(m, x):
    torch._assert(x.shape[1] == m.n, f"{m.n} columns are expected")
    return rest(m, x)


def of_a_layer(m, x):
    assert x.shape[-1] == m.a.in_features
    x = m.a(x)
    assert x.shape[-1] == m.a.out_features
    return m.c(m.b(x))


def of_a_shape(m, x):
    assert x.shape[1:] == (m.n,)
    return rest(m, x)


def of_two_questions(m, x):
    assert (x.ndim == 2) & (x.shape[1] == m.n)
    return rest(m, x)


def of_units(m, x):
    x = m.a(x).relu()
    assert x.shape[1] == m._width
    return m.c(m.b(x))


def of_a_residual(m, x):
    x = m.a(x)
    y = m.b(x)
    return m.c(x + y if x.shape == y.shape else y)


def of_a_weight(m, x):
    x = m.a(x)
    if x.shape[-1:] != m.scale.shape:
        raise ValueError("wrong width")
    return m.c(m.b(x * m.scale))


def of_a_remainder(m, x):
    x = m.a(x)
    if x.shape[1] % 2:
        raise ValueError("no two halves")
    value, gate = x.chunk(2, 1)
    x = torch.cat([value * gate.sigmoid(), value], 1)
    assert x.shape[1] % 2 == 0
    return m.c(m.b(x))


def of_halves(m, x):
    x = m.a(x)
    x = torch.cat([x, -x], 1)
    return m.c(m.b(x[:, : m._width] * x[:, m._width :].sigmoid()))


def of_parts(m, x):
    x = m.a(x)
    first, others = x[:, : m.part], x[..., m.part :]
    return m.c(m.b(torch.cat([first.relu(), others], 1)))


def of_a_slice_from(m, x):
    x = torch.cat([x, x], 1)
    return rest(m, x[:, m.n :])


@pytest.mark.parametrize(
    "forward",
    [
        of_halves,
        of_parts,
        of_a_slice_from,
        of_an_attribute,
        of_an_error,
        of_an_assertion_of_torch,
        of_a_layer,
        of_a_shape,
        of_two_questions,
        of_units,
        of_a_residual,
        of_a_weight,
        of_a_remainder,
    ],
)
def test_decisions_that_stay_keep_nothing_whole(forward):
    network = find_groups(net(forward), (12,))
    assert network.kept_whole == {}
    assert_cuts_are_exact(lambda: net(forward), (12,))


def test_attributes_compared_with_sizes_count_what_is_left():
    network = find_groups(net(of_an_attribute), (12,))
    compact_(network, {"inputs": torch.arange(12) < 5})
    assert (network.module.n, network.module._width) == (5, 8)
    assert type(network.module.n) is int


def test_tracing_leaves_attributes_as_they_were():
    made = net(of_units, n=3)
    before = {k: v for k, v in vars(made).items() if isinstance(v, int)}
    find_groups(made, (12,))
    after = {k: v for k, v in vars(made).items() if isinstance(v, int)}
    assert after == before
    assert {*map(type, after.values())} <= {int, bool}


def of_a_scale(m, x):
    assert x.shape[1] == m.n
    return rest(m, x * m.n**-0.5)


def of_a_scale_of_torch(m, x):
    assert x.shape[1] == m.n
    return rest(m, x * m.n)


def of_a_loop(m, x):
    assert x.shape[1] == m.n
    for _ in range(m.n):
        x = x * 1.1
    return rest(m, x)


def of_a_slice(m, x):
    assert x.shape[1] == m.n
    return rest(m, x) + x[:, : m.n].mean()


def of_another_attribute(m, x):
    assert x.shape[1] == m.n
    return rest(m, x) if m.n == 6 else rest(m, 2 * x)


def of_a_number_written_down(m, x):
    assert x.shape[1] == 12
    return rest(m, x)


def of_an_order(m, x):
    assert x.shape[1] >= m.n
    return rest(m, x)


def of_an_odd_remainder(m, x):
    return rest(m, x if x.shape[1] % 3 == 0 else 2 * x)


@pytest.mark.parametrize(
    "forward",
    [
        of_a_scale,
        of_a_scale_of_torch,
        of_a_loop,
        of_a_slice,
        of_another_attribute,
        of_a_number_written_down,
        of_an_order,
        of_an_odd_remainder,
    ],
)
def test_decisions_that_may_change_keep_whole_what_they_count(forward):
    network = find_groups(net(forward), (12,))
    assert list(network.kept_whole) == ["inputs"]
    assert_cuts_are_exact(lambda: net(forward), (12,))  # of the units


class Attention(nn.Module):
    """Attention over rows of 3 x 12 numbers, whose code divides by its heads."""

    def __init__(self, forward):
        super().__init__()
        self.n_heads, self.run = 4, forward
        self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))
        self.out = nn.Linear(12, 2)

    def heads(self, x):
        n, t, d = x.shape
        x = x.reshape(n, t, self.n_heads, d // self.n_heads).transpose(1, 2)
        return x.reshape(n * self.n_heads, t, d // self.n_heads)

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        scale = self.run(self, q)
        weights = self.heads(q) @ self.heads(k).transpose(1, 2) / scale
        x = weights.softmax(-1) @ self.heads(v)
        x = x.reshape(len(q), self.n_heads, q.shape[1], -1).transpose(1, 2)
        return self.out(x.reshape(len(q), q.shape[1], -1)[:, 0])


def root_of_the_quotient(m, x):
    return math.sqrt(x.shape[-1] // m.n_heads)


def power_of_the_quotient(m, x):
    return (x.size(2) / m.n_heads) ** 0.5


@pytest.mark.parametrize("scale", [root_of_the_quotient, power_of_the_quotient])
def test_heads_go_where_the_code_divides_by_their_number(scale):
    network = find_groups(Attention(scale), (3, 12))
    (heads,) = (c for c in network.hidden if c.name == "q")
    assert (heads.size, heads.pinned) == (4, None)
    compact_(network, {"q": torch.arange(4) < 3})
    assert network.module.n_heads == 3
    assert_cuts_are_exact(lambda: Attention(scale), (3, 12))


def root_of_the_number_of_heads(m, x):
    return math.sqrt(x.shape[-1] // m.n_heads) + m.n_heads


def root_of_all(m, x):
    return math.sqrt(x.shape[-1] // m.n_heads) + math.sqrt(x.shape[-1])


@pytest.mark.parametrize("scale", [root_of_the_number_of_heads, root_of_all])
def test_heads_stay_where_their_number_counts_otherwise(scale):
    network = find_groups(Attention(scale), (3, 12))
    assert "q" in network.kept_whole
    assert_cuts_are_exact(lambda: Attention(scale), (3, 12))
