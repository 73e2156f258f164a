"""Small networks with something between two layers, and their expected groups."""

import sys

import torch
from _networks import Net, assert_cuts_are_exact, compact, random_masks
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.layers import LAYER_RULES

ROW, SEQUENCE, IMAGE = (6,), (5, 6), (4, 6, 6)

# Which channels there are, and how many groups of each.
A8, I8 = {"inputs": 6, "a": 8}, {"inputs": 4, "a": 8}
I3, HALF = {"inputs": 4, "a": 3}, {"inputs": 4, "a": 4}

# Why channels are kept whole.
TOGETHER = "they all hang together"
ADDS = "zeroed, they still add to a sum of products, a mean or a maximum"
UNKNOWN = "'{}', which reads them, is frozen or has no gradient"
WRITTEN = "their number, {}, is written at {!r}"
CONSTANT = "a constant is left of them that the bias of {!r} cannot take up"


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


def image_through(module, size=8, **layers):
    """Send the maps of a convolution through a layer."""
    return image(lambda m, x: m.l(x), size, l=module, **layers)


def row_through(module, size=8, **layers):
    """Send the units of a layer through another."""
    return row(lambda m, x: m.l(x), size, l=module, **layers)


def whole(why, inputs=6, **others):
    """Say why the units of `a` are kept whole, and how many others there are."""
    return {"inputs": inputs, "a": why, **others}


def no_rule(what, inputs=6, **others):
    return whole(f"there is no rule for {what}", inputs, **others)


def made(case):
    """Make the network of a case; return it, and the shape of a row."""
    shape, forward, layers = case
    return Net(forward, **{name: make() for name, make in layers.items()}), shape


def check(case, expected):
    """Assert that a network has the expected groups, and that cutting them is exact.

    The `repr` of layers that were cut is right: one made from it has the same shapes.
    """
    assert_cuts_are_exact(lambda: made(case)[0], case[0])
    network = find_groups(*made(case))
    assert {c.name: c.pinned or c.size for c in network.channels} == expected
    for layer in compact(network, random_masks(network)).module.modules():
        if type(layer) in LAYER_RULES:
            made_by = f"{type(layer).__name__}({layer.extra_repr()})"
            home = vars(sys.modules[type(layer).__module__])
            anew = eval(made_by, home | {"circular": "circular"})
            shapes = {k: v.shape for k, v in anew.state_dict().items()}
            assert shapes == {k: v.shape for k, v in layer.state_dict().items()}
