import numpy as np
import pytest
import torch
from _attention import OneReshape, Transformer
from _helpers import assert_same_estimator, passed_through
from torch import nn

from skjointprune import (
    ImageInput,
    JointPruneClassifier,
    JointPruneRegressor,
    load,
    save,
)
from skjointprune._data import table_inputs
from skjointprune.modules import MLP, resnet18

QUICKLY = {"max_epochs": 2, "retrain_epochs": 1, "random_state": 0}
SMALL = QUICKLY | {"alpha": 0.02}


class TwoTowers(nn.Module):
    """Shared weights, a sum, heads of attention and a state of a recurrent layer."""

    def __init__(self, n_features_in, n_outputs, width=16):
        super().__init__()
        self.first = nn.Linear(n_features_in, width, bias=False)
        self.left = nn.Linear(width, width)
        self.right = nn.Linear(width, width)
        self.right.weight = self.left.weight
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.state = nn.GRU(width, 3, batch_first=True)
        self.register_buffer("factor", torch.ones(width), persistent=False)
        self.last = nn.Linear(3, n_outputs)

    def forward(self, x):
        x = torch.sigmoid(self.first(x))
        x = (self.left(x) * self.factor + self.right(x)).unsqueeze(1)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.last(self.state(self.norm(x))[0][:, 0])


class Squared(nn.Module):
    """What `fold_scaling` cannot go into, on either side."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_features_in, 8)
        self.out = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.out(torch.relu(self.layer(x**2))) * 2


def two_layers(n_features_in, n_outputs, width=6):
    return nn.Sequential(nn.Linear(n_features_in, width), nn.Linear(width, n_outputs))


def test_custom_class_comes_back(quick, planted, tmp_path):
    X, y = planted
    clf = quick(module=TwoTowers, module__width=12, alpha=0.1, max_epochs=6)
    clf.fit(X, y)
    assert not clf.support_.all()
    assert len(clf.module_.left.weight) < 12
    assert clf.module_.first.bias is not None  # by the scaling of the inputs
    loaded = passed_through(clf, tmp_path, module=TwoTowers)
    assert_same_estimator(clf, loaded, X)
    assert loaded.module is TwoTowers
    assert loaded.module_.left.weight is loaded.module_.right.weight


@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor])
def test_scaling_around_a_network_comes_back(planted, tmp_path, kind):
    X, y = planted
    estimator = kind(module=Squared, **SMALL).fit(X, y)
    assert "inputs" in repr(estimator.module_)
    loaded = passed_through(estimator, tmp_path, module=Squared)
    assert_same_estimator(estimator, loaded, X)


def test_instance_and_factory_come_back(planted, tmp_path):
    X, y = planted
    instance = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2))
    for module in (instance, two_layers):
        clf = JointPruneClassifier(module=module, **SMALL).fit(X, y)
        loaded = passed_through(clf, tmp_path, module=module)
        assert_same_estimator(clf, loaded, X)


@pytest.mark.filterwarnings("ignore:`alpha`")
@pytest.mark.parametrize("norm", ["batch", "layer", None])
@pytest.mark.parametrize("activation", ["sigmoid", "gelu"])
def test_default_network_comes_back_in_all_forms(planted, tmp_path, norm, activation):
    clf = JointPruneClassifier(
        [16, 8],
        module__norm=norm,
        module__activation=activation,
        module__bias=False,
        alpha=0.2,
        distillation=0.5,
        lr=1e-2,
        **QUICKLY,
    ).fit(*planted)
    assert clf.report_.pruned.parameters < clf.report_.dense.parameters
    assert_same_estimator(clf, passed_through(clf, tmp_path), planted[0])


def test_mlp_as_a_class_is_no_custom_network(quick, planted, tmp_path):
    clf = quick(module=MLP, module__hidden_layer_sizes=(8,)).fit(*planted)
    assert passed_through(clf, tmp_path).module is MLP


@pytest.fixture(scope="module")
def images():
    """Two classes by the mean of one row of the second channel."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2, 10, 8)).astype(np.float32)
    return X, (X[:, 1, 4].mean(axis=1) > 0).astype(int)


