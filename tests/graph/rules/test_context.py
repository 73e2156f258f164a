import inspect

import pytest
from torch import nn

from skjointprune._graph.labels import CONSTANT, Labels
from skjointprune._graph.rules.context import RuleContext, filled

CALLS = {
    "average",
    "carry",
    "channels",
    "count",
    "pin",
    "produce",
    "read",
    "spread",
    "tie",
}


@pytest.fixture
def labels():
    return Labels(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))


@pytest.fixture
def context(labels):
    return RuleContext(labels, "node", (2, 3))


def test_a_context_has_the_documented_calls_and_its_node_and_no_more(context):
    public = {name for name in dir(context) if not name.startswith("_")}
    assert {name for name in public if callable(getattr(context, name))} == CALLS
    assert public - CALLS == {"labels", "node", "shape", "owner", "asked"}
    assert (context.node, context.shape) == ("node", (2, 3))
    for name in CALLS:
        assert inspect.getdoc(getattr(context, name))


def test_what_is_said_in_one_context_is_known_in_another(labels, context):
    other = RuleContext(labels, "other", (2, 4))
    made = context.produce("0.weight", 0)
    other.read("0.weight", 1, read := labels.fresh(4).expand(2, 4), of=-1)
    other.tie(made, read[0, :3])
    context.pin(made[:1], "first")
    assert labels.is_pinned(read[:, :1])
    assert [*labels.bound] == [("0.weight", 0), ("0.weight", 1)]


def test_channels_of_a_spread_are_the_labels_of_before(labels):
    a = labels.fresh(5)
    for dim, shape in ((1, (2, 5, 4)), (-1, (2, 4, 5)), (2, (2, 4, 5))):
        context = RuleContext(labels, "node", shape)
        spread = context.spread(a, dim)
        assert spread.shape == shape
        assert context.channels(spread, dim).equal(a)
    assert labels.roots(a).equal(a)  # nothing was tied


def test_slots_that_are_used_twice_are_of_the_same_channels(labels, context):
    first = context.produce("0.weight", 0)
    again = context.produce("0.weight", 0, labels.fresh(3))
    assert again.equal(first)
    x, y = labels.fresh(4), labels.fresh(4)
    context.read("0.weight", 1, x, of=0)
    context.read("0.weight", 1, y, of=0)
    assert labels.roots(x).equal(labels.roots(y))


@pytest.mark.parametrize(
    ("shape", "constant"),
    [((), True), ((1,), True), ((3,), False), ((2, 1, 1), True), ((2, 3), False)],
)
def test_what_the_code_makes_is_constant_where_it_fits_whatever_it_meets(
    labels, shape, constant
):
    made = filled(RuleContext(labels, "zeros", shape))
    assert made.shape == shape
    assert bool((made == CONSTANT).all()) == constant
    assert ("the size of 'zeros'" in str(labels.reasons_of_roots())) != constant
