import pytest
import torch
from _cases import (
    A8,
    CONSTANT,
    I8,
    ROW,
    SEQUENCE,
    check,
    image,
    linear,
    no_rule,
    parameter,
    row,
    row_through,
    sequence,
    whole,
)
from _networks import Net, assert_cuts_are_exact, compact, cut, random_masks
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from skjointprune._graph.costs import macs_of_weights, saved_by_a_unit
from skjointprune._graph.groups import find_groups


class Own(nn.Module):
    """A network of parameters and functions alone."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Parameter(torch.randn(5, 3, 3, 3))
        self.mix = nn.Parameter(torch.randn(5, 7))
        self.head = nn.Parameter(torch.randn(2, 7))

    def forward(self, x):
        x = F.conv2d(x, self.maps, stride=2).relu()
        x = (x.flatten(2).mT @ self.mix).relu()
        return F.linear(x.mean(1), weight=self.head)


TURNED = {
    "t": lambda W: W.t(),
    "T": lambda W: W.T,
    "mT": lambda W: W.mT,
    "transpose": lambda W: W.transpose(-1, 0),
    "swapdims": lambda W: torch.swapdims(W, 0, 1),
}


class Turned(nn.Module):
    """Weights as a linear layer has them, and that of a layer the other way round."""

    def __init__(self, turn):
        super().__init__()
        self.turn = turn
        self.down = nn.Parameter(torch.randn(6, 4))
        self.back = nn.Linear(5, 6, bias=False)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        h = (x @ self.turn(self.down)).relu()
        return self.head(F.linear(h, self.turn(self.back.weight)).relu())


class Framed(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="reflect"))


def flops(module, shape):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


def test_work_is_counted_as_it_is_done():
    network = find_groups(Own(), (3, 9, 9))
    assert {c.name: c.size for c in network.channels} == {
        "inputs": 3,
        "maps": 5,
        "mix": 7,
    }
    assert macs_of_weights(network) == flops(network.module, (3, 9, 9))
    maps, mix = network.hidden
    assert saved_by_a_unit(network, maps, "macs") == 16 * (27 + 7)
    assert saved_by_a_unit(network, mix, "params") == 5 + 2
    small = compact(network, random_masks(network))
    assert macs_of_weights(small) == flops(small.module, small.input_shape)


@pytest.mark.parametrize("left", ["buffer", "constant"])
def test_what_is_the_same_for_all_rows_may_have_channels(left):
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 5)
            self.b = nn.Linear(5, 2)
            self.w = nn.Parameter(torch.randn(4, 5))
            self.register_buffer("places", torch.eye(4))

        def forward(self, x):
            places = self.places if left == "buffer" else torch.eye(4)
            return self.b((self.a(x)[:, None] + places.to(x) @ self.w).relu().mean(1))

    assert find_groups(Positions(), (3,)).kept_whole == {}
    assert_cuts_are_exact(Positions, (3,))


def test_a_layer_whose_forward_is_called_by_another_says_its_new_size():
    layers = {"a": Framed(3, 6, 3), "b": nn.Linear(6, 2)}
    network = find_groups(
        Net(lambda m, x: m.b(m.a(x).mean((2, 3))), **layers), (3, 5, 5)
    )
    keep = {"a": torch.arange(6) < 4, "inputs": torch.arange(3) > 0}
    small = compact(network, keep).module
    assert (small.a.in_channels, small.a.out_channels) == (2, 4)
    assert small.a.weight.shape == (4, 2, 3, 3)


@pytest.mark.parametrize("turn", TURNED)
def test_a_weight_may_be_turned_before_it_multiplies(turn):
    network = find_groups(Turned(TURNED[turn]), (4,))
    assert {c.name: c.size for c in network.channels} == {
        "inputs": 4,
        "down": 6,
        "back": 5,
    }
    assert not network.kept_whole
    assert macs_of_weights(network) == flops(network.module, (4,))
    keep = random_masks(network)
    small, error = cut(network, keep)
    assert error < 1e-5
    sizes = [int(keep[name].sum()) for name in ("back", "down")]
    layer = small.module.back
    assert [layer.in_features, layer.out_features] == sizes
    assert list(layer.weight.shape) == sizes[::-1]


def test_a_weight_may_be_used_both_ways():
    """It reads channels that it makes elsewhere."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 7), nn.Linear(7, 5)
            self.head = nn.Linear(7, 2)

        def forward(self, x):
            x = self.b(self.a(x).relu()).relu()
            return self.head(torch.mm(x, self.b.weight).relu())

    network = find_groups(Tied(), (4,))
    assert {c.name: c.size for c in network.channels} == {"inputs": 4, "a": 7, "b": 5}
    assert not network.kept_whole
    a, b = network.hidden
    assert saved_by_a_unit(network, a, "params") == 4 + 1 + 5 + 2
    assert saved_by_a_unit(network, b, "params") == 7 + 1
    assert cut(network, random_masks(network))[1] < 1e-5


