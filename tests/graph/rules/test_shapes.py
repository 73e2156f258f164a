import pytest
import torch
from _cases import (
    A8,
    HALF,
    I3,
    I8,
    IMAGE,
    ROW,
    SEQUENCE,
    TOGETHER,
    UNKNOWN,
    check,
    conv,
    flat,
    image,
    linear,
    no_rule,
    parameter,
    pooled,
    row,
    sequence,
    two,
    whole,
)
from torch.nn import functional as F
from torchvision.ops import Permute


def shuffled(m, x):
    b, c, h, w = x.size()
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def gated(x):
    g, h = x.chunk(2, dim=1)
    return g.sigmoid() * h


def dense(m, x):
    one = m.a(x).relu()
    two = m.c(torch.cat([x, one], 1)).relu()
    return pooled(m.b(torch.cat([x, one, two], 1)))


def attend_to_columns(m, x):
    """Embed each column by a parameter, and let it attend to others, in two heads."""
    x = x[..., None] * m.e
    q, k, v = (
        layer(x).reshape(*x.shape[:2], 2, 4).transpose(1, 2)
        for layer in (m.q, m.k, m.v)
    )
    weights = (q @ k.mT / 2).softmax(-1)
    return m.b((x + m.p((weights @ v).transpose(1, 2).flatten(2))).mean(1))


def heads(m, x):
    b, t, _ = x.size()
    return x.view(b, t, 2, -1).transpose(1, 2).mean(2).flatten(1)


def tokens(m, x):
    x = m.a(x).flatten(2).transpose(1, 2)
    return m.b(m.c(x).mean(1))


def padded_shortcut(m, x):
    x = m.a(x).relu()
    return pooled(m.b(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + m.c(x)))


def largest(m, x):
    values, at = m.c(x).topk(2, 1)
    return (x.gather(1, at.expand(-1, -1, x.shape[2])) * values.sigmoid()).sum(1)


