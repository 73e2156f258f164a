import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skjointprune._groups import Axis, find_groups
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


def test_layer_norm_pins_the_units_it_couples_and_says_so():
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


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, X):
        return self.last(X + self.first(X))


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


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Branching(), "Branching could not be traced"),
        (Pair(), "logits alone"),
        (Scaled(), "second input|does not run"),
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
    network = find_groups(Residual(), (4,))
    (inputs,) = network.channels
    assert set(inputs.produced_by) == {
        Axis("first.weight", 0),
        Axis("first.bias", 0),
    }
    assert set(inputs.read_by) == {Axis("first.weight", 1), Axis("last.weight", 1)}


def test_what_has_no_rule_is_kept_whole_and_says_so():
    layers = [nn.Linear(4, 5), nn.Softmax(dim=1), nn.Linear(5, 6), nn.Linear(6, 2)]
    network = find_groups(nn.Sequential(*layers), (4,))
    reason = "there is no rule for Softmax '1'"
    assert network.kept_whole == {"0": reason}


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
