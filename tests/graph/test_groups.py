from contextlib import suppress

import pytest
import torch
from _networks import Net, Residual, assert_cuts_are_exact, cut, random_masks
from torch import nn
from torch.nn import functional as F

from skjointprune._graph.groups import find_groups, let_inputs_go
from skjointprune._graph.network import Axis
from skjointprune.modules import MLP


def test_chain_of_channels_runs_from_inputs_to_outputs():
    network = find_groups(MLP(5, 3, hidden_layer_sizes=(7, 4)), (5,))
    names = [(c.name, c.size) for c in network.channels]
    assert names == [("inputs", 5), ("linear1", 7), ("linear2", 4)]
    assert network.n_outputs == 3


def test_inputs_own_the_columns_that_read_them():
    network = find_groups(MLP(5, 3, hidden_layer_sizes=(7,)), (5,))
    assert network.inputs.axes == [Axis("linear1.weight", 1)]
    assert network.first_layers == ["linear1"]


def test_unit_owns_all_that_produces_carries_and_reads_it():
    network = find_groups(MLP(5, 3, hidden_layer_sizes=(7,)), (5,))
    (unit,) = network.hidden
    assert set(unit.produced_by) == {
        Axis("linear1.weight", 0),
        Axis("linear1.bias", 0),
        Axis("norm1.weight", 0),
        Axis("norm1.bias", 0),
    }
    assert {a.tensor for a in unit.carried_by} == {
        "norm1.running_mean",
        "norm1.running_var",
    }
    assert unit.read_by == [Axis("output.weight", 1)]


def test_what_couples_units_pins_them_and_says_so():
    network = find_groups(MLP(5, 3, hidden_layer_sizes=(7, 4), norm="layer"), (5,))
    assert set(network.kept_whole) == {"linear1", "linear2"}
    assert "LayerNorm" in network.kept_whole["linear1"]
    assert network.inputs.pinned is None


def test_functional_activations_in_a_custom_module_are_followed():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(5, 7)
            self.head = nn.Linear(7, 2)

        def forward(self, X):
            return self.head(torch.tanh(F.dropout(self.body(X), 0.1)).relu())

    network = find_groups(Net(), (5,))
    assert [c.name for c in network.channels] == ["inputs", "body"]
    assert not network.kept_whole


def test_something_before_the_first_linear_layer_is_not_a_first_layer():
    network = find_groups(nn.Sequential(nn.Tanh(), nn.Linear(5, 2)), (5,))
    assert network.first_layers == []


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, X):
        return self.layer(X) if X.sum() > 0 else X[:, :2]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, X):
        out = self.layer(X)
        return out, out


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, X, scale):
        return self.layer(X * scale)


class WithDefaults(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, X, mask=None, scale=2.0, relu=True, sizes=(1, 2), *rest, **more):
        X = self.body(X) * scale
        if mask is not None:
            X = X * mask
        return self.head(X.relu() if relu else X)


class WithKeywords(WithDefaults):
    def forward(self, X, *, mask=None):
        return super().forward(X, mask)


@pytest.mark.parametrize("kind", [WithDefaults, WithKeywords])
def test_parameters_of_forward_beside_the_rows_have_their_defaults(kind):
    network = find_groups(kind(), (4,))
    assert network.kept_whole == {}
    assert [c.size for c in network.channels] == [4, 6]


def test_tensors_that_the_code_makes_do_not_stay_in_the_module():
    class Masked(nn.Module):
        def __init__(self, wrong=False):
            super().__init__()
            self.wrong, self.layer = wrong, nn.Linear(4, 2)

        def forward(self, X):
            X = X * torch.tensor([1.0, 0.0, 1.0, 1.0])
            return self.layer(X[:, :3] if self.wrong else X)

    for module in (Masked(), Masked(wrong=True)):
        there = set(vars(module))
        with suppress(ValueError):
            find_groups(module, (4,))
        assert set(vars(module)) == there