@pytest.mark.filterwarnings("ignore:`alpha`")
@pytest.mark.parametrize(
    ("module", "groups"), [("resnet18", ["row"]), ("vgg16", ("pixel",))]
)
def test_networks_for_images_come_back(images, tmp_path, module, groups):
    X, y = images
    clf = JointPruneClassifier(
        module=module,
        module__width=0.04,
        images=ImageInput(groups=groups),
        n_features_to_select=5,
        alpha=0.1,
        lr=1e-2,
        **QUICKLY,
    ).fit(X, y)
    assert clf.support_.any(axis=(0, 2)).sum() <= 5
    assert clf.report_.pruned.parameters < clf.report_.dense.parameters
    loaded = passed_through(clf, tmp_path)
    assert_same_estimator(clf, loaded, X)
    np.testing.assert_array_equal(
        loaded.predict_proba(torch.from_numpy(X)), clf.predict_proba(X)
    )


def test_weights_to_start_from_are_not_read_again(images, tmp_path):
    X, y = images
    start = tmp_path / "start.pt"
    torch.save(resnet18(2, (2, 10, 8), width=0.04).state_dict(), start)
    params = {"module": "resnet18", "module__width": 0.04, "max_epochs": 1}
    clf = JointPruneClassifier(
        **params, retrain_epochs=0, module__weights=str(start)
    ).fit(X, y)
    start.unlink()
    assert_same_estimator(clf, passed_through(clf, tmp_path), X)


# --- what the loader asks for


@pytest.fixture(scope="module")
def squared(planted, tmp_path_factory):
    """A file with a network of the user's own."""
    path = tmp_path_factory.mktemp("squared") / "model"
    save(JointPruneClassifier(module=Squared, **SMALL).fit(*planted), path)
    return path


def test_custom_network_needs_its_module(quick, planted, tmp_path):
    clf = quick(module=TwoTowers, **SMALL | {"alpha": 0.1}).fit(*planted)
    save(clf, tmp_path / "model")
    with pytest.raises(ValueError, match=r"TwoTowers.*module="):
        load(tmp_path / "model")
    with pytest.raises(ValueError, match=r"tensor 'attention.* is in the saved one"):
        load(tmp_path / "model", module=Squared)


