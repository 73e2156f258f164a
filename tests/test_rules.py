import math
import operator
import sys

import pytest
import torch
import torchvision
from _networks import Net, assert_cuts_are_exact, random_masks
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from torchvision.ops import FrozenBatchNorm2d, Permute

from skjointprune import register_rule
from skjointprune._compact import compact
from skjointprune._function_rules import FUNCTION_RULES
from skjointprune._groups import find_groups
from skjointprune._norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm
from skjointprune._rules import LAYER_RULES

ROW, SEQUENCE, IMAGE = (6,), (5, 6), (4, 6, 6)


def linear(*sizes, **options):
    return lambda: nn.Linear(*sizes, **options)


def conv(*sizes, **options):
    return lambda: nn.Conv2d(*sizes, **options)


def parameter(*shape):
    return lambda: nn.Parameter(torch.ones(shape))


def pooled(x):
    return x.mean((2, 3))


def row(between, size=8, **layers):
    """Apply a function to the units of a layer, and read the result."""
    layers = {"a": linear(6, 8), "b": linear(size, 2)} | layers
    return ROW, (lambda m, x: m.b(between(m, m.a(x)))), layers


def two(between, **layers):
    """Apply a function to the units of two layers, and read the result."""
    layers = {"a": linear(6, 8), "c": linear(6, 8), "b": linear(8, 2)} | layers
    return ROW, (lambda m, x: m.b(between(m.a(x), m.c(x)))), layers


def sequence(between, size=8, **layers):
    """Apply a function to the units at each position, and read the result."""
    layers = {"a": linear(6, 8), "b": linear(size, 2)} | layers
    return SEQUENCE, (lambda m, x: m.b(between(m, m.a(x)))), layers


def image(between, size=8, **layers):
    """Apply a function to the maps of a convolution, and read the result."""
    layers = {"a": conv(4, 8, 1), "b": conv(size, 2, 1)} | layers
    return IMAGE, (lambda m, x: pooled(m.b(between(m, m.a(x))))), layers


def flat(between, size, **layers):
    """Apply a function that flattens maps, and read the result."""
    layers = {"a": conv(4, 3, 3), "b": linear(size, 2)} | layers
    return IMAGE, (lambda m, x: m.b(between(m, m.a(x)))), layers


def shuffled(m, x):
    b, c, h, w = x.size()
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def gated(x):
    g, h = x.chunk(2, dim=1)
    return g.sigmoid() * h


def excited(m, x):
    s = m.up(torch.relu(m.down(x.mean((2, 3))))).sigmoid()
    return x * s.view(x.size(0), x.size(1), 1, 1)


def dense(m, x):
    one = m.a(x).relu()
    two = m.c(torch.cat([x, one], 1)).relu()
    return pooled(m.b(torch.cat([x, one, two], 1)))


def heads(m, x):
    b, t, _ = x.size()
    return x.view(b, t, 2, -1).transpose(1, 2).mean(2).flatten(1)


def tokens(m, x):
    x = m.a(x).flatten(2).transpose(1, 2)
    return m.b(m.c(x).mean(1))


def padded_shortcut(m, x):
    x = m.a(x).relu()
    return pooled(m.b(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + m.c(x)))


def image_through(module, size=8, **layers):
    """Send the maps of a convolution through a layer."""
    return image(lambda m, x: m.l(x), size, l=module, **layers)


def row_through(module, size=8, **layers):
    """Send the units of a layer through another."""
    return row(lambda m, x: m.l(x), size, l=module, **layers)


def recurrent(kind, size=5, **options):
    """Send the units at each position through a recurrent layer."""
    options |= {"batch_first": True}
    return sequence(
        lambda m, x: m.l(x)[0][:, -1], size, l=lambda: kind(8, 5, **options)
    )


class Plain(nn.Linear):
    """Inherits the forward of a layer that has a rule."""


class Framed(nn.Conv2d):
    """Has a forward of its own, which calls that of the layer."""

    def forward(self, x):
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="reflect"))


class Doubled(nn.Linear):
    """Has a forward of its own."""

    def forward(self, x):
        return F.linear(x, 2 * self.weight, self.bias)


def hooked(layer):
    """Shift what a layer returns, unseen by torch.fx."""
    layer.register_forward_hook(lambda layer, args, out: out.roll(2, 1))
    return layer


A8, I8 = {"inputs": 6, "a": 8}, {"inputs": 4, "a": 8}
I3, HALF = {"inputs": 4, "a": 3}, {"inputs": 4, "a": 4}