def test_positions_say_how_often_a_row_uses_a_weight():
    layers = {
        "a": nn.Conv2d(3, 4, 3),
        "up": nn.ConvTranspose2d(4, 5, 2, stride=2),
        "b": nn.Linear(5, 2),
    }
    forward = lambda m, x: m.b(m.up(m.a(m.a(x)[:, :3])).mean((2, 3)))  # noqa: E731
    network = find_groups(Net(forward, **layers), (3, 6, 6))
    times = {"a": 4 * 4 + 2 * 2, "up": 2 * 2, "b": 1}
    assert network.positions == {f"{layer}.weight": n for layer, n in times.items()}


def test_a_layer_that_reads_tokens_has_the_inputs_last():
    layers = [nn.Linear(3, 4), nn.Flatten(), nn.Linear(20, 2)]
    network = find_groups(nn.Sequential(*layers), (5, 3))
    assert (network.input_dim, network.inputs.size) == (2, 3)
    network = find_groups(nn.Sequential(nn.Conv1d(5, 4, 3), *layers[1:]), (5, 7))
    assert (network.input_dim, network.inputs.size) == (1, 5)


def test_inputs_that_are_read_one_by_one_are_kept_whole():
    network = find_groups(nn.Sequential(nn.Flatten(), nn.Linear(15, 2)), (5, 3))
    reason = "they are read one by one, not by channels"
    assert network.kept_whole == {"inputs": reason}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_columns_that_are_read_in_groups_go_by_their_places(kind):
    layers = {"steps": kind(4, 8, batch_first=True), "head": nn.Linear(8, 2)}
    forward = lambda m, x: m.head(m.steps(x.view(len(x), 5, 4))[0][:, -1])  # noqa: E731
    network = find_groups(Net(forward, **layers), (20,))
    assert network.inputs.pinned and network.kept_whole == {}
    free = let_inputs_go(network, torch.rand(4, 20))
    assert free.inputs.pinned is None and free.inputs.size == 20
    assert cut(free, random_masks(free))[1] < 1e-5


def test_channels_of_images_that_are_read_in_groups_are_kept_whole():
    layers = [nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(54, 2)]
    network = find_groups(nn.Sequential(*layers), (4, 5, 5))
    assert network.kept_whole == {
        "inputs": "they are read in groups",
        "0": "they hang together with the inputs, which stay",
    }


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Branching(), "Branching could not be traced"),
        (Pair(), "logits alone"),
        (Scaled(), "takes a second input, scale. Give it a default"),
        (nn.Sequential(nn.Linear(4, 2), nn.Unflatten(1, (1, 2))), r"\(2, 1, 2\)"),
        (nn.Sequential(nn.Linear(3, 2)), "does not run on 4 inputs"),
        (nn.Sequential(nn.ReLU()), "no parameters to train"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_a_network_is_refused_with_the_reason(module, says):
    with pytest.raises(ValueError, match=says):
        find_groups(module, (4,))


def test_what_is_added_to_the_inputs_goes_with_them():
    network = find_groups(Residual(4, 2), (4,))
    (inputs,) = network.channels
    assert set(inputs.produced_by) == {Axis("body.weight", 0), Axis("body.bias", 0)}
    assert set(inputs.read_by) == {Axis("body.weight", 1), Axis("head.weight", 1)}


def test_what_has_no_rule_is_kept_whole_and_says_so():
    none = nn.TransformerEncoderLayer(5, 1)
    layers = [nn.Linear(4, 5), none, nn.Linear(5, 6), nn.Linear(6, 2)]
    network = find_groups(nn.Sequential(*layers), (4,))
    reason = "there is no rule for TransformerEncoderLayer '1'"
    assert network.kept_whole == {"0": reason, "1": reason}


def test_what_no_weight_reads_is_kept_whole():
    class Unread(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.unread = nn.Linear(4, 2), nn.Linear(4, 3)

        def forward(self, X):
            self.unread(X)
            return self.head(X)

    network = find_groups(Unread(), (4,))
    assert network.kept_whole == {"unread": "no weights read them"}


def test_tracing_leaves_the_module_as_it_was():
    module = MLP(5, 3).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    find_groups(module, (5,))
    assert module.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


class Backbone(nn.Module):
    """Two layers, the first of which may learn nothing."""

    def __init__(self, without_gradient=False):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 5)
        self.last = nn.Linear(5, 2)
        self.without_gradient = without_gradient

    def forward(self, X):
        if self.without_gradient:
            with torch.no_grad():
                X = self.first(X)
        else:
            X = self.first(X)
        return self.last(self.second(X.relu()).relu())


@pytest.mark.parametrize("without_gradient", [True, False])
def test_what_only_frozen_weights_read_is_kept_whole(without_gradient):
    module = Backbone(without_gradient)
    if not without_gradient:
        module.first.requires_grad_(False)
    network = find_groups(module, (4,))
    assert set(network.kept_whole) == {"inputs"}
    assert "'first.weight', which reads them" in network.kept_whole["inputs"]


def test_a_module_that_is_frozen_is_refused():
    with pytest.raises(ValueError, match="let some require gradients"):
        find_groups(Backbone().requires_grad_(False), (4,))


def test_random_numbers_are_left_alone():
    module = nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 2))
    before = torch.get_rng_state()
    find_groups(module, (4,))
    assert torch.equal(torch.get_rng_state(), before)