class Narrow(nn.Module):
    """Tensors of the names that `Squared` has, in an order that does not run."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_features_in, 8)
        self.out = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.layer(self.out(x))


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (
            nn.Linear,
            r"Got Linear, which raises TypeError.*Pass the `module` of the fit",
        ),
        (
            Narrow,
            r"Got Narrow, which raises RuntimeError.*Pass the `module` of the fit",
        ),
        (5, r"`module` does not make .* Got int"),
        ("mlp", r"Squared. Got `module`='mlp'; pass"),
        (MLP, r"Squared. Got `module`=.*MLP.*; pass"),
    ],
)
def test_module_that_was_not_in_the_fit_is_blamed(squared, module, match):
    with pytest.raises(ValueError, match=match) as error:
        load(squared, module=module)
    assert "versions" not in str(error.value)


def test_own_network_takes_no_module(fitted, tmp_path):
    with pytest.raises(ValueError, match="leave it at None"):
        passed_through(fitted, tmp_path, module=MLP)


class Cubed(Squared):
    def forward(self, x):
        return self.out(torch.relu(self.layer(x**3))) * 2


def test_module_that_computes_something_else_is_refused(planted, tmp_path):
    clf = JointPruneClassifier(module=Squared, **SMALL).fit(*planted)
    with pytest.raises(ValueError, match="computes something else"):
        passed_through(clf, tmp_path, module=Cubed)


def test_random_states_are_untouched(quick, planted, tmp_path):
    clf = quick(module=Squared).fit(*planted)
    before = torch.get_rng_state()
    passed_through(clf, tmp_path, module=Squared)
    assert torch.equal(torch.get_rng_state(), before)


class Keeps(nn.Linear):
    def get_extra_state(self):
        return {"anything": 1}

    def set_extra_state(self, state):
        pass


def test_state_that_is_no_tensor_is_refused(planted, tmp_path):
    module = nn.Sequential(Keeps(12, 4), nn.ReLU(), nn.Linear(4, 2))
    clf = JointPruneClassifier(module=module, **SMALL).fit(*planted)
    with pytest.raises(ValueError, match="keeps a state that is no tensor"):
        save(clf, tmp_path / "model")


class Other(nn.Module):
    """Tensors of the names that `Squared` has, and other shapes and numbers."""

    def __init__(self, n_features_in, n_outputs, kernel=False):
        super().__init__()
        self.layer = nn.Conv1d(n_features_in, 8, 1) if kernel else nn.Module()
        if not kernel:
            self.layer.weight = nn.Parameter(torch.zeros(8, n_features_in))
            self.layer.bias = nn.Parameter(torch.zeros(8))
        self.out = nn.Linear(8, n_outputs)


@pytest.mark.parametrize(
    ("kernel", "match"), [(True, "has shape"), (False, "no number 'in_features'")]
)
def test_layers_of_another_kind_are_refused(planted, tmp_path, kernel, match):
    clf = JointPruneClassifier(module=Squared, n_features_to_select=3, **SMALL)
    save(clf.fit(*planted), tmp_path / "model")
    with pytest.raises(ValueError, match=match):
        load(tmp_path / "model", module=lambda **sizes: Other(12, 2, kernel))


def test_a_file_knows_the_defaults_of_its_day(quick, planted, tmp_path, monkeypatch):
    clf = quick().fit(*planted)
    save(clf, tmp_path / "it")

    def others(n_features_in, hidden_layer_sizes, *, regression):
        return {"hidden_layer_sizes": hidden_layer_sizes, "norm": "layer"}

    monkeypatch.setattr(table_inputs, "mlp_defaults", others)
    again = load(tmp_path / "it")
    X = planted[0]
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))

    before = quick().fit(*planted)  # without parameters that came later
    save(before, tmp_path / "before")
    monkeypatch.undo()
    again = load(tmp_path / "before")
    np.testing.assert_array_equal(again.predict_proba(X), before.predict_proba(X))


def test_a_network_whose_sizes_follow_is_the_same_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 3, 16, 16)).astype(np.float32), np.arange(24) % 2
    net = JointPruneClassifier(
        module=Transformer, alpha=0.02, max_epochs=6, retrain_epochs=1, random_state=0
    ).fit(X, y)
    (attention,) = (m for m in net.module_.modules() if isinstance(m, OneReshape))
    assert attention.qkv.out_features < 48  # heads went
    save(net, tmp_path / "net.skjp")
    again = load(tmp_path / "net.skjp", module=Transformer)
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


class Asserting(nn.Module):
    """Two layers, and assertions of how many columns and units there are."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.n_columns, self._width = n_features_in, 8
        self.first = nn.Linear(n_features_in, 8)
        self.out = nn.Linear(8, n_outputs)

    def forward(self, x):
        assert x.shape[1] == self.n_columns
        x = self.first(x).relu()
        assert x.shape[1] == self._width
        return self.out(x)


def test_attributes_that_code_compares_sizes_with_come_back(quick, planted, tmp_path):
    clf = quick(module=Asserting, alpha=0.1).fit(*planted[:2])
    X = planted[0]
    (left,) = (m for m in clf.module_.modules() if isinstance(m, Asserting))
    assert left.n_columns == clf.support_.sum() < X.shape[1]
    assert left._width == left.first.out_features < 8
    save(clf, tmp_path / "it.skjp")
    again = load(tmp_path / "it.skjp", module=Asserting)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