FOR_ALL = "it is one for all at 'expand'"
# What is pruned, and how many groups there are.
PRUNED = {
    "PixelShuffle, flattened": (
        flat(lambda m, x: F.pixel_shuffle(x, 2).flatten(1), 128, a=conv(4, 8, 3)),
        {"inputs": 4, "a": 2},
    ),
    "channels shuffled by hand": (image(shuffled), HALF),
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
    "view, heads, beside a parameter": (
        (
            ROW,
            attend_to_columns,
            {"e": parameter(6, 8), "b": linear(8, 2)}
            | {name: linear(8, 8) for name in "qkvp"},
        ),
        {"inputs": "they are read in groups", "e": 8, "q": 2},
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
    "slices of halves, by a size": (
        row(lambda m, x: x[:, : (h := x.shape[1] // 2)] * x[:, h:], 4),
        {"inputs": 6, "a": 4},
    ),
    "slice of a quarter, by a size of what is alike": (
        two(lambda x, y: (x + y)[:, : x.size(-1) // 4], b=linear(2, 2)),
        {"inputs": 6, "a": 2},
    ),
    "slice of positions": (image(lambda m, x: x[..., 1:-1, ::2]), I8),
    "one position": (sequence(lambda m, x: x[:, -1]), A8),
    "None": (row(lambda m, x: x[:, :, None, None].flatten(1)), A8),
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
    "cat with an empty slice": (
        sequence(lambda m, x: torch.cat([x[:, :0], x.relu()], 1).mean(1)),
        A8,
    ),
    "hstack": (two(lambda x, y: torch.hstack([x, y]), b=linear(16, 2)), A8 | {"c": 8}),
    "windows of positions": (
        sequence(lambda m, x: x.unfold(1, 3, step=1).flatten(2).mean(1), 24),
        A8,
    ),
    "patches, put together": (
        image(lambda m, x: F.fold(F.unfold(x, 2, stride=2), 6, 2, stride=2)),
        I8,
    ),
    "the largest positions": (sequence(largest, c=linear(8, 1)), A8 | {"c": FOR_ALL}),
    "a mask of positions": (
        sequence(
            lambda m, x: (
                (x @ x.mT + torch.triu(torch.full((5, 5), -9.0), 1).to(x)).softmax(-1)
                @ x
            ).mean(1)
        ),
        A8,
    ),
    "column_stack": (
        two(lambda x, y: torch.column_stack([x, y]), b=linear(16, 2)),
        A8 | {"c": 8},
    ),
    "repeat_interleave": (row(lambda m, x: x.repeat_interleave(2, dim=1), 16), A8),
    "cat of rows": (row(lambda m, x: torch.cat([x[:3], x[3:]])), A8),
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
    "view_as": (
        sequence(lambda m, x: x.flatten(1).view_as(x).relu().mean(1)),
        A8,
    ),
    "select": (sequence(lambda m, x: x.select(1, 2) + x.narrow(1, 3, 1)[:, 0]), A8),
    "unbind": (sequence(lambda m, x: torch.stack(x.unbind(1), 1).mean(1)), A8),
    "squeeze": (
        flat(lambda m, x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1), 3),
        I3,
    ),
    "pad": (row(lambda m, x: F.pad(x, (1, 1), value=3.0), 10), A8),
    "pad of columns, channels last": (
        (
            IMAGE,
            lambda m, x: m.b(F.pad(m.a(x.movedim(1, 3)), (0, 0, 0, 2)).mean((1, 2))),
            {"a": linear(4, 8), "b": linear(8, 2)},
        ),
        I8,
    ),
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
    "product of sizes": (
        flat(lambda m, x: x.view(x.size(0), x.shape[1:].numel()), 48),
        I3,
    ),
    "number of all numbers": (
        flat(lambda m, x: x.view(x.size(0), x.numel() // x.size(0)), 48),
        I3,
    ),
    "list of positions": (sequence(lambda m, x: x[:, [0, 2]].mean(1)), A8),
    "literal flat size": (
        flat(lambda m, x: x.view(-1, 48), 48),
        I3,
    ),
    "literal sizes of maps": (
        (
            ROW,
            lambda m, x: pooled(m.b(m.a(x).unflatten(1, (4, 2, 2)))),
            {"a": linear(6, 16), "b": conv(4, 2, 1)},
        ),
        {"inputs": 6, "a": 4},
    ),
    "split, called otherwise": (
        row(lambda m, x: x.split(split_size=4, dim=1)[0], 4),
        {"inputs": 6, "a": 4},
    ),
    "literal expansion": (
        row(lambda m, x: x.expand(-1, 8)),
        A8,
    ),
    "split": (
        row(lambda m, x: x.split([4, 4], 1)[1], 4),
        {"inputs": 6, "a": 4, "a#2": 4},
    ),
    "size of other channels": (
        row(lambda m, x: m.c(x).view(-1, x.shape[1]), c=linear(8, 8)),
        A8 | {"c": 8},
    ),
}

# What is kept whole, and why.
KEPT = {
    "literal repetition": (
        row(lambda m, x: x * m.p.repeat(1, 8), p=parameter(1, 1)),
        whole("the size of 'repeat' does not follow them"),
    ),
    "reflected units": (
        row(lambda m, x: F.pad(x[:, None], (1, 1), mode="reflect")[:, 0], 10),
        whole(TOGETHER),
    ),
    "pad by their number": (
        sequence(lambda m, x: F.pad(x, (0, 0, 0, x.shape[2] - 7)).mean(1)),
        whole("their number is part of what 'pad' pads"),
    ),
    "units cropped by padding": (
        row(lambda m, x: F.pad(x, (-1, 0)), 7),
        whole(why := "'pad' pads them by a number written in the code", **{"a#2": why}),
    ),
    "bits": (
        row(lambda m, x: x.view(x.dtype)),
        no_rule("view at 'view'", UNKNOWN.format("a.weight")),
    ),
    "tensor of the code": (
        row(lambda m, x: x * torch.arange(8)),
        whole("'mul' has a number for each, which does not go"),
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
    "squeeze of all": (
        flat(lambda m, x: F.adaptive_avg_pool2d(x, 1).squeeze((1, 2, 3)), 3),
        whole("'squeeze' would drop a last one with its dimension", 4),
    ),
    "roll": (
        row(lambda m, x: x.roll(2, 1)),
        whole("'roll' moves them by a number written in the code"),
    ),
    "slice": (
        row(lambda m, x: x[:, :3], 3),
        whole("'getitem' takes them by their positions", **{"a#2": 5}),
    ),
    "slice of a half, by a size of others": (
        two(lambda x, y: x[:, : y.size(-1) // 2], b=linear(4, 2)),
        whole(why := "their number is a position at 'getitem'", c=why),
    ),
    "slice to the end": (
        row(lambda m, x: x[:, 3:], 5),
        whole("'getitem' takes them by their positions", **{"a#2": 5}),
    ),
    "slice of the last": (
        row(lambda m, x: x[:, -3:], 3),
        {
            "inputs": 6,
            "a": 5,
            "a#2": "'getitem' takes them by their positions",
        },
    ),
    "slice between two bounds": (
        row(lambda m, x: x[:, 1:-2], 5),
        whole(
            why := "'getitem' takes them by their positions",
            **{"a#2": why},
        ),
    ),
    "slice in steps": (
        row(lambda m, x: x[:, ::2], 4),
        whole(why := "'getitem' takes them by their positions", **{"a#2": why}),
    ),
    "slice of the inputs": (
        (ROW, lambda m, x: m.b(x[:, :4]), {"b": linear(4, 2)}),
        {"inputs": "'getitem' takes them by their positions"},
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
    "stack of what has no rule": (
        sequence(lambda m, x: torch.stack(x.tensor_split(5, 1), 1).mean(1)[:, 0]),
        no_rule("tensor_split at 'tensor_split'"),
    ),
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
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])
