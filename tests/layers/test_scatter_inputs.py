import pickle
from functools import partial

import numpy as np
import pytest
import torch
from _networks import Net, compact, cut, random_masks, shaken
from torch import nn
from torch.nn import functional as F

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneRegressor,
    joint_prune_path,
    load,
    save,
)
from skjointprune._graph.compact import is_exact
from skjointprune._graph.gradients import find_untold_inputs
from skjointprune._graph.groups import find_groups, let_inputs_go
from skjointprune._layers.scatter_inputs import ScatterInputs

MATTER = [1, 4]


class Halves(nn.Module):
    """Reads columns by their positions."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.a = nn.Linear(3, 16)
        self.b = nn.Linear(n_features_in - 3, 16)
        self.head = nn.Linear(32, n_outputs)

    def forward(self, X):
        X = torch.cat([self.a(X[:, :3]), self.b(X[:, 3:])], 1)
        return self.head(X.relu())


class Own(nn.Module):
    """Reads columns by a weight that it changes before, of which no rule tells."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(24, n_features_in) / 3)
        self.head = nn.Linear(24, n_outputs)

    def forward(self, X):
        return self.head(F.linear(X, self.weight.tanh()).relu())


class Steps(nn.Module):
    """Takes columns for steps of time."""

    def __init__(self, n_outputs, proj_size=0):
        super().__init__()
        kind = partial(nn.LSTM, proj_size=proj_size) if proj_size else nn.GRU
        self.steps = kind(1, 12, batch_first=True)
        self.head = nn.Linear(proj_size or 12, n_outputs)

    def forward(self, X):
        return self.head(self.steps(X[..., None])[0].mean(1))


