import copy
import pickle

import pytest
import torch
from _helpers import RELEVANT, assert_same_fit, assert_unfitted, passed_through
from _networks import Residual
from sklearn.base import clone
from torch import nn

from skjointprune.modules import MLP


class Net(nn.Module):
    def __init__(self, n_features_in, n_outputs, width=8):
        super().__init__()
        self.body = nn.Linear(n_features_in, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.head(torch.relu(self.norm(self.body(X))))


def make_net(n_features_in, n_outputs, width=8):
    return nn.Sequential(
        nn.Linear(n_features_in, width), nn.SiLU(), nn.Linear(width, n_outputs)
    )


@pytest.mark.parametrize("module", [Net, make_net, MLP])
def test_module_may_be_a_class_or_a_factory(quick, planted, module):
    X, y = planted
    clf = quick(n_features_to_select=3, module=module).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9
    assert_same_fit(pickle.loads(pickle.dumps(clf)), clf, X)


@pytest.mark.parametrize("module", [Net, make_net])
def test_module_parameters_reach_a_module_of_ones_own(quick, planted, module):
    clf = quick(module=module, module__width=5, prune="none").fit(*planted)
    assert list(clf.report_.dense.units.values()) == [5]
    with pytest.raises(ValueError, match=r"(?i)did you mean.*module__width"):
        clf.set_params(module__widht=5).fit(*planted)


def test_instance_as_module_is_copied(quick, planted):
    X, y = planted
    module = Net(12, 2)
    before = copy.deepcopy(module.state_dict())
    clf = quick(n_features_to_select=3, module=module).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.module is module
    assert module.training
    assert module.body.in_features == 12
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert all(p.grad is None for p in module.parameters())
    assert_same_fit(clone(clf).fit(X, y), clf, X)


@pytest.mark.parametrize("sizes", [(11, 2), (12, 3), (12, 1)])
def test_instance_of_other_sizes_than_the_data_is_refused(quick, planted, sizes):
    clf = quick(module=Net(*sizes))
    with pytest.raises(ValueError, match="module"):
        clf.fit(*planted)
    assert_unfitted(clf)


def test_instance_takes_no_module_parameters(quick, planted):
    with pytest.raises(ValueError, match="module__width"):
        quick(module=Net(12, 2), module__width=5).fit(*planted)


def test_factory_must_return_a_module(quick, planted):
    with pytest.raises(TypeError, match="Module"):
        quick(module=lambda n_features_in, n_outputs: 3).fit(*planted)


def test_a_network_that_adds_its_inputs_is_pruned_with_them(quick, planted):
    clf = quick(module=Residual, n_features_to_select=3).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.module_.get_submodule("network.body").weight.shape == (3, 3)


def test_a_layer_without_a_rule_is_kept_whole_and_reported(quick, planted):
    layers = [nn.Linear(12, 6), nn.Softmax(1), nn.Linear(6, 2)]
    clf = quick(module=nn.Sequential(*layers), n_features_to_select=3).fit(*planted)
    assert "Softmax" in clf.report_.kept_whole["0"]
    assert clf.report_.pruned.units == {"0": 6}
    assert clf.get_support(indices=True).tolist() == RELEVANT


class Branching(nn.Module):
    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.head = nn.Linear(n_features_in, n_outputs)

    def forward(self, X):
        return self.head(X) if X.sum() > 0 else self.head(-X)


def test_a_module_that_cannot_be_traced_is_refused_by_name(quick, planted):
    clf = quick(module=Branching)
    with pytest.raises(ValueError, match="Branching could not be traced"):
        clf.fit(*planted)
    assert_unfitted(clf)


def linear(n_features_in, n_outputs):
    return nn.Linear(n_features_in, n_outputs)


def test_a_module_that_is_one_layer_is_pruned(quick, planted):
    clf = quick(module=linear, n_features_to_select=5).fit(*planted)
    assert clf.get_support().sum() == 5


class Aliased(nn.Module):
    """Has one layer twice in a row, and another under two names."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        twice = nn.Linear(16, 16)
        self.net = nn.Sequential(
            nn.Linear(n_features_in, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            *(twice, nn.ReLU(), twice, nn.ReLU()),
            nn.Linear(16, n_outputs),
        )
        self.norm = self.net[1]

    def forward(self, X):
        return self.net(X)


def test_a_layer_of_several_names_stays_one(quick, planted, tmp_path):
    X, y = planted
    clf = quick(module=Aliased, alpha=0.1).fit(X, y)
    assert clf.report_.kept_whole == {}
    assert clf.report_.pruned.units["net.0"] < 16
    assert clf.score(X, y) > 0.9
    network = clf.module_
    assert network.norm is network.net[1]
    assert network.net[3] is network.net[5]
    for back in (
        pickle.loads(pickle.dumps(clf)),
        passed_through(clf, tmp_path, module=Aliased),
    ):
        assert_same_fit(back, clf, X)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (
            {"module__hidden_layer_sizes": (3,)},
            "are `hidden_layer_sizes`. Got",
        ),
        ({"module__n_features_in": 3}, "X and y say what `n_features_in` is. Got"),
    ],
)
def test_what_the_default_network_is_told_otherwise_is_refused(
    quick, planted, params, match
):
    with pytest.raises(ValueError, match=match):
        quick(**params).fit(*planted)
