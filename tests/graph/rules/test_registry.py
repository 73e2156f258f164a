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
from torchvision.ops import StochasticDepth, stochastic_depth

from skjointprune import register_rule
from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.registry import ATTRIBUTE, layer_rule


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

    def of_scale(layer, name, x, context):
        if isinstance(x, tuple):
            context.tie(*x)
            x = x[0]
        v = context.channels(x)
        context.produce(f"{name}.factor", 0, v)
        context.count(f"{name}.size", v)
        return x

    with register_rule(Scale, of_scale):
        yield


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
    def of_mixing(layer, name, x, context):
        context.read(f"{name}.weight", 0, x, of=-1)
        return context.spread(context.produce(f"{name}.weight", 1), -1)

    with register_rule(Mixing, of_mixing):
        case = sequence(lambda m, x: m.l(x).mean(1), 3, l=Mixing)
        assert_cuts_are_exact(lambda: made(case)[0], case[0])
        network = find_groups(*made(case))
        assert network.kept_whole == {}
        case = sequence(lambda m, x: m.l(x.sigmoid()).mean(1), 3, l=Mixing)
        network = find_groups(*made(case))
        assert network.kept_whole == {"a": CONSTANT.format("l")}


class Interaction(nn.Module):
    """Products of two kinds of units, of which each output is a sum."""

    def __init__(self, one, other, out):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(out, one, other))

    def forward(self, x, y):
        return torch.einsum("oij,bi,bj->bo", self.weight, x, y)


def test_a_layer_may_read_two_tensors():
    def of_interaction(layer, name, x, context):
        for dim, read in enumerate(x, start=1):
            context.read(f"{name}.weight", dim, read, of=-1)
        return context.spread(context.produce(f"{name}.weight", 0), -1)

    with register_rule(Interaction, of_interaction):
        case = row(
            lambda m, x: m.l(x, m.c(x)),
            5,
            c=linear(8, 7),
            l=lambda: Interaction(8, 7, 5),
        )
        assert_cuts_are_exact(lambda: made(case)[0], case[0])
        network = find_groups(*made(case))
        assert {c.name: c.size for c in network.channels} == A8 | {"c": 7, "l": 5}


def test_a_rule_that_fails_is_named_with_its_layer():
    def wrong(layer, name, x, context):
        context.produce(f"{name}.weigth", 0)

    says = r"rule for Scale 'l' raises AttributeError: .*weigth.*Correct it"
    with register_rule(Scale, wrong), pytest.raises(ValueError, match=says):
        find_groups(*made(SCALED["once"]))


def test_a_rule_may_decline():
    with register_rule(Scale, lambda layer, name, x, context: NotImplemented):
        network = find_groups(*made(SCALED["once"]))
        why = "there is no rule for Scale 'l'"
        assert network.kept_whole == {"a": why, "l": why}


def test_labels_of_another_shape_are_refused():
    says = r"for l returned labels of shape \(2, 1\) .* one label for each"
    with (
        register_rule(Scale, lambda layer, name, x, context: x[:, :1]),
        pytest.raises(ValueError, match=says),
    ):
        find_groups(*made(SCALED["once"]))


def test_a_rule_that_returns_nothing_is_refused():
    says = r"for l returned NoneType for an output of shape .* Let it return one label"
    with (
        register_rule(Scale, lambda layer, name, x, context: None),
        pytest.raises(ValueError, match=says),
    ):
        find_groups(*made(SCALED["once"]))


@pytest.mark.parametrize("layer", [nn.Linear(1, 1), int, "Linear"])
def test_a_rule_is_for_a_class_of_module_or_a_function(layer):
    says = r"must be a class of torch\.nn\.Module, or a function\. Got .*; pass"
    with pytest.raises(TypeError, match=says):
        register_rule(layer, lambda layer, name, x, context: x)


@pytest.mark.parametrize("rule", ["rule", lambda layer, name, x: x, lambda *, x: x])
def test_a_rule_of_a_layer_takes_four_arguments(rule):
    says = r"must be a function of \(layer, name, x, context\)\. Got .*; see docs"
    with pytest.raises(TypeError, match=says):
        register_rule(Scale, rule)


@pytest.mark.parametrize("rule", ["rule", lambda: None, lambda *, x: x])
def test_a_rule_of_a_function_takes_a_context_first(rule):
    says = r"must be a function of \(context, and the function's arguments\)\. Got .*;"
    with pytest.raises(TypeError, match=says):
        register_rule(torch.cumsum, rule)


def elementwise(layer, name, x, context):
    return x


def declined(layer, name, x, context):
    return NotImplemented


def test_the_rule_there_was_holds_again_after_one_is_removed():
    before = layer_rule(nn.Linear(1, 1))
    first = register_rule(nn.Linear, elementwise)
    second = register_rule(nn.Linear, declined)
    assert layer_rule(nn.Linear(1, 1)) is declined
    second.remove()
    assert layer_rule(nn.Linear(1, 1)) is elementwise
    first.remove()
    first.remove()  # does nothing
    assert layer_rule(nn.Linear(1, 1)) is before


def test_rules_can_be_removed_in_any_order():
    first, second = (register_rule(Scale, r) for r in (elementwise, declined))
    first.remove()
    assert layer_rule(Scale(1)) is declined
    second.remove()
    assert layer_rule(Scale(1)) is None


def test_a_handle_is_a_context_manager_that_removes_even_after_an_error():
    with pytest.raises(KeyError), register_rule(Scale, elementwise) as handle:
        assert handle.rule is layer_rule(Scale(1)) is elementwise
        raise KeyError
    assert layer_rule(Scale(1)) is None


def test_classes_and_functions_of_others_carry_no_attribute():
    others = (nn.Linear, StochasticDepth, Scale, torch.einsum, stochastic_depth)
    before = [set(vars(other)) for other in others]
    handles = [register_rule(other, elementwise) for other in others]
    assert [set(vars(other)) for other in others] == before
    for handle in handles:
        handle.remove()


def test_a_class_that_carries_its_rule_carries_none_after_it_is_removed():
    class OfANotebook(nn.Linear):
        pass

    with register_rule(OfANotebook, elementwise):
        assert ATTRIBUTE in vars(OfANotebook)
    assert ATTRIBUTE not in vars(OfANotebook)


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

    register_rule(OfANotebook, lambda layer, name, x, context: x)
    assert layer_rule(nn.Linear(3, 3)) is not layer_rule(OfANotebook(3))
    subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=bytes(dumps(OfANotebook)),
        check=True,
    )