class Tokens(nn.Module):
    """Makes a token of each column, for attention."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_features_in, 8))
        self.bias = nn.Parameter(torch.randn(n_features_in, 8))
        self.mix = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.mix(X[..., None] * self.weight + self.bias).mean(1))


class LookedUp(nn.Module):
    """Looks up one column, of which no gradient tells."""

    def __init__(self, n_outputs):
        super().__init__()
        self.table = nn.Embedding(8, 4)
        self.a = nn.Linear(5, 8)
        self.head = nn.Linear(12, n_outputs)

    def forward(self, X):
        looked_up = self.table(X[:, 0].long().clamp(0, 7))
        return self.head(torch.cat([looked_up, self.a(X[:, 1:]).relu()], 1))


MODULES = [Halves, Own, Steps, Tokens]


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    return X, np.where(X[:, MATTER].sum(axis=1) > 0, "high", "low")


QUICK = {
    "alpha": 0.05,
    "max_epochs": 25,
    "retrain_epochs": 5,
    "lr": 5e-3,
    "batch_size": 64,
    "validation_fraction": None,
    "random_state": 0,
}


@pytest.fixture(scope="module", params=MODULES)
def fitted(request, table):
    clf = JointPruneClassifier(module=request.param, n_features_to_select=2, **QUICK)
    return clf.fit(*table)


def test_columns_that_are_left_get_to_their_places():
    layer = ScatterInputs(4)
    layer.places = torch.tensor([1, 3])
    layer.weight = nn.Parameter(torch.tensor([2.0, 10.0]))
    X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert layer(X).tolist() == [[0, 2, 0, 20], [0, 6, 0, 40]]
    assert repr(layer) == "ScatterInputs(2 of 4)"


def by_slices(m, x):
    return m.c(torch.cat([m.b(x[:, :2]), m.b(x[:, 1::4]), x[:, 2:4]], 1).relu())


def padded(m, x):
    return m.c(F.pad(m.b(x[:, ::4]), (1, 3)) * x[:, :1])


def normalised(m, x):
    return m.c(m.d(x / (1 + x.norm(dim=1, keepdim=True))))


def residual(m, x):
    return m.c((m.d(x) + x).relu().sum(1, keepdim=True) * m.d(x))


def rolled(m, x):
    return m.c(m.d(x.roll(1, 1)) * x)


@pytest.mark.parametrize("forward", [by_slices, padded, normalised, residual, rolled])
def test_any_input_goes_and_the_outputs_stay(forward):
    for share in (0.6, 0.0):
        layers = {"b": nn.Linear(2, 2), "c": nn.Linear(6, 3), "d": nn.Linear(6, 6)}
        network = find_groups(shaken(Net(forward, **layers).double()), (6,))
        assert network.inputs.pinned
        network = let_inputs_go(network, torch.randn(8, 6))
        assert network.inputs.pinned is None
        for _ in range(2):
            small, difference = cut(network, random_masks(network, share))
            assert difference < 1e-10
            network = small


def test_inputs_that_matter_are_found_whatever_reads_them(fitted):
    assert fitted.get_support(indices=True).tolist() == MATTER


def test_what_was_not_retained_changes_no_prediction(fitted, table):
    X, y = table
    other = X + np.where(fitted.get_support(), 0, 5).astype(X.dtype)
    probabilities = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(other), probabilities)
    assert fitted.score(X, y) > 0.85
    with torch.no_grad():
        logits = fitted.module_(torch.from_numpy(X[:, MATTER]))
    np.testing.assert_allclose(logits.softmax(1), probabilities, atol=1e-6)


def test_a_fit_is_kept_in_files(fitted, table, tmp_path):
    X, _ = table
    save(fitted, path := tmp_path / "fitted.zip")
    copies = pickle.loads(pickle.dumps(fitted)), load(path, module=fitted.module)
    for copy in copies:
        np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))


def test_layers_are_called_what_they_are_called_in_the_module(table):
    X, y = table
    steps = partial(Steps, proj_size=3)
    kept = JointPruneClassifier(module=steps, **QUICK).fit(X, y).report_.kept_whole
    says = "LSTM 'steps' has a projection, and keeps its state whole"
    assert kept == {"steps": says}
    halves = JointPruneClassifier(module=Halves, **QUICK).fit(X, y)
    assert set(halves.report_.dense.units) == {"a", "b"}


def test_nothing_stands_before_what_loses_no_inputs(table):
    X, y = table
    for prune in ("weights", "none"):
        clf = JointPruneClassifier(module=Own, prune=prune, **QUICK).fit(X, y)
        assert not any(isinstance(m, ScatterInputs) for m in clf.module_.modules())
        assert clf.get_support().all()
    plain = JointPruneClassifier((8,), **QUICK).fit(X, y)
    assert not any(isinstance(m, ScatterInputs) for m in plain.module_.modules())


def test_what_is_looked_up_is_never_taken_for_useless(table, tmp_path):
    X, y = table
    X = np.hstack([np.where(y == "high", 5, 2)[:, None], X[:, 1:]]).astype(np.float32)
    clf = JointPruneClassifier(module=LookedUp, standardize=False, **QUICK)
    clf.set_params(optimizer__weight_decay=0.1)  # of no column that is looked up
    clf.fit(X, y)
    assert clf.get_support()[0]
    assert "gradients do not tell" in clf.report_.kept_whole["inputs"]
    clf.set_params(n_features_to_select=2).fit(X, y)
    assert clf.get_support()[0]
    assert clf.get_support().sum() == 2
    assert clf.score(X, y) > 0.95
    save(clf, path := tmp_path / "fitted.zip")
    copy = load(path, module=LookedUp)
    np.testing.assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))
    clf.set_params(n_features_to_select=None)
    points = joint_prune_path(X, y, estimator=clf, n_alphas=4)
    assert points.supports[:, 0].all()
    assert points.supports.sum(1).min() < 3


class TwoLookedUp(LookedUp):
    """Looks up a second column."""

    def forward(self, X):
        return super().forward(X) + self.table(X[:, 1].long().clamp(0, 7))[:, :2]


def test_as_many_must_be_selected_as_are_looked_up(table):
    X, y = table
    params = QUICK | {"standardize": False, "n_features_to_select": 1}
    X = np.hstack([X[:, 1:3].round().clip(0) + 1, X[:, 2:]]).astype(np.float32)
    with pytest.raises(ValueError, match="leave the 2 inputs that always stay"):
        JointPruneClassifier(module=TwoLookedUp, **params).fit(X, y)


def test_a_mask_without_what_must_stay_is_refused():
    network = find_groups(read(lambda m, x: x.sign()), (6,))
    found = let_inputs_go(network, torch.randn(8, 6))
    keep = torch.tensor([False, True, True, True, True, True])
    with pytest.raises(ValueError, match="some that must stay"):
        compact(found, {"inputs": keep})


def read(change):
    """A network that changes its first three columns, and reads all by position."""
    layers = {"e": nn.Embedding(8, 3), "a": nn.Linear(6, 8), "b": nn.Linear(8, 2)}

    def forward(m, x):
        return m.b(m.a(torch.cat([change(m, x[:, :3]), x[:, 3:]], 1)).relu())

    return Net(forward, **layers)


ALL, FIRST, ONE, NONE = [True] * 6, [True] * 3 + [False] * 3, [True], [False] * 6


@pytest.mark.parametrize(
    ("change", "untold"),
    [
        (lambda m, x: x.tanh(), NONE),
        (lambda m, x: x / (0.1 + x.norm(dim=1, keepdim=True)), NONE),
        (lambda m, x: F.dropout(x, 0.3, training=True), NONE),
        (lambda m, x: x.relu() + (-x).abs(), NONE),
        (lambda m, x: x * 0, NONE),  # not read at all
        (lambda m, x: (20 * x).sin(), NONE),  # fast, and without a jump
        (lambda m, x: x.sign(), FIRST),
        (lambda m, x: x + (x > 1.5).float(), FIRST),
        (lambda m, x: x.round(), FIRST),
        (lambda m, x: x + m.e(x[:, 0].long().clamp(0, 7)), ONE + [False] * 5),
        (lambda m, x: m.e(x[:, 0].long()), ALL),  # may be out of range
        (lambda m, x: (x * x).log(), FIRST),  # of 0 not a number
    ],
)
def test_inputs_go_only_where_gradients_tell_all(change, untold):
    rows = 2 * torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = find_groups(read(change), (6,))
    assert network.inputs.pinned
    assert find_untold_inputs(network.module, rows).tolist() == untold
    found = let_inputs_go(network, rows)
    assert (found.inputs.pinned is None) == (untold != ALL)
    assert untold != ALL or found is network


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_cuts_around_columns_that_are_looked_up_are_exact(share):
    torch.manual_seed(0)
    change = lambda m, x: x + m.e((3 * x[:, 0]).long().clamp(0, 7))  # noqa: E731
    rows = 3 * torch.rand(8, 6)
    network = let_inputs_go(find_groups(read(change), (6,)), rows)
    for _ in range(2):
        stay = network.inputs.must_stay
        keep = random_masks(network, share)
        keep["inputs"] |= stay
        small = compact(network, keep)
        assert is_exact(network, keep, rows)
        rows, network = rows[:, keep["inputs"]], small
        assert int(network.inputs.must_stay.sum()) == 1


def test_parameters_of_the_module_itself_have_names_of_their_own():
    p, q = (nn.Parameter(torch.randn(6, 6)) for _ in range(2))
    forward = lambda m, x: m.b((x[:, [0, 2, 1, 3, 5, 4]] @ m.p).relu() @ m.q)  # noqa: E731
    network = find_groups(Net(forward, p=p, q=q, b=nn.Linear(6, 2)), (6,))
    found = let_inputs_go(network, torch.randn(8, 6))
    assert [c.name for c in found.channels] == ["inputs", "p", "q"]


def test_selector_path_and_regressor_take_any_module(table):
    X, y = table
    clf = JointPruneClassifier(module=Halves, n_features_to_select=2, **QUICK)
    selector = InputFeatureSelector(clf).fit(X, y)
    assert selector.get_support(indices=True).tolist() == MATTER
    params = QUICK | {"max_epochs": 40}
    path = joint_prune_path(
        X, y, estimator=JointPruneClassifier(module=Halves, **params)
    )
    assert path.inputs[0] > path.inputs[-1]
    reg = JointPruneRegressor(
        module=Own, feature_groups=[0, 1, 0, 0, 2, 2], n_features_to_select=2, **QUICK
    )
    reg.fit(X, 3 * X[:, MATTER].sum(axis=1) + 7)
    assert reg.get_support(indices=True).tolist() == [1, 4, 5]
    assert reg.score(X, 3 * X[:, MATTER].sum(axis=1) + 7) > 0.9
