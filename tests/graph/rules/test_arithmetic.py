import math

import pytest
import torch
from _cases import (
    A8,
    HALF,
    I3,
    I8,
    IMAGE,
    ROW,
    TOGETHER,
    check,
    conv,
    flat,
    image,
    image_through,
    linear,
    no_rule,
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

ADDS = "zeroed, they still add to a sum of products, a mean or a maximum"


def excited(m, x):
    s = m.up(torch.relu(m.down(x.mean((2, 3))))).sigmoid()
    return x * s.view(x.size(0), x.size(1), 1, 1)


def mean_and_largest(x):
    return torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)


class Kernel(nn.Module):
    """Holds a kernel, which is not trained."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", torch.rand(1, 1, 3, 3))


class ActingNorm(nn.GroupNorm):
    """Normalises by a function, and has an activation, as layers of timm do."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.act = nn.ReLU()

    def forward(self, x):
        x = F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        return self.act(x)


def gated(m, x):
    """Choose units by a softmax, as GANDALF does (Joseph and Raj, arXiv 2207.08548)."""
    gates = m.gates(torch.cat([m.p.softmax(-1) * x, x], -1)).sigmoid()
    z, r = gates[:, : m.n], gates[:, m.n :]
    return m.b((1 - z) * x + z * m.states(torch.cat([r * x, x], -1)).tanh())


def gated_units(n):
    """Return layers of gated units, of which each is one of those before."""
    return {
        "p": parameter(n),
        "n": lambda: n,
        "gates": linear(2 * n, 2 * n),
        "states": linear(2 * n, n),
        "b": linear(n, 2),
    }


