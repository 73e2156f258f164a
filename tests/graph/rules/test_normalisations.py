import pytest
import torch
from _cases import (
    A8,
    ADDS,
    HALF,
    I3,
    I8,
    ROW,
    check,
    flat,
    image,
    image_through,
    linear,
    parameter,
    row,
    sequence,
    two,
    whole,
)
from torch import nn
from torch.nn import functional as F


class ActingNorm(nn.GroupNorm):
    """Normalises by a function, and has an activation, as layers of timm do."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.act = nn.ReLU()

    def forward(self, x):
        x = F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        return self.act(x)


# What is pruned, and how many groups there are.
PRUNED = {
    "normalize": (row(lambda m, x: F.normalize(x, dim=1)), A8),
    "normalize of inputs": (
        (
            ROW,
            lambda m, x: m.b(m.a(F.normalize(x, p=1)).relu()),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        {"inputs": ADDS, "a": 8},
    ),
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
}

# What is kept whole, and why.
KEPT = {
    "group_norm, beside a layer of other groups": (
        image(
            lambda m, x: m.p(F.group_norm(x, 4)),
            p=lambda: nn.GroupNorm(2, 8),
        ),
        whole("their number, 4, is written at 'group_norm'", 4),
    ),
    "group_norm of one group": (
        image(lambda m, x: F.group_norm(x, 1)),
        whole(ADDS, 4),
    ),
    "group_norm of numbers of the code": (
        image(lambda m, x: F.group_norm(x, 4, torch.stack([m.p] * 8)), p=parameter()),
        whole("'group_norm' has a number for each, which does not go", 4),
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
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])
