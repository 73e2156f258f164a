import pytest
import torch
from _pictures import make
from torch import nn

from skjointprune import ImageInput, joint_prune_path
from skjointprune._graph.groups import find_groups
from skjointprune._pruning.gates import KINDS, InputGates


def test_a_gate_has_the_derivative_of_an_explicit_factor():
    gates = InputGates(("row", "column", "patch"), (2, 4, 5), patch_size=2)
    X = torch.randn(6, 2, 4, 5)
    weight = torch.randn(2, 4, 5)
    (gates.apply(X) * weight).sum().backward()
    product = X * weight
    torch.testing.assert_close(gates.gradient("image rows"), product.sum((0, 1, 3)))
    torch.testing.assert_close(gates.gradient("image columns"), product.sum((0, 1, 2)))
    patches = gates.gradient("image patches").view(2, 3)
    torch.testing.assert_close(patches[1, 2], product[:, :, 2:, 4:].sum())


def test_closed_gates_let_nothing_through_and_have_no_derivative():
    gates = InputGates(("row", "column"), (2, 4, 5))
    gates.close("image rows", torch.tensor([True, False, True, True]))
    gates.close("image rows", torch.tensor([False, True, True]))
    X = torch.ones(1, 2, 4, 5)
    assert gates.apply(X)[0, 0, :, 0].tolist() == [0, 0, 1, 1]
    gates.apply(X).sum().backward()
    assert gates.gradient("image rows").tolist() == [10, 10]
    assert gates.support()[1, :, 2].tolist() == [False, False, True, True]


def test_rows_behind_closed_gates_are_cut_out_and_their_neighbours_meet():
    gates = InputGates(("row", "column"), (2, 4, 5))
    gates.close("image rows", torch.tensor([True, False, True, True]))
    gates.close("image columns", torch.tensor([True, True, True, True, False]))
    X = torch.randn(3, 2, 4, 5)
    assert gates.apply(X).shape == X.shape
    gates.cut(nn.Conv2d(2, 1, 1), 2)
    left = gates.apply(X)
    assert torch.equal(left, X[:, :, [0, 2, 3], :4])
    left.sum().backward()
    expected = X.sum((0, 1))[:, :4].sum(1)[[0, 2, 3]]
    torch.testing.assert_close(gates.gradient("image rows"), expected)
    assert gates.support().sum() == 2 * 3 * 4
    again = InputGates(("row", "column"), (2, 4, 5))
    again.load_state_dict(gates.state_dict())
    assert torch.equal(again.apply(X), left)


def test_patches_are_cut_out_where_a_row_of_them_is_closed():
    gates = InputGates(("patch",), (1, 4, 4), patch_size=2)
    X = torch.arange(1.0, 17.0).view(1, 1, 4, 4)
    gates.close("image patches", torch.tensor([True, False, True, True]))
    gates.cut(nn.Conv2d(1, 1, 1), 1)
    assert gates.apply(X).shape == X.shape
    gates.close("image patches", torch.tensor([False, True, True]))
    gates.cut(nn.Conv2d(1, 1, 1), 1)
    assert torch.equal(gates.apply(X), X[:, :, 2:])


def test_images_for_a_network_of_one_size_are_zero_behind_closed_gates():
    gates = InputGates(("row",), (1, 4, 2))
    gates.close("image rows", torch.tensor([True, False, True, True]))
    gates.cut(nn.Sequential(nn.Flatten(), nn.Linear(8, 1)), 1)
    X = torch.ones(1, 1, 4, 2)
    assert gates.apply(X)[0, 0, :, 0].tolist() == [1, 0, 1, 1]


def test_no_more_is_cut_out_than_a_network_runs_without():
    gates = InputGates(("row",), (1, 4, 2))
    gates.close("image rows", torch.tensor([False, False, True, False]))
    gates.cut(nn.Conv2d(1, 1, (3, 1)), 1)
    left = gates.apply(torch.ones(1, 1, 4, 2))[0, 0, :, 0].tolist()
    assert sorted(left) == [0, 0, 1]