class Tokens(nn.Module):
    """A class token before those of a row, with a parameter for each position."""

    def __init__(self):
        super().__init__()
        self.embed, self.last = nn.Linear(3, 8), nn.Linear(8, 2)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.position = nn.Parameter(torch.randn(1, 5, 8))

    def forward(self, X):
        X = self.embed(X)
        X = torch.cat([self.token.expand(X.shape[0], -1, -1), X], 1) + self.position
        return self.last(X[:, 0] + X.relu().mean(1))


def test_channels_of_tokens_go_with_class_token_and_positions():
    network = find_groups(Tokens(), (4, 3))
    assert network.kept_whole == {}
    (stream,) = network.hidden
    assert {a.tensor for a in stream.produced_by} == {
        "embed.weight",
        "embed.bias",
        "token",
        "position",
    }
    assert_cuts_are_exact(Tokens, (4, 3))


@pytest.mark.parametrize(
    "end", [lambda X: X.log_softmax(1), lambda X: X / X.norm(dim=1, keepdim=True)]
)
def test_outputs_are_no_units_whatever_comes_of_them(end):
    layers = {"a": nn.Linear(4, 5), "b": nn.Linear(5, 2)}
    network = find_groups(Net(lambda m, X: end(m.b(m.a(X).relu())), **layers), (4,))
    assert [c.name for c in network.channels] == ["inputs", "a"]


def test_all_that_one_frozen_weight_reads_is_kept_whole():
    layers = {"a": nn.Linear(4, 30), "c": nn.Linear(4, 30), "f": nn.Linear(60, 8)}
    layers["f"].requires_grad_(False)
    layers["b"] = nn.Linear(8, 2)

    def forward(m, X):
        units = torch.cat([m.a(X).sigmoid(), m.c(X).sigmoid()], 1)
        return m.b((100 * m.f(units)).tanh())

    network = find_groups(Net(forward, **layers), (4,))
    assert set(network.kept_whole) == {"a", "c"}


def test_outputs_that_nothing_trained_comes_to_are_refused():
    module = Net(lambda m, X: m.a(X).detach(), a=nn.Linear(4, 2))
    with pytest.raises(ValueError, match="do not depend on any parameter"):
        find_groups(module, (4,))


def test_a_layer_may_be_called_inputs():
    layers = {"inputs": nn.Linear(4, 5), "head": nn.Linear(5, 2)}
    network = find_groups(Net(lambda m, x: m.head(m.inputs(x).relu()), **layers), (4,))
    assert [c.name for c in network.channels] == ["inputs", "inputs#2"]
    assert network.hidden[0].size == 5
