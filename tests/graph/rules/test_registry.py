import subprocess
import sys

import pytest
import torch
from _cases import (
    A8,
    CONSTANT,
    linear,
    made,
    row,
    row_through,
    sequence,
)
from _networks import assert_cuts_are_exact, compact, random_masks
from joblib.externals.loky.backend.reduction import dumps
from torch import nn

from skjointprune import register_rule
from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.registry import REGISTERED, layer_rule


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
    delattr(Scale, REGISTERED)


SCALED = {
    "once": row(lambda m, x: m.l(x), l=lambda: Scale(8)),
    "on two": row(lambda m, x: m.l(x, m.c(x)), l=lambda: Scale(8), c=linear(8, 8)),
}


def test_a_layer_of_ones_own_cannot_be_traced_without_a_rule():
    with pytest.raises(ValueError, match=r"could not be traced .* register a rule"):
        find_groups(*made(SCALED["once"]))


@pytest.mark.parametrize("how", SCALED)
def test_a_layer_of_ones_own_is_pruned_by_its_rule(rule, how):
    assert_cuts_are_exact(lambda: made(SCALED[how])[0], SCALED[how][0])
    network = find_groups(*made(SCALED[how]))
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
        network = find_groups(*made(row_through(lambda kind=kind: kind(8))))
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
        assert_cuts_are_exact(lambda: made(case)[0], case[0])
        network = find_groups(*made(case))
        assert network.kept_whole == {}
        case = sequence(lambda m, x: m.l(x.sigmoid()).mean(1), 3, l=Mixing)
        network = find_groups(*made(case))
        assert network.kept_whole == {"a": CONSTANT.format("l")}
    finally:
        delattr(Mixing, REGISTERED)


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
        assert_cuts_are_exact(lambda: made(case)[0], case[0])
        network = find_groups(*made(case))
        assert {c.name: c.size for c in network.channels} == A8 | {"c": 7, "l": 5}
    finally:
        delattr(Interaction, REGISTERED)


def test_a_rule_that_fails_is_named_with_its_layer(monkeypatch):
    def wrong(layer, name, x, labels):
        labels.produce(f"{name}.weigth", 0)

    monkeypatch.setattr(Scale, REGISTERED, wrong, raising=False)
    says = r"rule for Scale 'l' raises AttributeError: .*weigth.*Correct it"
    with pytest.raises(ValueError, match=says):
        find_groups(*made(SCALED["once"]))


def test_a_rule_may_decline():
    register_rule(Scale, lambda layer, name, x, labels: NotImplemented)
    try:
        network = find_groups(*made(SCALED["once"]))
        why = "there is no rule for Scale 'l'"
        assert network.kept_whole == {"a": why, "l": why}
    finally:
        delattr(Scale, REGISTERED)


def test_labels_of_another_shape_are_refused():
    register_rule(Scale, lambda layer, name, x, labels: x[:, :1])
    try:
        with pytest.raises(ValueError, match=r"shape \(2, 1\) .* one label for each"):
            find_groups(*made(SCALED["once"]))
    finally:
        delattr(Scale, REGISTERED)


@pytest.mark.parametrize("layer", [nn.Linear(1, 1), int, "Linear"])
def test_a_rule_is_for_a_class_of_module(layer):
    with pytest.raises(TypeError, match="must be a class of"):
        register_rule(layer, lambda layer, name, x, labels: x)


def test_a_rule_can_be_called():
    with pytest.raises(TypeError, match="must be a function of"):
        register_rule(Scale, "rule")


IN_ANOTHER_PROCESS = """
import pickle, sys
from skjointprune._graph.rules.registry import layer_rule
layer = pickle.load(sys.stdin.buffer)
assert "test_register_rule" not in sys.modules
assert layer_rule(layer(3))(layer, "", "labels", None) == "labels"
"""


def test_a_rule_goes_with_its_class_to_another_process():
    class OfANotebook(nn.Linear):
        def __init__(self, size):
            super().__init__(size, size)

        def forward(self, x):
            return x

    register_rule(OfANotebook, lambda layer, name, x, labels: x)
    assert layer_rule(nn.Linear(3, 3)) is not layer_rule(OfANotebook(3))
    subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=bytes(dumps(OfANotebook)),
        check=True,
    )
