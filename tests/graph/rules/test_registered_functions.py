"""Rules that are registered for functions."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from _cases import made, row, sequence, whole
from _networks import assert_cuts_are_exact
from joblib.externals.loky.backend.reduction import dumps
from torch import nn

from skjointprune import register_rule
from skjointprune._graph.groups import find_groups


def gated(x, scale=None):
    """Branches on values: torch.fx cannot look into it."""
    if (x < -1e9).any():
        return x
    value, gate = x.chunk(2, -1)
    value = value * gate.sigmoid()
    return value if scale is None else value * scale


def gated_rule(context, x, scale=None):
    value, gate = x.chunk(2, -1)
    context.tie(value, gate)
    if scale is not None:
        context.tie(value, scale)
    return value


_private_name = gated
no_module = SimpleNamespace(gated=gated)

GATED = {
    "by name": row(lambda m, x: gated(x), 4),
    "by another name": row(lambda m, x: _private_name(x), 4),
    "with a parameter": row(
        lambda m, x: gated(x, scale=m.p), 4, p=lambda: nn.Parameter(torch.rand(4))
    ),
}


def kept(case):
    """Say why the units of `a` are kept whole."""
    return find_groups(*made(case)).kept_whole["a"]


@pytest.mark.parametrize("how", GATED)
def test_a_function_of_ones_own_is_pruned_by_its_rule(how):
    case = GATED[how]
    with pytest.raises(ValueError, match="could not be traced"):
        find_groups(*made(case))
    with register_rule(gated, gated_rule):
        channels = find_groups(*made(case)).channels
        assert {c.name: c.pinned or c.size for c in channels} == {"inputs": 6, "a": 4}
        assert_cuts_are_exact(lambda: made(case)[0], case[0])
    with pytest.raises(ValueError, match="could not be traced"):
        find_groups(*made(case))


def test_a_function_that_is_found_by_no_name_of_a_module_is_looked_into():
    case = row(lambda m, x: no_module.gated(x), 4)
    with (
        register_rule(gated, gated_rule),
        pytest.raises(ValueError, match="could not be traced"),
    ):
        find_groups(*made(case))


def averaged(context, equation, x, weights):
    """Say how the weighted mean of what is at some positions reads channels."""
    if equation != "nps,npw->nsw":
        return NotImplemented
    context.pin(weights, "they are weights")
    return context.spread(context.channels(x, -1), 1)


def with_weights(equation):
    return sequence(
        lambda m, x: torch.einsum(equation, x.relu(), m.w(x).softmax(1)).flatten(1),
        24,
        w=lambda: nn.Linear(8, 3),
    )


def test_a_function_of_torch_is_pruned_by_its_rule():
    case = with_weights("nps,npw->nsw")
    why = "all of them meet others at 'einsum'"
    assert find_groups(*made(case)).kept_whole == {"w": why}
    with register_rule(torch.einsum, averaged):
        channels = find_groups(*made(case)).channels
        assert {c.name: c.pinned or c.size for c in channels} == whole(
            8, w="they are weights"
        )
        assert_cuts_are_exact(lambda: made(case)[0], case[0])


def test_a_rule_of_a_function_may_decline():
    case = with_weights("nps,npw->nws")
    with register_rule(torch.einsum, averaged):
        assert kept(case) == "there is no rule for einsum at 'einsum'"


def test_a_rule_is_for_one_function_and_not_for_others_of_its_name():
    function = row(lambda m, x: torch.cumsum(x, 1))
    method = row(lambda m, x: x.cumsum(1))
    keeps = "'cumsum' couples them"
    with register_rule(torch.cumsum, lambda context, x, dim: NotImplemented):
        assert kept(function) == "there is no rule for cumsum at 'cumsum'"
        assert kept(method) == keeps
    with register_rule(torch.Tensor.cumsum, lambda context, x, dim: NotImplemented):
        assert kept(method) == "there is no rule for cumsum at 'cumsum'"
        assert kept(function) == keeps


def test_a_registered_rule_goes_before_that_of_a_product():
    def product(m, x):
        return nn.functional.linear(x, m.p)

    case = row(product, 5, p=lambda: nn.Parameter(torch.ones(5, 8)))
    assert find_groups(*made(case)).kept_whole == {}
    with register_rule(nn.functional.linear, lambda context, *args: NotImplemented):
        assert kept(case) == "there is no rule for linear at 'linear'"


def test_a_rule_that_fails_is_named_with_its_function():
    says = r"rule for gated at 'gated' raises TypeError: .*argument.*Correct it"
    with (
        register_rule(gated, lambda context, x, y, z: x),
        pytest.raises(ValueError, match=says),
    ):
        find_groups(*made(GATED["by name"]))


def test_labels_of_another_shape_are_refused():
    says = r"for gated returned labels of shape \(2, 8\) .* one label for each"
    with (
        register_rule(gated, lambda context, x: x),
        pytest.raises(ValueError, match=says),
    ):
        find_groups(*made(GATED["by name"]))


def test_a_function_is_itself_again_after_it_was_traced():
    with register_rule(gated, gated_rule):
        find_groups(*made(GATED["by name"]))
        assert globals()["gated"] is globals()["_private_name"] is no_module.gated
    assert gated(torch.ones(2, 4)).shape == (2, 2)


OF_A_NOTEBOOK = """
from torch import nn
from skjointprune import register_rule

def doubled(x):
    return 2 * x if (x > -1e9).all() else x

class Doubled(nn.Linear):
    def forward(self, x):
        return doubled(super().forward(x))

register_rule(doubled, lambda context, x: x)
"""
IN_ANOTHER_PROCESS = """
import pickle, sys
from torch import nn
from skjointprune._graph.groups import find_groups
layer = pickle.load(sys.stdin.buffer)
network = find_groups(nn.Sequential(layer(3, 4), nn.Linear(4, 2)), (3,))
assert network.kept_whole == {}
"""


def test_a_rule_goes_with_its_function_to_another_process():
    notebook = {"__name__": "__main__"}
    exec(OF_A_NOTEBOOK, notebook)
    subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=bytes(dumps(notebook["Doubled"])),
        check=True,
    )
