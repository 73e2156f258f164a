import pytest
import torch
from _cases import (
    A8,
    ADDS,
    I3,
    I8,
    IMAGE,
    ROW,
    TOGETHER,
    check,
    conv,
    flat,
    image,
    linear,
    no_rule,
    parameter,
    row,
    sequence,
    two,
    whole,
)
from torch.nn import functional as F


def mean_and_largest(x):
    return torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)


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
    "cosine_similarity": (
        row(
            lambda m, x: F.cosine_similarity(x[:, None], m.p, -1), 3, p=parameter(3, 8)
        ),
        A8,
    ),
    "logsumexp": (flat(lambda m, x: x.logsumexp((2, 3)), 3), I3),
    "prod": (sequence(lambda m, x: x.prod(1)), A8),
    "median": (sequence(lambda m, x: x.median(1).values), A8),
    "cumsum": (sequence(lambda m, x: x.cumsum(1).mean(1)), A8),
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
    "max over positions": (sequence(lambda m, x: torch.max(x, 1)[0]), A8),
    "max over positions, values": (sequence(lambda m, x: x.max(dim=1).values), A8),
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
}

# What is kept whole, and why.
KEPT = {
    "largest of all": (row(lambda m, x: x * x.max()), whole(TOGETHER)),
    "largest of channels": (row(lambda m, x: x * x.amax(1, True)), whole(ADDS)),
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
    "norm of all": (row(lambda m, x: x / (1 + x.norm())), whole(TOGETHER)),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])