# What is pruned, and how many groups there are.
PRUNED = {
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
    "mean, axis": (flat(lambda m, x: x.mean(axis=(2, 3)), 3), I3),
    "mean of channels": (flat(lambda m, x: x.mean(1).flatten(1), 16), I3),
    "mean of channels and positions": (
        (
            IMAGE,
            lambda m, x: m.b(torch.mean(m.a(x), dim=(1, -1))),
            {"a": conv(4, 8, 1), "b": linear(6, 2)},
        ),
        I8,
    ),
    "gated units of columns": ((ROW, gated, gated_units(6)), {"inputs": 6}),
    "gated units": (
        (ROW, lambda m, x: gated(m, m.a(x)), {"a": linear(6, 8), **gated_units(8)}),
        A8,
    ),
    "mean of squares": (
        row(lambda m, x: x * (x.square().mean(-1, keepdim=True) + 1).rsqrt()),
        A8,
    ),
    "what is above the mean": (
        row(lambda m, x: (x - x.mean(1, keepdim=True)) * m.p, p=parameter(8)),
        A8,
    ),
    "sum of channels": (row(lambda m, x: x / (1 + x.abs().sum(1, keepdim=True))), A8),
    "sum over sizes": (
        flat(lambda m, x: x.sum((2, 3)) / (x.size(2) * x.size(3)), 3),
        I3,
    ),
    "std": (flat(lambda m, x: x.std((2, 3)), 3), I3),
    "norm": (flat(lambda m, x: x.norm(2, (2, 3)), 3), I3),
    "vector_norm": (flat(lambda m, x: torch.linalg.vector_norm(x, 1, (2, 3)), 3), I3),
    "norm of channels": (row(lambda m, x: x / x.norm(dim=1, keepdim=True)), A8),
    "var_mean": (
        flat(lambda m, x: torch.cat(torch.var_mean(x, (2, 3)), 1), 6),
        I3,
    ),
    "std_mean, kept dimensions": (
        flat(lambda m, x: torch.std_mean(x, (2, 3), keepdim=True)[0].flatten(1), 3),
        I3,
    ),
    "sort of positions": (sequence(lambda m, x: x.sort(1)[0][:, 0]), A8),
    "topk of positions": (sequence(lambda m, x: x.topk(2, 1)[0].mean(1)), A8),
    "logcumsumexp": (sequence(lambda m, x: x.logcumsumexp(1)[:, -1]), A8),
    "rfft of positions": (
        sequence(lambda m, x: torch.fft.rfft(x, dim=1).real.mean(1)),
        A8,
    ),
    "filter of maps": (
        image(lambda m, x: torch.fft.irfft2(torch.fft.rfft2(x) * 0.5j, s=(6, 6))),
        I8,
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
    "grid_sample": (
        image(
            lambda m, x: F.grid_sample(
                x, torch.zeros(len(x), 5, 5, 2).to(x), align_corners=False
            )
        ),
        I8,
    ),
    "cosine_similarity": (
        row(
            lambda m, x: F.cosine_similarity(x[:, None], m.p, -1), 3, p=parameter(3, 8)
        ),
        A8,
    ),
    "spatial attention": (
        image(lambda m, x: x * m.l(x).sigmoid(), l=conv(8, 1, 3, padding=1)),
        I8 | {"l": "it is one for all at 'mul'"},
    ),
    "attention of one unit": (
        sequence(lambda m, x: (m.l(x).softmax(1) * x).sum(1), l=linear(8, 1)),
        A8 | {"l": "it is one for all at 'mul'"},
    ),
    "logsumexp": (flat(lambda m, x: x.logsumexp((2, 3)), 3), I3),
    "prod": (sequence(lambda m, x: x.prod(1)), A8),
    "median": (sequence(lambda m, x: x.median(1).values), A8),
    "cumsum": (sequence(lambda m, x: x.cumsum(1).mean(1)), A8),
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
    "normalize": (row(lambda m, x: F.normalize(x, dim=1)), A8),
    "normalize of inputs": (
        (
            ROW,
            lambda m, x: m.b(m.a(F.normalize(x, p=1)).relu()),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        {"inputs": ADDS, "a": 8},
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
    "largest of channels, none below zero": (
        row(lambda m, x: x.relu() / (1 + x.relu().amax(1, keepdim=True))),
        A8,
    ),
    "mean and largest of channels": (
        image(
            lambda m, x: (x := x.relu()) * m.l(mean_and_largest(x)).sigmoid(),
            l=conv(2, 1, 3, padding=1),
        ),
        I8 | {"l": "it is one for all at 'mul'"},
    ),
    "convolution of each channel": (
        image(
            lambda m, x: F.conv2d(x, m.p, m.q, 1, 1, 1, x.shape[1]),
            p=parameter(8, 1, 3, 3),
            q=parameter(8),
        ),
        I8,
    ),
    "blur of each channel": (
        image(
            lambda m, x: F.conv2d(
                x, m.p.kernel.repeat(x.size(1), 1, 1, 1), stride=2, groups=x.size(1)
            ),
            p=Kernel,
        ),
        I8,
    ),
    "max over positions": (sequence(lambda m, x: torch.max(x, 1)[0]), A8),
    "max over positions, values": (sequence(lambda m, x: x.max(dim=1).values), A8),
    "batch_norm": (
        image(
            lambda m, x: F.batch_norm(x, m.mean, m.var, m.p, bias=m.q).relu(),
            p=parameter(8),
            q=parameter(8),
            mean=lambda: nn.Buffer(torch.zeros(8)),
            var=lambda: nn.Buffer(torch.ones(8)),
        ),
        I8,
    ),
    "batch_norm, statistics alone": (
        image(
            lambda m, x: F.batch_norm(x, m.m, m.running_var),
            m=lambda: nn.Buffer(torch.zeros(8)),
            running_var=lambda: nn.Buffer(torch.ones(8)),
        ),
        I8,
    ),
    "instance_norm, no scale": (image(lambda m, x: F.instance_norm(x)), I8),
    "group_norm": (
        image(
            lambda m, x: F.group_norm(x, 4, m.p, m.q),
            p=parameter(8),
            q=parameter(8),
        ),
        HALF,
    ),
    "group_norm, no scale": (image(lambda m, x: F.group_norm(x, 4)), HALF),
    "group_norm of a subclass": (image_through(lambda: ActingNorm(4, 8)), HALF),
    "group_norm of one group, with a scale": (
        image(
            lambda m, x: F.group_norm(x, 1, m.p, m.q), p=parameter(8), q=parameter(8)
        ),
        I8,
    ),
    "layer_norm": (
        row(
            lambda m, x: F.layer_norm(x, (8,), m.p, m.q),
            p=parameter(8),
            q=parameter(8),
        ),
        A8,
    ),
    "layer_norm, named": (
        row(
            lambda m, x: F.layer_norm(
                input=x, weight=m.p, normalized_shape=x.shape[1:], eps=0.1
            ),
            p=parameter(8),
        ),
        A8,
    ),
    "layer_norm at each position": (
        sequence(
            lambda m, x: F.layer_norm(x, m.p.shape, m.p, eps=0.1).mean(1),
            p=parameter(8),
        ),
        A8,
    ),
    "layer_norm twice": (
        row(
            lambda m, x: F.layer_norm(F.layer_norm(x, (8,), m.p).relu(), (8,), m.q),
            p=parameter(8),
            q=parameter(8),
        ),
        A8,
    ),
    "layer_norm of channels and positions": (
        sequence(lambda m, x: F.layer_norm(x, (5, 8), m.p).mean(1), p=parameter(5, 8)),
        A8,
    ),
    "layer_norm, scaled later": (
        row(lambda m, x: F.layer_norm(x, (8,)) * m.p, p=parameter(8)),
        A8,
    ),
    "layer_norm of what is flattened": (
        flat(lambda m, x: F.layer_norm(x.flatten(1), (48,), m.p), 48, p=parameter(48)),
        I3,
    ),
    "layer_norm over positions": (
        image(lambda m, x: F.layer_norm(x, (6, 6))),
        I8,
    ),
    "rms_norm": (row(lambda m, x: F.rms_norm(x, (8,), m.p), p=parameter(8)), A8),
    "rms_norm, no scale": (row(lambda m, x: F.rms_norm(x, x.shape[-1:])), A8),
    "instance_norm": (
        image(
            lambda m, x: F.instance_norm(x, weight=m.p, bias=m.q),
            p=parameter(8),
            q=parameter(8),
        ),
        I8,
    ),
    "pooling by functions": (
        flat(lambda m, x: F.avg_pool2d(F.max_pool2d(x, 2), 2).flatten(1), 3),
        I3,
    ),
    "interpolate": (image(lambda m, x: F.interpolate(x, scale_factor=2)), I8),
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
    "softmax of gates": (two(lambda x, y: x.softmax(-1) * y), A8),
    "softmax of gates, in a type": (
        two(lambda x, y: F.softmax(x, 1, dtype=torch.float64).to(y.dtype) * y),
        A8,
    ),
    "softmax of a parameter": (
        row(lambda m, x: x * m.p.softmax(0), p=parameter(8)),
        A8,
    ),
    "softmax over positions": (sequence(lambda m, x: x.softmax(1).mean(1)), A8),
    "matmul": (
        sequence(lambda m, x: (x @ x.mT).mean(1), 5),
        A8,
    ),
}

# What is kept whole, and why.
KEPT = {
    "group_norm of one group": (
        image(lambda m, x: F.group_norm(x, 1)),
        whole(ADDS, 4),
    ),
    "group_norm of numbers of the code": (
        image(lambda m, x: F.group_norm(x, 4, torch.stack([m.p] * 8)), p=parameter()),
        whole("'group_norm' has a number for each, which does not go", 4),
    ),
    "largest of all": (row(lambda m, x: x * x.max()), whole(TOGETHER)),
    "largest of channels": (row(lambda m, x: x * x.amax(1, True)), whole(ADDS)),
    "convolution of each channel, of which there are written": (
        image(lambda m, x: F.conv2d(x, m.p, groups=8), p=parameter(8, 1, 3, 3)),
        no_rule(what := "conv2d at 'conv2d'", 4, p=f"there is no rule for {what}"),
    ),
    "times what is repeated as often as they are many": (
        row(lambda m, x: x * m.p.kernel.repeat(1, 1, x.size(1), 1).sum(), p=Kernel),
        whole("their number is a size at 'repeat'"),
    ),
    "product that is scaled by their number": (
        sequence(
            lambda m, x: torch.baddbmm(
                x.new_zeros(1), x, x.mT, beta=0, alpha=1 / x.size(-1)
            ).mean(1),
            5,
        ),
        whole("their number is part of what 'baddbmm' computes"),
    ),
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
    "mean of what zeros do not leave as zeros": (
        row(lambda m, x: x * x.sigmoid().mean(1, keepdim=True)),
        whole(ADDS),
    ),
    "means of different numbers of channels": (
        row(
            lambda m, x: x * x.mean(1, keepdim=True) * m.c(x).mean(1, keepdim=True),
            c=linear(8, 5),
        ),
        whole(
            "'mean' is one of several means in a layer",
            c="'mean_1' is one of several means in a layer",
        ),
    ),
    "mean of all": (row(lambda m, x: x * x.mean()), whole(TOGETHER)),
    "softmax": (row(lambda m, x: x.softmax(-1)), whole(ADDS)),
    "log_softmax": (
        row(lambda m, x: x.log_softmax(-1)),
        whole("'log_softmax' couples them"),
    ),
    "layer_norm, no scale": (
        row(lambda m, x: F.layer_norm(x, (8,))),
        whole(ADDS),
    ),
    "layer_norm with a scale of no parameter": (
        row(lambda m, x: F.layer_norm(x, (8,), m.p.exp()), p=parameter(8)),
        whole(ADDS),
    ),
    "layer_norm of what zeros do not leave as zeros": (
        row(lambda m, x: F.layer_norm(x.sigmoid(), (8,), m.p), p=parameter(8)),
        whole(ADDS),
    ),
    "layer_norm with numbers of the code": (
        row(
            lambda m, x: F.layer_norm(x, (8,), torch.stack([m.p] * 8), m.q),
            p=parameter(),
            q=parameter(8),
        ),
        whole("'layer_norm' has a number for each, which does not go"),
    ),
    "layer_norm as long as other channels": (
        two(lambda x, y: 2 * F.layer_norm(x, y.shape[1:])),
        whole(
            "their number is a size at 'layer_norm'",
            c="their number is a size at 'layer_norm'",
        ),
    ),
    "einsum": (
        row(lambda m, x: torch.einsum("bi,bj->bij", x, x).flatten(1), 64),
        whole("all of them meet others at 'einsum'"),
    ),
    "sort": (row(lambda m, x: x.sort(1)[0]), whole("'sort' couples them")),
    "topk": (
        row(lambda m, x: x.topk(3)[0], 3),
        whole(why := "'topk' couples them", **{"a#2": why}),
    ),
    "fft of channels": (
        row(lambda m, x: torch.fft.fft(x).abs()),
        no_rule("fft_fft at 'fft_fft'"),
    ),
    "smallest norm": (row(lambda m, x: x / x.norm(-1, 1, True)), whole(TOGETHER)),
    "one number without a rule": (
        row(lambda m, x: x / x.new_tensor(2.0)),
        no_rule("new_tensor at 'new_tensor'"),
    ),
    "norm of all": (row(lambda m, x: x / (1 + x.norm())), whole(TOGETHER)),
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
