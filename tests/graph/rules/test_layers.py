from functools import partial

import pytest
import torch
from _cases import (
    A8,
    CONSTANT,
    HALF,
    I3,
    I8,
    IMAGE,
    ROW,
    SEQUENCE,
    TOGETHER,
    check,
    conv,
    flat,
    image,
    image_through,
    linear,
    made,
    no_rule,
    pooled,
    row,
    row_through,
    sequence,
    whole,
)
from _networks import Net, cut, random_masks, shaken
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import orthogonal
from torchvision.ops import FrozenBatchNorm2d

from skjointprune._graph.groups import find_groups
from skjointprune._layers.norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm


def recurrent(kind, size=5, **options):
    """Send the units at each position through a recurrent layer."""
    options |= {"batch_first": True}
    return sequence(
        lambda m, x: m.l(x)[0][:, -1], size, l=lambda: kind(8, 5, **options)
    )


def by_steps(m, x):
    state = None
    for t in range(x.shape[1]):
        state = m.l(x[:, t], state)
    return state[0] if type(m.l) is nn.LSTMCell else state


class Plain(nn.Linear):
    """Inherits the forward of a layer that has a rule."""


class Framed(nn.Conv2d):
    """Has a forward of its own, which calls that of the layer."""

    def forward(self, x):
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="reflect"))


def hooked(layer):
    """Shift what a layer returns, unseen by torch.fx."""
    layer.register_forward_hook(lambda layer, args, out: out.roll(2, 1))
    return layer


def bilinear(first, second, **layers):
    """Send two functions of the inputs through a bilinear layer."""
    layers = {"a": linear(6, 8), "c": linear(6, 7)} | layers
    layers |= {"l": lambda: nn.Bilinear(8, 7, 5), "b": linear(5, 2)}
    return ROW, (lambda m, x: m.b(m.l(first(m, x), second(m, x)).relu())), layers