def test_a_parameter_without_a_rule_is_named():
    class Computed(nn.Module):
        def __init__(self):
            super().__init__()
            self.W, self.last = nn.Parameter(torch.randn(5, 3)), nn.Linear(5, 2)

        def forward(self, x):
            return self.last(torch.cdist(x, self.W).relu())

    network = find_groups(Computed(), (3,))
    assert network.kept_whole["W"] == "'W' is used by itself"


def test_a_turned_weight_may_be_used_otherwise():
    class Gram(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.randn(5, 3))
            self.b = nn.Linear(5, 2)

        def forward(self, x):
            return self.b((x @ self.a.t()).relu()) + (self.a.t() @ self.a).sum()

    assert_cuts_are_exact(Gram, (3,))


class Doubled(nn.Linear):
    """Has a forward of its own."""

    def forward(self, x):
        return F.linear(x, 2 * self.weight, self.bias)


class WithMask(nn.Module):
    """Holds what some weights are multiplied by."""

    def __init__(self, *shape):
        super().__init__()
        mask = torch.arange(shape[0] * shape[1]).view(shape) % 3 > 0
        self.register_buffer("mask", mask.float())


ADDS = "zeroed, they still add to what is computed of 'p'"

# What is pruned, and how many groups there are.
PRUNED = {
    "linear by the weight of a layer, sigmoid": (
        row(lambda m, x: F.linear(m.l(x).sigmoid(), m.l.weight), l=linear(8, 8)),
        {"inputs": 6, "a": 8},
    ),
    "tensordot": (
        row(lambda m, x: torch.tensordot(x, m.p, dims=1), 7, p=parameter(8, 7)),
        A8 | {"p": 7},
    ),
    "tensordot over a dimension that is told": (
        sequence(
            lambda m, x: torch.tensordot(x, m.p, dims=([-1], [1])).mean(1),
            7,
            p=parameter(7, 8),
        ),
        A8 | {"p": 7},
    ),
    "mixture by bmm": (
        row(
            lambda m, x: torch.bmm(
                m.c(x).softmax(1)[:, None], torch.stack([m.d(x), m.e(x)], 1)
            )[:, 0],
            5,
            c=lambda: nn.Linear(8, 2),
            d=lambda: nn.Linear(8, 5),
            e=lambda: nn.Linear(8, 5),
        ),
        A8 | {"c": "they meet others that stay at 'bmm'", "d": 5},
    ),
    "queries that are learnt": (
        (
            SEQUENCE,
            lambda m, x: m.b(
                torch.einsum(
                    "bqn,bnd->bqd",
                    torch.einsum("qd,bnd->bqn", m.p, m.a(x)).softmax(-1),
                    m.a(x),
                ).flatten(1)
            ),
            {
                "a": lambda: nn.Linear(6, 8),
                "p": parameter(3, 8),
                "b": lambda: nn.Linear(24, 2),
            },
        ),
        A8 | {"p": "all of them meet others at 'einsum_1'"},
    ),
    "state of several numbers for each unit": (
        sequence(
            lambda m, x: (
                x.new_zeros(len(x), x.shape[2], m.p.shape[1])
                + torch.einsum("bld,dn->bdn", x, m.p.exp())
            ).sum(2),
            p=parameter(8, 3),
        ),
        A8,
    ),
    "a threshold that is learnt": (
        row(lambda m, x: (x - m.p).relu(), p=lambda: nn.Parameter(torch.tensor(0.02))),
        A8,
    ),
    "linear": (row(lambda m, x: F.linear(x, m.p), p=parameter(8, 8)), A8 | {"p": 8}),
    "linear with bias": (
        row(
            lambda m, x: F.linear(x, weight=m.p, bias=m.q).relu(),
            7,
            p=parameter(7, 8),
            q=parameter(7),
        ),
        A8 | {"p": 7},
    ),
    "linear with a bias of parts": (
        row(
            lambda m, x: F.linear(x, m.p, torch.cat([m.q, m.r])).relu(),
            7,
            p=parameter(7, 8),
            q=parameter(3),
            r=parameter(4),
        ),
        A8 | {"q": 3, "r": 4},
    ),
    "conv2d with a bias that is computed": (
        image(
            lambda m, x: F.conv2d(x, m.p, 2 * m.q),
            7,
            p=parameter(7, 8, 1, 1),
            q=parameter(7),
        ),
        I8 | {"q": 7},
    ),
    "einsum of a weight": (
        row(lambda m, x: torch.einsum("ni,oi->no", x, m.p), 7, p=parameter(7, 8)),
        A8 | {"p": 7},
    ),
    "einsum with dots": (
        sequence(
            lambda m, x: torch.einsum("...i,io", x, m.p).mean(1), 7, p=parameter(8, 7)
        ),
        A8 | {"p": 7},
    ),
    "units of experts": (
        row(
            lambda m, x: torch.einsum("bi,eij->bej", x, m.p).relu().mean(1),
            7,
            p=parameter(3, 8, 7),
        ),
        A8 | {"p": 7},
    ),
    "experts one after another": (
        row(
            lambda m, x: torch.einsum(
                "bej,ejo->bo", torch.einsum("bi,eij->bej", x, m.p).relu(), m.q
            ),
            5,
            p=parameter(3, 8, 7),
            q=parameter(3, 7, 5),
        ),
        A8 | {"p": 7, "q": 5},
    ),
    "networks side by side": (
        row(
            lambda m, x: torch.bmm(x.expand(3, -1, -1), m.p).relu().mean(0),
            7,
            p=parameter(3, 8, 7),
        ),
        A8 | {"p": 7},
    ),
    "polynomials": (
        row(
            lambda m, x: torch.einsum("bid,iod->bo", torch.stack([x, x**2], -1), m.p),
            7,
            p=parameter(8, 7, 2),
        ),
        A8 | {"p": 7},
    ),
    "a weight of two": (
        row(
            lambda m, x: F.linear(x, m.p * m.q[:, None], m.r),
            7,
            p=parameter(7, 8),
            q=parameter(7),
            r=parameter(7),
        ),
        A8 | {"q": 7},
    ),
    "rows of a length": (
        row(lambda m, x: F.linear(x, F.normalize(m.p)), 7, p=parameter(7, 8)),
        A8 | {"p": 7},
    ),
    "a weight with a mask": (
        row(
            lambda m, x: F.linear(x, m.p * m.l.mask),
            7,
            p=parameter(7, 8),
            l=lambda: WithMask(7, 8),
        ),
        A8 | {"p": 7},
    ),
    "a weight in another shape": (
        row(
            lambda m, x: F.linear(
                x[..., None].expand(-1, -1, 2).reshape(len(x), -1), m.p.view(7, -1)
            ),
            7,
            p=parameter(7, 8, 2),
        ),
        A8 | {"p": 7},
    ),
    "a kernel times a number": (
        image(
            lambda m, x: F.conv2d(x, 0.3 * m.p, m.q, padding=1),
            7,
            p=parameter(7, 8, 3, 3),
            q=parameter(7),
        ),
        I8 | {"p": 7},
    ),
    "numbers that each unit meets": (
        row(lambda m, x: (x[..., None] * m.p).flatten(1), 16, p=parameter(2)),
        A8,
    ),
    "embedding by a function": (
        row(
            lambda m, x: x + F.embedding(torch.zeros(len(x)).long(), m.p),
            p=parameter(3, 8),
        ),
        A8,
    ),
    "linear of positions": (
        sequence(lambda m, x: F.linear(x, m.p).relu().mean(1), 7, p=parameter(7, 8)),
        A8 | {"p": 7},
    ),
    "addmm": (
        row(
            lambda m, x: torch.addmm(m.q, x, m.p).relu(),
            7,
            p=parameter(8, 7),
            q=parameter(7),
        ),
        A8 | {"p": 7},
    ),
    "matmul by a parameter": (
        row(lambda m, x: (x @ m.p + m.q).relu(), 7, p=parameter(8, 7), q=parameter(7)),
        A8 | {"p": 7},
    ),
    "matmul by a parameter, method": (
        row(lambda m, x: x.matmul(m.p), 7, p=parameter(8, 7)),
        A8 | {"p": 7},
    ),
    "parameters in a list": (
        row(
            lambda m, x: (x @ m.l[0]).relu() @ m.l[1],
            l=lambda: nn.ParameterList([torch.ones(8, 7), torch.ones(7, 8)]),
        ),
        A8 | {"l": 7, "l#2": 8},
    ),
    "conv2d by a parameter": (
        image(lambda m, x: F.conv2d(x, m.p, None, 1, 1), 7, p=parameter(7, 8, 3, 3)),
        I8 | {"p": 7},
    ),
    "conv1d by a parameter": (
        sequence(
            lambda m, x: F.conv1d(x.mT, m.p, padding=1).mean(2), 7, p=parameter(7, 8, 3)
        ),
        A8 | {"p": 7},
    ),
    "weight read by a layer and by a function": (
        row(lambda m, x: F.linear(m.l(x).relu(), m.l.weight), l=linear(8, 8)),
        A8,
    ),
    "scale": (row(lambda m, x: x * m.p, p=parameter(8)), A8),
    "scale of maps": (image(lambda m, x: x * m.p[:, None, None], p=parameter(8)), I8),
    "scale by one number": (row(lambda m, x: x * m.p, p=parameter(1)), A8),
    "shift": (row(lambda m, x: x + m.p, p=parameter(8)), A8),
    "bias used again": (row(lambda m, x: x * m.a.bias), A8),
    "class token": (
        sequence(
            lambda m, x: torch.cat([m.p.expand(x.size(0), -1, -1), x], 1).mean(1),
            p=parameter(1, 1, 8),
        ),
        A8,
    ),
    "parameter of many positions": (
        sequence(lambda m, x: (x + m.p).mean(1), p=parameter(1, 5, 8)),
        A8,
    ),
    "parameter of many positions, first": (
        sequence(lambda m, x: (m.p + x).mean(1), p=parameter(5, 8)),
        A8,
    ),
    "parameter of channels and positions": (
        image(lambda m, x: x * m.p, p=parameter(8, 6, 1)),
        I8,
    ),
    "matmul from the left": (
        sequence(lambda m, x: (m.p @ x).mean(1), p=parameter(3, 5)),
        A8,
    ),
    "weight used by itself": (
        row(lambda m, x: F.linear(x, 2 * m.a.weight.t()), 6),
        A8,
    ),
    "parameter in parts": (
        row(
            lambda m, x: x * (parts := m.p.chunk(2, 0))[0][0] + parts[1][0],
            p=parameter(2, 8),
        ),
        A8,
    ),
    "parameter of many positions, changed before": (
        sequence(lambda m, x: (m.p.relu() + x).mean(1), p=parameter(5, 8)),
        A8,
    ),
    "weight that is changed before": (
        row_through(lambda: Doubled(8, 8)),
        A8 | {"l": 8},
    ),
}

