import numpy as np
import pytest
import torch
from _pictures import SmallConvNet
from torch import nn

from skjointprune import JointPruneClassifier
from skjointprune._graph.costs import macs_of_weights
from skjointprune._graph.groups import find_groups
from skjointprune._pruning.gates import InputGates
from skjointprune._pruning.prices import Prices
from skjointprune.modules import MLP
from skjointprune.penalties import GroupL0

COLUMNS = InputGates(("channel",), (6,))


def price(prune="joint", **kwargs):
    return Prices(GroupL0(), prune, **kwargs)


def dense(*sizes, norm=None):
    return find_groups(MLP(6, 2, sizes, norm=norm), (6,))


def convolutions():
    return find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))


@pytest.mark.parametrize(
    ("prune", "names"),
    [
        ("joint", ["inputs", "linear1"]),
        ("inputs", ["inputs"]),
        ("weights", ["linear1"]),
        ("none", []),
    ],
)
def test_what_may_go_is_what_was_asked_for(prune, names):
    targets = price(prune).targets(dense(5), COLUMNS)
    assert [c.name for c in targets] == names


def test_pinned_channels_may_not_go():
    network = dense(5, norm="layer")
    assert network.hidden[0].pinned
    assert price().targets(network, COLUMNS) == [network.inputs]


def test_gates_may_go_where_the_inputs_may():
    network, gates = convolutions(), InputGates(("row",), (3, 8, 9))
    assert price("inputs").targets(network, gates) == gates.channels
    assert price("weights").targets(network, gates) == network.hidden


@pytest.mark.parametrize("what", ["macs", "params"])
def test_unit_costs_are_the_root_of_what_a_unit_saves_relative_to_the_mean_unit(what):
    network = dense(5, 3)
    found = price(unit_cost=what).group_costs(network, COLUMNS)
    costs = [found[c.name] for c in network.hidden]
    first, second = {"macs": (6 + 3, 5 + 2), "params": (6 + 1 + 3, 5 + 1 + 2)}[what]
    mean = (5 * first + 3 * second) / 8
    assert costs == pytest.approx([(first / mean) ** 0.5, (second / mean) ** 0.5])


def test_constant_unit_cost_leaves_all_costs_at_one():
    assert price().group_costs(dense(5, 3), COLUMNS) == {}


@pytest.mark.parametrize("what", ["macs", "params"])
def test_without_units_there_is_no_mean_unit_to_compare_with(what):
    network = find_groups(nn.Linear(6, 2), (6,))
    assert price(unit_cost=what).group_costs(network, COLUMNS) == {}


def test_the_cost_of_a_group_is_the_mean_over_its_inputs():
    costs = torch.tensor([1.0, 2.0, 4.0, 8.0, 3.0, 5.0])
    alone = price(costs=costs).group_costs(dense(5), COLUMNS)
    assert torch.equal(alone["inputs"], costs)
    groups = torch.tensor([0, 1, 1, 0, 2, 2])
    together = price(costs=costs, groups=groups).group_costs(dense(5), COLUMNS)
    assert together["inputs"].tolist() == [4.5, 3.0, 4.0]


def test_groups_are_numbered_anew_as_inputs_go():
    prices = price(
        groups=torch.tensor([3, 1, 1, 0, 2, 3]), costs=torch.arange(1.0, 7.0)
    )
    left = prices.keep_inputs(torch.tensor([True, False, False, True, True, True]))
    assert left.groups.tolist() == [2, 0, 1, 2]
    assert left.costs.tolist() == [1, 4, 5, 6]
    assert prices.groups.tolist() == [3, 1, 1, 0, 2, 3]  # as they were


def test_inputs_that_were_not_grouped_are_alone():
    prices = price()
    assert prices.number_groups(4).tolist() == [0, 1, 2, 3]
    assert prices.keep_inputs(torch.arange(4) > 1) == prices


def test_the_price_of_a_row_is_the_root_of_its_work_relative_to_the_mean_unit():
    network = convolutions()
    conv1, conv2, head = 72 * 8 * 27, 72 * 8 * 72, 8 * 2
    assert macs_of_weights(network) == conv1 + conv2 + head
    # each unit saves what makes it and what reads it
    units = (conv1 + conv2) + (conv2 + head)
    gates = InputGates(("row", "column"), (3, 8, 9))
    costs = price().group_costs(network, gates)
    assert costs.keys() == {"image rows", "image columns"}
    for channels, size in zip(gates.channels, (8, 9), strict=True):
        expected = np.sqrt((conv1 + conv2 + head) / size / (units / 16)) / 2
        assert costs[channels.name] == pytest.approx(expected)


def test_rows_get_no_dearer_as_others_go():
    network = convolutions()
    gates = InputGates(("row", "column"), (3, 8, 9))
    of_whole_images = price().group_costs(network, gates)
    gates.close("image rows", torch.arange(8) < 2)
    assert price().group_costs(network, gates) == of_whole_images


def test_dear_input_goes_and_its_copy_stays(quick, planted):
    X, y = planted
    X = np.c_[X, X[:, 1]]
    costs = np.ones(13)
    for dear, cheap in ((1, 12), (12, 1)):
        costs[[dear, cheap]] = 10, 1
        clf = quick(feature_costs=costs, n_features_to_select=3).fit(X, y)
        assert clf.support_[cheap] and not clf.support_[dear]


def test_equal_costs_are_as_none_and_costs_scale_alpha(quick, planted):
    X, y = planted
    plain = quick(prune="inputs", alpha=0.12).fit(X, y)
    ones = quick(prune="inputs", alpha=0.12, feature_costs=np.ones(12)).fit(X, y)
    twos = quick(prune="inputs", alpha=0.06, feature_costs=np.full(12, 2)).fit(X, y)
    np.testing.assert_array_equal(ones.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(twos.support_, plain.support_)


@pytest.mark.parametrize("unit_cost", ["macs", "params"])
def test_unit_costs_thin_the_layer_whose_units_are_dear(planted, unit_cost):
    X, y = planted
    wide = np.c_[X, np.random.default_rng(1).normal(size=(400, 60))]

    def units(cost):
        clf = JointPruneClassifier(
            (24, 24),
            alpha=0.05,
            prune="weights",
            unit_cost=cost,
            max_epochs=15,
            retrain_epochs=1,
            lr=1e-2,
            random_state=0,
        ).fit(wide, y)
        return list(clf.report_.pruned.units.values())

    first, second = units(unit_cost)
    first_even, second_even = units("constant")
    assert first < first_even  # 72 inputs read: dear
    assert second >= second_even


def test_round_numbers_of_units_are_left(quick, planted):
    def left(multiple):
        clf = quick(alpha=0.05, round_units_to=multiple, hidden_layer_sizes=(20, 18))
        return clf.fit(*planted).report_.pruned

    as_it_comes, rounded = left(1), left(8)
    assert any(n % 8 for n in as_it_comes.units.values())
    assert all(n in (8, 16) for n in rounded.units.values())