# What is pruned, and how many groups there are.
PRUNED = {
    "ConstantPad2d": (image_through(lambda: nn.ConstantPad2d(1, 5.0)), I8),
    "Linear": (row(lambda m, x: x), A8),
    "Linear, over positions": (
        sequence(
            lambda m, x: (x * m.l(x.transpose(1, 2)).transpose(1, 2)).mean(1),
            l=linear(5, 5),
        ),
        A8,
    ),
    "Linear, over positions, between means over the units": (
        sequence(
            lambda m, x: m.n(
                x + m.k(m.l(x.transpose(1, 2)).tanh()).transpose(1, 2)
            ).mean(1),
            l=linear(5, 7),
            k=linear(7, 5),
            n=lambda: nn.LayerNorm(8),
        ),
        whole("LayerNorm 'n' couples them", l=7),
    ),
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
    "CircularPad2d": (image_through(lambda: nn.CircularPad2d(1)), I8),
    "ReflectionPad3d": (
        (
            (2, 3, 3, 3),
            lambda m, x: m.b(m.l(m.a(x))).mean((2, 3, 4)),
            {
                "a": lambda: nn.Conv3d(2, 8, 1),
                "l": lambda: nn.ReflectionPad3d(1),
                "b": lambda: nn.Conv3d(8, 2, 1),
            },
        ),
        {"inputs": 2, "a": 8},
    ),
    "ConstantPad2d of zeros": (image_through(lambda: nn.ConstantPad2d(1, 0.0)), I8),
    "ConstantPad2d, then a scale": (
        image(
            lambda m, x: m.n(m.l(x)),
            l=lambda: nn.ConstantPad2d(1, 5.0),
            n=lambda: nn.BatchNorm2d(8),
        ),
        I8,
    ),
    "ConstantPad2d, then a mean": (
        (
            IMAGE,
            lambda m, x: m.b(m.l(m.a(x)).mean((2, 3))),
            {
                "a": conv(4, 8, 1),
                "l": lambda: nn.ConstantPad2d(1, 5.0),
                "b": linear(8, 2),
            },
        ),
        I8,
    ),
    "ConstantPad1d of units": (row_through(lambda: nn.ConstantPad1d(1, 3.0), 10), A8),
    "Dropout2d": (image_through(nn.Dropout2d), I8),
    "PixelShuffle": (
        image_through(lambda: nn.PixelShuffle(2), 2),
        {"inputs": 4, "a": 2},
    ),
    "PixelUnshuffle": (image_through(lambda: nn.PixelUnshuffle(2), 32), I8),
    "ChannelShuffle": (
        image_through(lambda: nn.ChannelShuffle(2)),
        HALF,
    ),
    "Flatten": (flat(lambda m, x: m.l(x), 48, l=nn.Flatten), I3),
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
    "layers called by name": (
        (
            ROW,
            lambda m, x: m.b(input=F.relu(input=m.a(input=x))),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        A8,
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
    "Bilinear": (
        bilinear(lambda m, x: m.a(x).relu(), lambda m, x: m.c(x).relu()),
        A8 | {"c": 7, "l": 5},
    ),
    "Bilinear of the same twice": (
        (
            SEQUENCE,
            lambda m, x: m.l(m.a(x), m.a(x)).mean(1),
            {"a": linear(6, 8), "l": lambda: nn.Bilinear(8, 8, 2, bias=False)},
        ),
        A8,
    ),
    "GLU": (row_through(nn.GLU, 4), {"inputs": 6, "a": 4}),
    "RReLU": (row_through(nn.RReLU), A8),
    "Softmax over positions": (
        sequence(lambda m, x: m.l(x).mean(1), l=lambda: nn.Softmax(1)),
        A8,
    ),
    "subclass with a forward of its own": (
        image_through(lambda: Framed(8, 7, 3), 7),
        I8 | {"l": 7},
    ),
    "subclass of a layer": (row_through(lambda: Plain(8, 7), 7), A8 | {"l": 7}),
}

# What is kept whole, and why.
KEPT = {
    "rows that are stored, read as others": (
        (
            ROW,
            lambda m, x: m.b((m.a(x) @ m.a(m.stored).T).softmax(-1)),
            {
                "a": linear(6, 8),
                "stored": lambda: nn.Buffer(torch.randn(7, 6)),
                "b": linear(7, 2),
            },
        ),
        {"inputs": "'a.weight' also meets numbers that stay", "a": 8},
    ),
    "Bilinear of what zeros leave": (
        bilinear(lambda m, x: m.a(x).sigmoid(), lambda m, x: m.c(x)),
        {"inputs": 6, "a": CONSTANT.format("l"), "c": 7, "l": 5},
    ),
    "convolution over channels": (
        row(
            lambda m, x: m.l(x.unsqueeze(1)).squeeze(1),
            l=lambda: nn.Conv1d(1, 1, 3, padding=1),
        ),
        whole(TOGETHER, l=1),
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
    "LayerNorm of torch": (
        row_through(lambda: nn.LayerNorm(8)),
        whole("LayerNorm 'l' couples them"),
    ),
    "Softmax": (row_through(lambda: nn.Softmax(1)), whole("Softmax 'l' couples them")),
    "GroupNorm of one group": (
        image_through(lambda: nn.GroupNorm(1, 8)),
        whole("GroupNorm 'l' couples them", 4),
    ),
    "LSTM": (recurrent(nn.LSTM), A8 | {"l": 5}),
    "LSTM without bias, of two layers": (
        recurrent(nn.LSTM, bias=False, num_layers=2),
        A8 | {"l": 5},
    ),
    "LSTM with a projection": (
        recurrent(nn.LSTM, 3, proj_size=3),
        A8 | {"l": "LSTM 'l' has a projection, and keeps its state whole"},
    ),
    "RNN, dropout": (recurrent(nn.RNN, dropout=0.5, num_layers=2), A8 | {"l": 5}),
    "RNN of ReLUs, both ways": (
        recurrent(nn.RNN, 10, bidirectional=True, nonlinearity="relu"),
        A8 | {"l": 5},
    ),
    "GRU": (recurrent(nn.GRU), A8 | {"l": 5}),
    "GRU, both ways": (
        recurrent(nn.GRU, 10, bidirectional=True, num_layers=2),
        A8 | {"l": 5},
    ),
    "GRU, steps first": (
        sequence(
            lambda m, x: m.l(x.transpose(0, 1), None)[0][-1],
            5,
            l=lambda: nn.GRU(8, 5),
        ),
        A8 | {"l": 5},
    ),
    "GRU, state": (
        sequence(
            lambda m, x: m.l(x)[1][-1],
            5,
            l=lambda: nn.GRU(8, 5, batch_first=True, num_layers=2),
        ),
        A8 | {"l": 5},
    ),
    "GRU, state given": (
        sequence(
            lambda m, x: m.l(x, m.c(x.mean(1))[None])[0][:, 0],
            5,
            l=lambda: nn.GRU(8, 5, batch_first=True),
            c=linear(8, 5),
        ),
        A8 | {"c": 5},
    ),
    "LSTM, state of another": (
        sequence(
            lambda m, x: m.l(x, m.c(x)[1])[0][:, -1],
            5,
            l=lambda: nn.LSTM(8, 5, batch_first=True),
            c=lambda: nn.LSTM(8, 5, batch_first=True),
        ),
        A8 | {"c": 5},
    ),
    "LSTM, zeros as many as an attribute says": (
        sequence(
            lambda m, x: m.l(
                x, (torch.zeros(1, len(x), m.n).to(x), x.new_zeros(1, len(x), m.n))
            )[0][:, -1],
            5,
            l=lambda: nn.LSTM(8, 5, batch_first=True),
            n=lambda: 5,
        ),
        A8 | {"l": 5},
    ),
    **{
        f"{kind.__name__} by steps": (
            sequence(by_steps, 5, l=partial(kind, 8, 5)),
            A8 | {"l": 5},
        )
        for kind in (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
    },
    "Unflatten": (
        row(lambda m, x: m.l(x).flatten(1), l=lambda: nn.Unflatten(1, (4, 2))),
        {"inputs": 6, "a": 4},
    ),
    "Unfold and Fold": (
        image(
            lambda m, x: m.c(m.l(x)),
            l=lambda: nn.Unfold(2, stride=2),
            c=lambda: nn.Fold(6, 2, stride=2),
        ),
        I8,
    ),
    "LayerNorm over positions": (
        sequence(
            lambda m, x: m.l(x.transpose(1, 2)).mean(2),
            l=lambda: LayerNorm(5, 5, 1e-5, True, True),
        ),
        A8,
    ),
    "LSTM, state": (
        sequence(
            lambda m, x: torch.cat(m.l(x)[1], -1)[0],
            10,
            l=lambda: nn.LSTM(8, 5, batch_first=True),
        ),
        A8 | {"l": 5},
    ),
    "GRU, state given that zeros leave": (
        sequence(
            lambda m, x: m.l(x, m.c(x.mean(1)).sigmoid()[None])[0][:, 0],
            5,
            l=lambda: nn.GRU(8, 5, batch_first=True),
            c=linear(8, 5),
        ),
        A8 | {"c": "zeroed, they still add to a sum of products, a mean or a maximum"},
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
    "hooks": (
        row_through(lambda: hooked(nn.Linear(8, 8))),
        no_rule("Linear 'l' with hooks"),
    ),
    "orthogonal": (
        row_through(lambda: orthogonal(nn.Linear(8, 8))),
        no_rule("ParametrizedLinear 'l'"),
    ),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])


def test_layers_without_a_rule_are_named_themselves():
    for name in ("orthogonal", "hooks", "MaxPool2d, indices"):
        module, shape = made(ALL[name][0])
        network = find_groups(module, shape)
        why = {"l": network.kept_whole["a"]} if [*module.l.parameters()] else {}
        assert network.without_rule == why


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_scripted_layer_is_of_one_piece():
    layers = nn.Linear(6, 8), torch.jit.script(nn.Linear(8, 8)), nn.Linear(8, 2)
    network = find_groups(nn.Sequential(*layers), (6,))
    why = "there is no rule for RecursiveScriptModule '1'"
    assert network.kept_whole == {"0": why, "1": why}


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_convolutions_of_timm_that_pad_as_tensorflow_does_are_cut_exactly(share):
    timm = pytest.importorskip("timm")
    same = timm.layers.Conv2dSame

    def forward(m, x):
        return m.z(m.c(m.b(m.d(m.a(x)).relu()).sigmoid()).mean((2, 3)))

    layers = {"a": same(3, 8, 3, stride=2), "d": same(8, 8, 3, groups=8)}
    layers |= {"b": same(8, 6, 3), "c": same(6, 4, 3), "z": nn.Linear(4, 2)}
    module = shaken(Net(forward, **layers).double())
    network = find_groups(module, (3, 9, 9))
    # a constant of "b" is left, which padding surrounds: the weights of "c" go with it
    assert not network.kept_whole
    _, difference = cut(network, random_masks(network, share))
    assert difference < 1e-10