# What is kept whole, and why.
KEPT = {
    "a weight whose rows are added up elsewhere": (
        row(
            lambda m, x: m.l(x) + torch.einsum("ni,oi->n", x, m.l.weight)[:, None],
            7,
            l=linear(8, 7),
        ),
        A8 | {"l": "'einsum' uses them by their number"},
    ),
    "inputs that a buffer multiplies": (
        (
            ROW,
            lambda m, x: m.b((x @ m.l.mask).sin()),
            {"l": lambda: WithMask(6, 7), "b": linear(7, 2)},
        ),
        {"inputs": ADDS.replace("'p'", "'l.mask'")},
    ),
    "linear with a bias of the code": (
        row(lambda m, x: F.linear(x, m.p, torch.arange(7).to(x)), 7, p=parameter(7, 8)),
        A8 | {"p": "'linear' has a number for each, which does not go"},
    ),
    "rows that a weight is positive in": (
        row(lambda m, x: F.linear(x, m.p.exp()).relu(), 7, p=parameter(7, 8)),
        A8 | {"p": ADDS},
    ),
    "columns that add up to one": (
        row(lambda m, x: F.linear(x, m.p.softmax(1)), 7, p=parameter(7, 8)),
        A8 | {"p": ADDS},
    ),
    "linear, sigmoid": (
        row(lambda m, x: F.linear(x.sigmoid(), m.p), p=parameter(8, 8)),
        whole(CONSTANT.format("p"), p=8),
    ),
    "conv2d in groups": (
        image(lambda m, x: F.conv2d(x, m.p, groups=4), p=parameter(8, 2, 1, 1)),
        no_rule(what := "conv2d at 'conv2d'", 4, p=f"there is no rule for {what}"),
    ),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])