# What is pruned, and how many groups there are.
PRUNED = {
    "Linear": (row(lambda m, x: x), A8),
    "Linear, no bias": (row(lambda m, x: x, a=linear(6, 8, bias=False)), A8),
    "Linear, positions": (sequence(lambda m, x: x.mean(1)), A8),
    "Conv1d": (
        (
            SEQUENCE,
            lambda m, x: m.b(m.a(x)).mean(2),
            {"a": lambda: nn.Conv1d(5, 7, 3), "b": lambda: nn.Conv1d(7, 2, 2)},
        ),
        {"inputs": 5, "a": 7},
    ),
    "Conv2d": (image(lambda m, x: x, b=conv(8, 2, 3, stride=2, padding=1)), I8),
    "Conv3d": (
        (
            (3, 4, 4, 4),
            lambda m, x: m.b(m.a(x)).mean((2, 3, 4)),
            {"a": lambda: nn.Conv3d(3, 5, 2), "b": lambda: nn.Conv3d(5, 2, 1)},
        ),
        {"inputs": 3, "a": 5},
    ),
    "Conv2d, groups": (
        image_through(conv(8, 12, 3, groups=4), 12),
        HALF,
    ),
    "Conv2d, groups, no bias": (
        image_through(conv(8, 4, 3, groups=4, bias=False), 4),
        HALF,
    ),
    "Conv2d, depthwise": (image_through(conv(8, 8, 3, groups=8)), I8),
    "Conv2d, depthwise, more": (image_through(conv(8, 24, 3, groups=8), 24), I8),
    "Conv2d, depthwise on inputs": (
        (
            IMAGE,
            lambda m, x: pooled(m.b(m.a(x))),
            {"a": conv(4, 8, 3, groups=4), "b": conv(8, 2, 1)},
        ),
        {"inputs": 4},
    ),
    "ConvTranspose2d": (
        image_through(lambda: nn.ConvTranspose2d(8, 8, 3)),
        I8 | {"l": 8},
    ),
    "ConvTranspose2d, groups": (
        image_through(lambda: nn.ConvTranspose2d(8, 12, 3, groups=4), 12),
        HALF,
    ),
    "ConvTranspose2d, groups of one": (
        image_through(lambda: nn.ConvTranspose2d(8, 8, 3, groups=8, bias=False)),
        I8,
    ),
    "BatchNorm1d": (row_through(lambda: nn.BatchNorm1d(8)), A8),
    "BatchNorm1d, inputs": (
        (
            ROW,
            lambda m, x: m.b(m.l(x)),
            {"l": lambda: nn.BatchNorm1d(6), "b": linear(6, 2)},
        ),
        {"inputs": 6},
    ),
    "BatchNorm2d": (image_through(lambda: nn.BatchNorm2d(8)), I8),
    "BatchNorm2d, no scale": (
        image_through(lambda: nn.BatchNorm2d(8, affine=False)),
        I8,
    ),
    "BatchNorm2d, nothing": (
        image_through(
            lambda: nn.BatchNorm2d(8, affine=False, track_running_stats=False)
        ),
        I8,
    ),
    "FrozenBatchNorm2d": (image_through(lambda: FrozenBatchNorm2d(8)), I8),
    "InstanceNorm2d": (image_through(lambda: nn.InstanceNorm2d(8)), I8),
    "InstanceNorm2d, scale": (
        image_through(
            lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
        ),
        I8,
    ),
    "GroupNorm": (image_through(lambda: nn.GroupNorm(4, 8)), HALF),
    "GroupNorm, no scale": (
        image_through(lambda: nn.GroupNorm(4, 8, affine=False)),
        HALF,
    ),
    "GroupNorm, groups of one": (image_through(lambda: nn.GroupNorm(8, 8)), I8),
    "PReLU": (image_through(lambda: nn.PReLU(8)), I8),
    "PReLU, one": (image_through(nn.PReLU), I8),
    "MaxPool2d": (image_through(lambda: nn.MaxPool2d(2, padding=1)), I8),
    "AvgPool2d": (image_through(lambda: nn.AvgPool2d(3, 1, 1)), I8),
    "AdaptiveAvgPool2d": (image_through(lambda: nn.AdaptiveAvgPool2d((None, 2))), I8),
    "Upsample": (image_through(lambda: nn.Upsample(scale_factor=2)), I8),
    "ReplicationPad2d": (image_through(lambda: nn.ReplicationPad2d(1)), I8),
    "Dropout2d": (image_through(nn.Dropout2d), I8),
    "PixelShuffle": (
        image_through(lambda: nn.PixelShuffle(2), 2),
        {"inputs": 4, "a": 2},
    ),
    "PixelShuffle, flattened": (
        flat(lambda m, x: F.pixel_shuffle(x, 2).flatten(1), 128, a=conv(4, 8, 3)),
        {"inputs": 4, "a": 2},
    ),
    "PixelUnshuffle": (image_through(lambda: nn.PixelUnshuffle(2), 32), I8),
    "ChannelShuffle": (
        image_through(lambda: nn.ChannelShuffle(2)),
        HALF,
    ),
    "channels shuffled by hand": (image(shuffled), HALF),
    "Flatten": (flat(lambda m, x: m.l(x), 48, l=nn.Flatten), I3),
    "flatten": (flat(lambda m, x: x.flatten(1), 48), I3),
    "torch.flatten": (
        flat(lambda m, x: torch.flatten(input=x, start_dim=1), 48),
        I3,
    ),
    "view": (flat(lambda m, x: x.view(x.size(0), -1), 48), I3),
    "reshape": (flat(lambda m, x: x.reshape((x.shape[0], -1)), 48), I3),
    "view of a product of sizes": (
        flat(lambda m, x: x.view(-1, x.size(1) * x.size(2) * x.size(3)), 48),
        I3,
    ),
    "view, units to maps": (
        (
            ROW,
            lambda m, x: pooled(m.b(m.a(x).view(x.size(0), -1, 2, 2))),
            {"a": linear(6, 16), "b": conv(4, 2, 1)},
        ),
        {"inputs": 6, "a": 4},
    ),
    "view by a share of the units": (
        row(
            lambda m, x: x.view(x.size(0), x.size(1) // 4, -1).mT.reshape(x.shape),
            16,
            a=linear(6, 16),
        ),
        {"inputs": 6, "a": 4},
    ),
    "view, heads": (sequence(heads), {"inputs": 6, "a": 4}),
    "positions as tokens": (
        (IMAGE, tokens, {"a": conv(4, 8, 2), "c": linear(8, 5), "b": linear(5, 2)}),
        {"inputs": 4, "a": 8, "c": 5},
    ),
    "permute": (
        (
            IMAGE,
            lambda m, x: m.b(m.l(m.a(x))).mean((1, 2)),
            {"a": conv(4, 8, 1), "l": lambda: Permute([0, 2, 3, 1]), "b": linear(8, 2)},
        ),
        I8,
    ),
    "flip": (row(lambda m, x: x.flip(1)), A8),
    "repeat": (row(lambda m, x: x.repeat(1, 2), 16), A8),
    "slice of positions": (image(lambda m, x: x[..., 1:-1, ::2]), I8),
    "one position": (sequence(lambda m, x: x[:, -1]), A8),
    "None": (row(lambda m, x: x[:, :, None, None].flatten(1)), A8),
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
    "cat": (
        two(lambda x, y: torch.cat([x, y], 1), c=linear(6, 5), b=linear(13, 2)),
        A8 | {"c": 5},
    ),
    "cat, read by several": (
        (IMAGE, dense, {"a": conv(4, 3, 1), "c": conv(7, 5, 1), "b": conv(12, 2, 1)}),
        {"inputs": 4, "a": 3, "c": 5},
    ),
    "cat, twice the same": (
        row(lambda m, x: torch.cat((x, x), dim=-1), 16),
        A8,
    ),
    "cat of positions": (
        (
            SEQUENCE,
            lambda m, x: m.b(torch.cat([m.a(x), m.c(x)], 1).flatten(1)),
            {"a": linear(6, 8), "c": linear(6, 8), "b": linear(80, 2)},
        ),
        A8,
    ),
    "cat with what the code makes": (
        row(lambda m, x: torch.cat([x, x.new_ones(x.size(0), 3)], 1), 11),
        A8,
    ),
    "stack": (two(lambda x, y: torch.stack([x, y], 1).mean(1)), A8),
    "stack, interleaved": (
        two(lambda x, y: torch.stack([x, y], -1).flatten(1), b=linear(16, 2)),
        A8,
    ),
    "chunk": (row(lambda m, x: gated(x), a=linear(6, 16)), A8),
    "split of positions": (
        sequence(lambda m, x: x.split([2, 3], 1)[1].mean(1)),
        A8,
    ),
    "mean, axis": (flat(lambda m, x: x.mean(axis=(2, 3)), 3), I3),
    "sum over sizes": (
        flat(lambda m, x: x.sum((2, 3)) / (x.size(2) * x.size(3)), 3),
        I3,
    ),
    "std": (flat(lambda m, x: x.std((2, 3)), 3), I3),
    "norm": (flat(lambda m, x: x.norm(2, (2, 3)), 3), I3),
    "vector_norm": (flat(lambda m, x: torch.linalg.vector_norm(x, 1, (2, 3)), 3), I3),
    "logsumexp": (flat(lambda m, x: x.logsumexp((2, 3)), 3), I3),
    "prod": (sequence(lambda m, x: x.prod(1)), A8),
    "median": (sequence(lambda m, x: x.median(1).values), A8),
    "cumsum": (sequence(lambda m, x: x.cumsum(1).mean(1)), A8),
    "normalize": (row(lambda m, x: F.normalize(x, dim=1)), A8),
    "view_as": (
        sequence(lambda m, x: x.flatten(1).view_as(x).relu().mean(1)),
        A8,
    ),
    "select": (sequence(lambda m, x: x.select(1, 2) + x.narrow(1, 3, 1)[:, 0]), A8),
    "unbind": (sequence(lambda m, x: torch.stack(x.unbind(1), 1).mean(1)), A8),
    "where a number is missing": (
        (
            ROW,
            lambda m, x: m.b(torch.where(~torch.isnan(x), x, 0)),
            {"b": linear(6, 2)},
        ),
        {"inputs": 6},
    ),
    "negative": (row(lambda m, x: torch.threshold(x, 0.1, 0).negative().atan()), A8),
    "max over positions": (sequence(lambda m, x: torch.max(x, 1)[0]), A8),
    "max over positions, values": (sequence(lambda m, x: x.max(dim=1).values), A8),
    "squeeze": (
        flat(lambda m, x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1), 3),
        I3,
    ),
    "pooling by functions": (
        flat(lambda m, x: F.avg_pool2d(F.max_pool2d(x, 2), 2).flatten(1), 3),
        I3,
    ),
    "interpolate": (image(lambda m, x: F.interpolate(x, scale_factor=2)), I8),
    "pad": (row(lambda m, x: F.pad(x, (1, 1), value=3.0), 10), A8),
    "pad of positions": (sequence(lambda m, x: F.pad(x, (0, 0, 1, 1)).mean(1)), A8),
    "ones of all sizes": (row(lambda m, x: x * torch.ones(x.shape)), A8),
    "ones of all sizes, for each": (row(lambda m, x: x - x.new_ones(x.size())), A8),
    "ones for each unit": (
        row(lambda m, x: x * torch.full((x.shape[1],), 2.0)),
        A8,
    ),
    "one for each unit of another layer": (
        two(lambda x, y: x * torch.ones(y.shape)),
        A8,
    ),
    "one number, expanded": (
        row(lambda m, x: x * x.new_ones(1).expand(x.size(1))[None]),
        A8,
    ),
    "BatchNorm1d, no scale, then ReLU": (
        row(lambda m, x: m.l(x).relu(), l=lambda: nn.BatchNorm1d(8, affine=False)),
        A8,
    ),
    "BatchNorm2d, no scale, then ReLU": (
        image(lambda m, x: m.l(x).relu(), l=lambda: nn.BatchNorm2d(8, affine=False)),
        I8,
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
    "linear of positions": (
        sequence(lambda m, x: F.linear(x, m.p).relu().mean(1), 7, p=parameter(7, 8)),
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
    "squeeze and excitation": (
        image(excited, down=linear(8, 3), up=linear(3, 8)),
        I8 | {"down": 3},
    ),
    "sigmoid": (row(lambda m, x: x.sigmoid()), A8),
    "sigmoid, read without bias": (
        row(lambda m, x: x.sigmoid(), b=linear(8, 2, bias=False)),
        A8,
    ),
    "sigmoid, read without padding": (
        image(lambda m, x: x.sigmoid(), b=conv(8, 2, 3, bias=False)),
        I8,
    ),
    "sigmoid, read around a circle": (
        image(
            lambda m, x: x.sigmoid(),
            b=conv(8, 2, 3, padding=1, padding_mode="circular"),
        ),
        I8,
    ),
    "sigmoid, depthwise": (
        image(lambda m, x: m.l(x.sigmoid()), l=conv(8, 8, 3, padding=1, groups=8)),
        I8,
    ),
    "sigmoid twice": (
        row(lambda m, x: m.l(x.sigmoid()).sigmoid(), l=linear(8, 8)),
        A8 | {"l": 8},
    ),
    "PReLU twice": (
        image(lambda m, x: m.l(m.c(m.l(x))), l=lambda: nn.PReLU(8), c=conv(8, 8, 1)),
        I8,
    ),
    "layer twice": (
        row(
            lambda m, x: m.l(m.l(x)),
            l=lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU()),
        ),
        A8,
    ),
    "grouped layer twice": (
        image(lambda m, x: m.l(m.l(x)), l=conv(8, 8, 3, padding=1, groups=4)),
        HALF,
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
    "type of a weight": (row(lambda m, x: x.to(m.b.weight.dtype)), A8),
    "layers called by name": (
        (
            ROW,
            lambda m, x: m.b(input=F.relu(input=m.a(input=x))),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        A8,
    ),
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
    "product of sizes": (
        flat(lambda m, x: x.view(x.size(0), x.shape[1:].numel()), 48),
        I3,
    ),
    "number of all numbers": (
        flat(lambda m, x: x.view(x.size(0), x.numel() // x.size(0)), 48),
        I3,
    ),
    "LayerNorm": (row_through(lambda: LayerNorm(8, 8, 1e-5, True, True)), A8),
    "LayerNorm, no shift": (
        sequence(
            lambda m, x: m.l(x).mean(1), l=lambda: LayerNorm(8, 8, 0.1, True, False)
        ),
        A8,
    ),
    "LayerNorm of some": (
        row_through(lambda: LayerNorm(8, 11, 1e-5, True, True)),
        A8,
    ),
    "LayerNorm, twice": (
        row(lambda m, x: m.l(x + m.l(x)), l=lambda: LayerNorm(8, 8, 1e-5, True, True)),
        A8,
    ),
    "LayerNorm, before and after a sum": (
        sequence(
            lambda m, x: m.l(x + m.c(m.k(x))).mean(1),
            k=lambda: LayerNorm(8, 8, 1e-5, True, True),
            l=lambda: LayerNorm(8, 8, 1e-5, True, True),
            c=linear(8, 8),
        ),
        A8,
    ),
    "LayerNorm2d": (
        image_through(lambda: LayerNorm2d(8, 8, 1e-5, True, True)),
        I8,
    ),
    "GroupNorm of all": (
        image_through(lambda: GroupNorm(8, 8, 1e-5, True, True)),
        I8,
    ),
    "RMSNorm": (row_through(lambda: RMSNorm(8, 8, None, True, False)), A8),
    "RMSNorm, no scale": (row_through(lambda: RMSNorm(8, 8, 1e-5, False, False)), A8),
    "GLU": (row_through(nn.GLU, 4), {"inputs": 6, "a": 4}),
    "glu over maps": (image(lambda m, x: F.glu(x, 1), 4), HALF),
    "RReLU": (row_through(nn.RReLU), A8),
    "softmax over positions": (sequence(lambda m, x: x.softmax(1).mean(1)), A8),
    "Softmax over positions": (
        sequence(lambda m, x: m.l(x).mean(1), l=lambda: nn.Softmax(1)),
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
    "list of positions": (sequence(lambda m, x: x[:, [0, 2]].mean(1)), A8),
    "subclass with a forward of its own": (
        image_through(lambda: Framed(8, 7, 3), 7),
        I8 | {"l": 7},
    ),
    "subclass of a layer": (row_through(lambda: Plain(8, 7), 7), A8 | {"l": 7}),
}


def whole(why, inputs=6, **others):
    """Say why the units of `a` are kept whole, and how many others there are."""
    return {"inputs": inputs, "a": why, **others}


def no_rule(what, inputs=6, **others):
    return whole(f"there is no rule for {what}", inputs, **others)


TOGETHER = "they all hang together"
UNKNOWN = "'{}', which reads them, is frozen or has no gradient"
WRITTEN = "their number, {}, is written at {!r}"
CONSTANT = "a constant is left of them that the bias of {!r} cannot take up"

# What is kept whole, and why.
KEPT = {
    "literal flat size": (
        flat(lambda m, x: x.view(-1, 48), 48),
        whole(WRITTEN.format(48, "view"), 4),
    ),
    "literal sizes of maps": (
        (
            ROW,
            lambda m, x: pooled(m.b(m.a(x).unflatten(1, (4, 2, 2)))),
            {"a": linear(6, 16), "b": conv(4, 2, 1)},
        ),
        whole(WRITTEN.format(2, "unflatten")),
    ),
    "literal sizes of a layer": (
        row(lambda m, x: m.l(x).flatten(1), l=lambda: nn.Unflatten(1, (4, 2))),
        whole(WRITTEN.format(2, "l")),
    ),
    "literal repetition": (
        row(lambda m, x: x * m.p.repeat(1, 8), p=parameter(1, 1)),
        whole("the size of 'repeat' does not follow them"),
    ),
    "largest of all": (row(lambda m, x: x * x.max()), whole(TOGETHER)),
    "reflected units": (
        row(lambda m, x: F.pad(x[:, None], (1, 1), mode="reflect")[:, 0], 10),
        whole(TOGETHER),
    ),
    "units cropped by padding": (
        row(lambda m, x: F.pad(x, (-1, 0)), 7),
        whole(why := "'pad' pads them by a number written in the code", **{"a#2": why}),
    ),
    "bits": (
        row(lambda m, x: x.view(x.dtype)),
        no_rule("view at 'view'", UNKNOWN.format("a.weight")),
    ),
    "split, called otherwise": (
        row(lambda m, x: x.split(split_size=4, dim=1)[0], 4),
        no_rule("split at 'split'"),
    ),
    "literal expansion": (
        row(lambda m, x: x.expand(-1, 8)),
        whole(WRITTEN.format(8, "expand")),
    ),
    "tensor of the code": (
        row(lambda m, x: x * torch.arange(8)),
        whole("the code makes a tensor of their size"),
    ),
    "zeros of the code": (
        row(lambda m, x: x + x.new_zeros(8)),
        whole("the size of 'new_zeros' does not follow them"),
    ),
    "zeros of the code, before a sequence": (
        sequence(
            lambda m, x: torch.cat([x.new_zeros(x.size(0), 1, 8), x], 1).flatten(1), 48
        ),
        whole("the size of 'new_zeros' does not follow them"),
    ),
    "divided by their number": (
        row(lambda m, x: x / x.size(1)),
        whole("their number is part of what 'truediv' computes"),
    ),
    "scaled by the root of their number": (
        row(lambda m, x: x * math.sqrt(x.shape[-1])),
        whole("their number is part of what 'mul' computes"),
    ),
    "squeeze of all": (
        flat(lambda m, x: F.adaptive_avg_pool2d(x, 1).squeeze((1, 2, 3)), 3),
        whole("'squeeze' would drop a last one with its dimension", 4),
    ),
    "roll": (
        row(lambda m, x: x.roll(2, 1)),
        whole("'roll' moves them by a number written in the code"),
    ),
    "slice": (
        row(lambda m, x: x[:, :4], 4),
        whole(why := "'getitem' takes them by their positions", **{"a#2": why}),
    ),
    "slice of the inputs": (
        (ROW, lambda m, x: m.b(x[:, :4]), {"b": linear(4, 2)}),
        {"inputs": "'getitem' takes them by their positions"},
    ),
    "split": (
        row(lambda m, x: x.split([4, 4], 1)[1], 4),
        whole(
            why := "'split' cuts them at positions written in the code", **{"a#2": why}
        ),
    ),
    "unequal chunks": (
        row(lambda m, x: x.chunk(3, 1)[0], 3),
        whole(why := "'chunk' cuts them into unequal parts", **{"a#2": why}),
    ),
    "looked up": (
        row(lambda m, x: x[:, torch.tensor([True, False] * 4)], 4),
        whole("'getitem' looks them up"),
    ),
    "padded shortcut": (
        (
            IMAGE,
            padded_shortcut,
            {
                "a": conv(4, 4, 1),
                "c": conv(4, 8, 3, stride=2, padding=1),
                "b": conv(8, 2, 1),
            },
        ),
        HALF | {"c": "'pad' pads them by a number written in the code"},
    ),
    "sigmoid, read with padding": (
        image(lambda m, x: x.sigmoid(), b=conv(8, 2, 3, padding=1)),
        whole(CONSTANT.format("b"), 4),
    ),
    "sigmoid, padded before": (
        image(lambda m, x: F.pad(x.sigmoid(), (1, 1, 1, 1))),
        whole("they are not silent when they are zero", 4),
    ),
    "sigmoid, transposed": (
        image(lambda m, x: x.sigmoid(), b=lambda: nn.ConvTranspose2d(8, 2, 3)),
        whole(CONSTANT.format("b"), 4),
    ),
    "BatchNorm2d, no scale, read with padding": (
        image_through(
            lambda: nn.BatchNorm2d(8, affine=False), b=conv(8, 2, 3, padding=1)
        ),
        whole(CONSTANT.format("b"), 4),
    ),
    "two constants in one layer": (
        (
            ROW,
            lambda m, x: m.b(m.a(x).sigmoid()) + m.b(m.a(x).tanh()),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        whole("they are not silent when they are zero"),
    ),
    "division": (
        two(lambda x, y: x / y),
        whole("they are not silent when they are zero"),
    ),
    "spatial attention": (
        image(lambda m, x: x * m.l(x).sigmoid(), l=conv(8, 1, 3, padding=1)),
        whole(TOGETHER, 4),
    ),
    "mean of channels": (
        flat(lambda m, x: x.mean(1).flatten(1), 16),
        whole(TOGETHER, 4),
    ),
    "convolution over channels": (
        row(
            lambda m, x: m.l(x.unsqueeze(1)).squeeze(1),
            l=lambda: nn.Conv1d(1, 1, 3, padding=1),
        ),
        whole(TOGETHER, l=1),
    ),
    "LayerNorm after sigmoid": (
        row(lambda m, x: m.l(x.sigmoid()), l=lambda: LayerNorm(8, 8, 1e-5, True, True)),
        whole("zeroed, they still add to means of 'l'"),
    ),
    "LayerNorm, no scale": (
        row_through(lambda: LayerNorm(8, 8, 1e-5, False, False)),
        whole("LayerNorm 'l' couples them"),
    ),
    "LayerNorm of inputs": (
        (
            ROW,
            lambda m, x: m.a(m.l(x)),
            {"l": lambda: LayerNorm(6, 6, 1e-5, True, True), "a": linear(6, 2)},
        ),
        {"inputs": "'l' takes means over them"},
    ),
    "LayerNorm of inputs and what is added": (
        (
            ROW,
            lambda m, x: m.b(m.l(x + m.a(x))),
            {
                "a": linear(6, 6),
                "l": lambda: LayerNorm(6, 6, 1e-5, True, True),
                "b": linear(6, 2),
            },
        ),
        {"inputs": "'l' takes means over them"},
    ),
    "LayerNorm over positions": (
        sequence(
            lambda m, x: m.l(x.transpose(1, 2)).mean(2),
            l=lambda: LayerNorm(5, 5, 1e-5, True, True),
        ),
        whole(TOGETHER),
    ),
    "LayerNorm of torch": (
        row_through(lambda: nn.LayerNorm(8)),
        whole("LayerNorm 'l' couples them"),
    ),
    "softmax": (row(lambda m, x: x.softmax(-1)), whole("'softmax' couples them")),
    "Softmax": (row_through(lambda: nn.Softmax(1)), whole("Softmax 'l' couples them")),
    "size of other channels": (
        row(lambda m, x: m.c(x).view(-1, x.shape[1]), c=linear(8, 8)),
        whole(why := "their number is a size at 'view'", c=why),
    ),
    "layer_norm": (
        row(lambda m, x: F.layer_norm(x, (8,), m.p), p=parameter(8)),
        whole("'layer_norm' couples them"),
    ),
    "GroupNorm of one group": (
        image_through(lambda: nn.GroupNorm(1, 8)),
        whole("GroupNorm 'l' couples them", 4),
    ),
    "LSTM": (recurrent(nn.LSTM), A8 | {"l": "LSTM 'l' keeps its state whole"}),
    "GRU, both ways": (
        recurrent(nn.GRU, 10, bidirectional=True, num_layers=2),
        A8 | {"l": "GRU 'l' keeps its state whole"},
    ),
    "LSTM, state": (
        sequence(
            lambda m, x: torch.cat(m.l(x)[1], -1)[0],
            10,
            l=lambda: nn.LSTM(8, 5, batch_first=True),
        ),
        A8 | {"l": "LSTM 'l' keeps its state whole"},
    ),
    "sigmoid, LSTM": (
        sequence(
            lambda m, x: m.l(x.sigmoid())[0][:, 0],
            5,
            l=lambda: nn.LSTM(8, 5, batch_first=True),
        ),
        whole(CONSTANT.format("l"), l="LSTM 'l' keeps its state whole"),
    ),
    "GRU, state given": (
        sequence(
            lambda m, x: m.l(x, m.c(x.mean(1))[None])[0][:, 0],
            5,
            l=lambda: nn.GRU(8, 5, batch_first=True),
            c=linear(8, 5),
        ),
        no_rule("GRU 'l'", c="there is no rule for GRU 'l'"),
    ),
    "Embedding": (
        (
            ROW,
            lambda m, x: m.b(m.a(x.long().clamp(0, 9)).flatten(1)),
            {"a": lambda: nn.Embedding(10, 4), "b": linear(24, 2)},
        ),
        {"inputs": "Embedding 'a' looks them up", "a": 4},
    ),
    "MultiheadAttention": (
        sequence(
            lambda m, x: m.l(x, x, x)[0].mean(1),
            l=lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        no_rule("MultiheadAttention 'l'"),
    ),
    "MaxPool2d, indices": (
        image(lambda m, x: m.l(x)[0], l=lambda: nn.MaxPool2d(2, return_indices=True)),
        no_rule("MaxPool2d 'l'", 4),
    ),
    "AvgPool1d of units": (
        row_through(lambda: nn.AvgPool1d(2), 4),
        no_rule("AvgPool1d 'l'"),
    ),
    "matmul": (
        sequence(lambda m, x: (x @ x.mT).mean(1), 5),
        no_rule("matmul at 'matmul'"),
    ),
    "einsum": (
        row(lambda m, x: torch.einsum("bi,bj->bij", x, x).flatten(1), 64),
        no_rule("einsum at 'einsum'"),
    ),
    "sort": (row(lambda m, x: x.sort(1)[0]), no_rule("sort at 'sort'")),
    "stack of what has no rule": (
        sequence(lambda m, x: torch.stack(x.tensor_split(5, 1), 1).mean(1)[:, 0]),
        no_rule("tensor_split at 'tensor_split'"),
    ),
    "one number without a rule": (
        row(lambda m, x: x / x.new_tensor(2.0)),
        no_rule("new_tensor at 'new_tensor'"),
    ),
    "norm of all": (row(lambda m, x: x / (1 + x.norm())), whole(TOGETHER)),
    "numbers of units": (
        row(lambda m, x: x * torch.arange(x.shape[1])),
        whole("the size of 'arange' does not follow them"),
    ),
    "filled with their number": (
        row(lambda m, x: x * torch.full((x.shape[0], x.shape[1]), x.shape[1] * 1.0)),
        whole("their number is part of what 'full' computes"),
    ),
    "a computed size that happens to be theirs": (
        row(lambda m, x: x * torch.ones(x.shape[0], 2 * x.shape[1] - 8)),
        whole("the size of 'ones' does not follow them"),
    ),
    "as many as half of the units": (
        row(
            lambda m, x: torch.cat([x, torch.ones(x.shape[0], x.shape[1] // 2)], 1), 12
        ),
        whole("their number is a size at 'ones'"),
    ),
    "select": (
        row(lambda m, x: x.select(1, 2)[:, None], 1),
        whole(why := "'select' takes them by their positions", **{"a#2": why}),
    ),
    "linear, sigmoid": (
        row(lambda m, x: F.linear(x.sigmoid(), m.p), p=parameter(8, 8)),
        whole(CONSTANT.format("p"), p=8),
    ),
    "linear by the weight of a layer, sigmoid": (
        row(lambda m, x: F.linear(m.l(x).sigmoid(), m.l.weight), l=linear(8, 8)),
        whole("they are not silent when they are zero"),
    ),
    "conv2d in groups": (
        image(lambda m, x: F.conv2d(x, m.p, groups=4), p=parameter(8, 2, 1, 1)),
        no_rule("conv2d at 'conv2d'", 4),
    ),
    "matmul from the left": (
        sequence(lambda m, x: (m.p @ x).mean(1), p=parameter(3, 5)),
        no_rule("matmul at 'matmul'"),
    ),
    "weight used by itself": (
        row(lambda m, x: F.linear(x, 2 * m.a.weight.t()), 6),
        whole(why := "'a.weight' is used by itself", why),
    ),
    "parameter in parts": (
        row(
            lambda m, x: x * (parts := m.p.chunk(2, 0))[0][0] + parts[1][0],
            p=parameter(2, 8),
        ),
        whole("'p' is used by itself"),
    ),
    "parameter of many positions, changed before": (
        sequence(lambda m, x: (m.p.relu() + x).mean(1), p=parameter(5, 8)),
        whole("'p' is used by itself"),
    ),
    "weight that is changed before": (
        row_through(lambda: Doubled(8, 8)),
        no_rule("linear at 'linear'", l="there is no rule for linear at 'linear'"),
    ),
    "hooks": (
        row_through(lambda: hooked(nn.Linear(8, 8))),
        no_rule("Linear 'l' with hooks"),
    ),
    "weight_norm": (
        row_through(lambda: weight_norm(nn.Linear(8, 8))),
        no_rule("ParametrizedLinear 'l'"),
    ),
}
ALL = PRUNED | KEPT


def made(name):
    (shape, forward, layers), _ = ALL[name]
    return Net(forward, **{key: make() for key, make in layers.items()}), shape


@pytest.mark.parametrize("name", ALL)
def test_compact_network_matches_the_zeroed_one(name):
    assert_cuts_are_exact(lambda: made(name)[0], made(name)[1])


@pytest.mark.parametrize("name", ALL)
def test_groups_and_reasons_are_as_expected(name):
    network = find_groups(*made(name))
    found = {c.name: c.pinned or c.size for c in network.channels}
    assert found == ALL[name][1]


@pytest.mark.parametrize("name", PRUNED)
def test_layers_say_their_new_size(name):
    """A layer made anew from what it says of itself has tensors of the same shapes."""
    module, shape = made(name)
    network = find_groups(module, shape)
    small = compact(network, random_masks(network)).module
    for layer in small.modules():
        if type(layer) in LAYER_RULES:
            said = f"{type(layer).__name__}({layer.extra_repr()})"
            home = vars(sys.modules[type(layer).__module__])
            anew = eval(said, home | {"circular": "circular"})
            shapes = {k: v.shape for k, v in anew.state_dict().items()}
            assert shapes == {k: v.shape for k, v in layer.state_dict().items()}


def test_layers_without_a_rule_are_named_themselves():
    for name in ("weight_norm", "hooks", "MaxPool2d, indices"):
        module, shape = made(name)
        network = find_groups(module, shape)
        why = {"l": network.kept_whole["a"]} if [*module.l.parameters()] else {}
        assert network.without_rule == why


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_scripted_layer_is_of_one_piece():
    layers = nn.Linear(6, 8), torch.jit.script(nn.Linear(8, 8)), nn.Linear(8, 2)
    network = find_groups(nn.Sequential(*layers), (6,))
    why = "there is no rule for RecursiveScriptModule '1'"
    assert network.kept_whole == {"0": why, "1": why}


def test_names_of_functions_are_those_of_functions():
    homes = (torch, F, torch.Tensor, operator, torchvision.ops, torch._C._linalg)
    for name in FUNCTION_RULES:
        found = [h for h in homes for n in (name, f"{name}_") if hasattr(h, n)]
        assert found, name


class Scale(nn.Module):
    """A layer that branches on values: torch.fx cannot look into it."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.factor = nn.Parameter(torch.ones(size))

    def forward(self, x, y=None):
        assert x.shape[1] == self.size
        if (x < -1e9).any():
            return x
        return x * self.factor if y is None else x * self.factor + y


@pytest.fixture
def rule():
    """Register a rule for a layer, for the length of a test."""

    def of_scale(layer, name, x, labels):
        if isinstance(x, tuple):
            labels.tie(*x)
            x = x[0]
        v = labels.channels(x)
        labels.produce(f"{name}.factor", 0, v)
        labels.count(f"{name}.size", v)
        return x

    register_rule(Scale, of_scale)
    yield
    del LAYER_RULES[Scale]


SCALED = {
    "once": row(lambda m, x: m.l(x), l=lambda: Scale(8)),
    "on two": row(lambda m, x: m.l(x, m.c(x)), l=lambda: Scale(8), c=linear(8, 8)),
}


def net(shape, forward, layers):
    return Net(forward, **{key: make() for key, make in layers.items()}), shape


def test_a_layer_of_ones_own_cannot_be_traced_without_a_rule():
    with pytest.raises(ValueError, match=r"could not be traced .* register a rule"):
        find_groups(*net(*SCALED["once"]))


@pytest.mark.parametrize("how", SCALED)
def test_a_layer_of_ones_own_is_pruned_by_its_rule(rule, how):
    assert_cuts_are_exact(lambda: net(*SCALED[how])[0], SCALED[how][0])
    network = find_groups(*net(*SCALED[how]))
    assert network.kept_whole == {}
    small = compact(network, random_masks(network))
    assert small.module.l.size == len(small.module.l.factor)


def test_a_rule_is_for_subclasses_that_inherit_the_forward(rule):
    class Same(Scale):
        pass

    class Other(Scale):
        def forward(self, x):
            return x * self.factor.flip(0)

    for kind in (Same, Other):
        network = find_groups(*net(*row_through(lambda kind=kind: kind(8))))
        counted = any(
            axis.tensor == "l.size" for axis in network.channels[1].counted_by
        )
        assert counted == (kind is Same)


class Mixing(nn.Module):
    """Reads the last dimension of what it is given, as `Linear` does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 3))

    def forward(self, x):
        return x @ self.weight + float((x > 1e9).any())


def test_a_layer_of_ones_own_reads_the_dimension_that_it_says():
    def of_mixing(layer, name, x, labels):
        labels.read(f"{name}.weight", 0, x, of=-1)
        return labels.spread(labels.produce(f"{name}.weight", 1), -1)

    register_rule(Mixing, of_mixing)
    try:
        case = sequence(lambda m, x: m.l(x).mean(1), 3, l=Mixing)
        assert_cuts_are_exact(lambda: net(*case)[0], case[0])
        network = find_groups(*net(*case))
        assert network.kept_whole == {}
        case = sequence(lambda m, x: m.l(x.sigmoid()).mean(1), 3, l=Mixing)
        network = find_groups(*net(*case))
        assert network.kept_whole == {"a": CONSTANT.format("l")}
    finally:
        del LAYER_RULES[Mixing]


class Interaction(nn.Module):
    """Products of two kinds of units, of which each output is a sum."""

    def __init__(self, one, other, out):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(out, one, other))

    def forward(self, x, y):
        return torch.einsum("oij,bi,bj->bo", self.weight, x, y)


def test_a_layer_may_read_two_tensors():
    def of_interaction(layer, name, x, labels):
        for dim, read in enumerate(x, start=1):
            labels.read(f"{name}.weight", dim, read, of=-1)
        return labels.spread(labels.produce(f"{name}.weight", 0), -1)

    register_rule(Interaction, of_interaction)
    try:
        case = row(
            lambda m, x: m.l(x, m.c(x)),
            5,
            c=linear(8, 7),
            l=lambda: Interaction(8, 7, 5),
        )
        assert_cuts_are_exact(lambda: net(*case)[0], case[0])
        network = find_groups(*net(*case))
        assert {c.name: c.size for c in network.channels} == A8 | {"c": 7, "l": 5}
    finally:
        del LAYER_RULES[Interaction]


def test_a_rule_may_decline():
    register_rule(Scale, lambda layer, name, x, labels: NotImplemented)
    try:
        network = find_groups(*net(*SCALED["once"]))
        why = "there is no rule for Scale 'l'"
        assert network.kept_whole == {"a": why, "l": why}
    finally:
        del LAYER_RULES[Scale]


def test_labels_of_another_shape_are_refused():
    register_rule(Scale, lambda layer, name, x, labels: x[:, :1])
    try:
        with pytest.raises(ValueError, match=r"shape \(2, 1\) .* one label for each"):
            find_groups(*net(*SCALED["once"]))
    finally:
        del LAYER_RULES[Scale]


@pytest.mark.parametrize("layer", [nn.Linear(1, 1), int, "Linear"])
def test_a_rule_is_for_a_class_of_module(layer):
    with pytest.raises(TypeError, match="must be a class of"):
        register_rule(layer, lambda layer, name, x, labels: x)


def test_a_rule_can_be_called():
    with pytest.raises(TypeError, match="must be a function of"):
        register_rule(Scale, "rule")