def test_gates_that_record_no_gradient_let_through_the_same_at_no_cost():
    gates = InputGates(("row", "column"), (2, 4, 5))
    X = torch.randn(3, 2, 4, 5)
    gates.records_gradient = False
    assert gates.apply(X) is X
    gates.close("image rows", torch.tensor([True, False, True, True]))
    without = gates.apply(X)
    assert not without.requires_grad
    gates.records_gradient = True
    assert torch.equal(gates.apply(X), without)


def test_a_gradient_is_given_once():
    gates = InputGates(("pixel",), (1, 2, 2))
    gates.apply(torch.ones(1, 1, 2, 2)).sum().backward()
    assert gates.gradient("image pixels").tolist() == [1, 1, 1, 1]
    assert gates.gradient("image pixels").tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(6,), (3, 4, 5)])
def test_inputs_without_gates_pass_as_they_are(shape):
    gates = InputGates(("channel",), shape)
    X = torch.randn(2, *shape)
    assert gates.apply(X) is X
    assert gates.channels == []
    assert gates.support().shape == shape
    assert gates.support().all()


def test_columns_of_a_table_go_from_the_network():
    network = find_groups(nn.Linear(6, 2), (6,))
    gates = InputGates(("channel",), (6,))
    (inputs,) = gates.prunable_inputs(network)
    assert inputs is network.inputs
    assert inputs.name not in gates


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (("row",), ["image rows"]),
        (("row", "channel"), ["inputs", "image rows"]),
        (("channel", "patch", "pixel"), ["inputs", "image patches", "image pixels"]),
    ],
)
def test_inputs_of_images_go_by_kind_and_channels_come_first(kinds, names):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    network = find_groups(nn.Sequential(nn.Conv2d(3, 4, 1), *head), (3, 4, 4))
    gates = InputGates(kinds, (3, 4, 4), patch_size=2)
    assert [c.name for c in gates.prunable_inputs(network)] == names
    assert [name for name in names if name in gates] == names["inputs" in names :]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_is_said_of_open_gates_is_spread_over_what_they_let_through(kind):
    gates = InputGates((kind,), (2, 4, 5), patch_size=2)
    (channels,) = gates.channels
    n = channels.size
    assert gates.count(channels.name) == n
    gates.close(channels.name, torch.arange(n) > 0)
    assert (gates.count(channels.name), channels.size) == (n, n - 1)
    spread = gates.spread(channels.name, torch.arange(1.0, n))
    assert spread.shape == (2, 4, 5)
    assert torch.equal(spread > 0, gates.support())
    assert spread.unique().tolist() == list(range(n))


def test_gates_are_called_as_no_layer_can_be():
    gates = InputGates(KINDS, (2, 4, 5), patch_size=2)
    names = [c.name for c in gates.channels]
    assert len(set(names)) == len(KINDS) - 1
    assert not any(name.isidentifier() for name in names)


class Rows(nn.Module):
    """Has a layer that is called as a kind of gate."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.rows = nn.Conv2d(n_features_in, 6, 3, padding=1)
        self.head = nn.Linear(6, n_outputs)

    def forward(self, X):
        return self.head(self.rows(X).relu().mean((2, 3)))


def test_a_layer_may_be_called_as_a_kind_of_gate(pictures):
    clf = make(
        module=Rows,
        images=ImageInput(groups="row"),
        n_features_to_select=4,
        max_epochs=10,
    )
    clf.fit(*pictures)
    assert clf.get_support().any(axis=(0, 2)).sum() == 4
    assert clf.report_.pruned.units["rows"] < 6


class WithoutRule(nn.Conv2d):
    def forward(self, X):
        return nn.functional.conv2d(X, self.weight - self.weight.mean(), self.bias)


class NothingButGates(nn.Module):
    """Has no unit and no channel that may go."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.conv = WithoutRule(n_features_in, 8, 3, padding=1)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.conv(X).relu().mean((2, 3)))


def test_a_path_needs_no_more_than_gates(pictures):
    params = {"images": ImageInput(groups="row"), "max_epochs": 8, "retrain_epochs": 1}
    clf = make(module=NothingButGates, **params)
    path = joint_prune_path(*pictures, n_alphas=4, estimator=clf)
    n_rows = path.supports.any(axis=(1, 3)).sum(axis=1)
    assert (n_rows[:-1] >= n_rows[1:]).all()
    assert n_rows[0] > n_rows[-1] == 1
