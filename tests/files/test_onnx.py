import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from _helpers import cross_validated
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skjointprune import (
    ImageInput,
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneRegressor,
    __version__,
    export_onnx,
)
from skjointprune._data.boxes import smallest_box
from skjointprune._files.onnx import _json
from skjointprune._graph.rules.layers import LAYER_RULES
from skjointprune._layers.norms import LayerNorm, RMSNorm

SHORT = {
    "alpha": 0.02,
    "max_epochs": 2,
    "retrain_epochs": 2,
    "lr": 1e-2,
    "random_state": 0,
}
PLAIN = {"module__embedding": None, "module__clip": None}
TABLE = {**SHORT, "hidden_layer_sizes": (8,), "n_features_to_select": 4}


class ConvNet(nn.Module):
    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.conv = nn.Conv2d(n_features_in, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 4, n_outputs)

    def forward(self, X):
        X = nn.functional.adaptive_avg_pool2d(self.norm(self.conv(X)).relu(), 2)
        return self.head(X.flatten(1))


class Recurrent(nn.Module):
    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.rnn = nn.GRU(1, 8, batch_first=True)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.rnn(X.unsqueeze(2))[0][:, -1])


def table(n_classes=None, n_targets=None):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 9))
    scores = X @ rng.normal(size=(9, n_targets or n_classes or 1))
    return X * 5 + 20, scores.argmax(1) if n_classes else scores


def binary_with_names():
    X, y = table(2)
    X = pd.DataFrame(X, columns=[f"col{i}" for i in range(9)])
    return JointPruneClassifier(**TABLE).fit(X, np.array(["no", "yes"])[y]), X


def one_target():
    X, y = table()
    return JointPruneRegressor(**TABLE).fit(X, 7 * y.ravel() + 30), X


def two_targets_of_columns_far_from_zero():  # `module_` computes in float64
    X, Y = table(n_targets=2)
    return JointPruneRegressor(**TABLE).fit(X + 1e6, Y * [1, 30]), X + 1e6


def labels_of_all_inputs_by_cross_validation():
    X, scores = table(n_targets=3)
    params = {**SHORT, "hidden_layer_sizes": (8,), "prune": "weights", "max_epochs": 4}
    clf = cross_validated(
        JointPruneClassifier, **params, rule="best", alphas=[0.02, 0.1], cv=2
    )
    return clf.fit(X, (scores > 0).astype(int)), X


def recurrent():
    X, y = table(2)
    return JointPruneClassifier(**SHORT, module=Recurrent).fit(X, y), X


class Attentive(nn.Module):
    """Attention that loses heads, between normalisations that lose channels."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.before = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True)
        self.after = nn.RMSNorm(8)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        X = self.embed(X.unsqueeze(2))
        Z = self.before(X)
        X = X + self.attention(Z, Z, Z, need_weights=False)[0]
        return self.head(self.after(X).mean(1))


def attentive():
    X, y = table(2)
    clf = JointPruneClassifier(**SHORT | {"alpha": 0.15}, module=Attentive).fit(X, y)
    units = clf.report_.pruned.units
    assert units["embed"] < 8
    assert units["attention.query"] < 4
    return clf, X


def images(channels, side, n_classes, **params):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (60, channels, side, side + 1)).astype(np.uint8)
    y = rng.integers(0, n_classes, 60)
    for c in range(n_classes):
        X[y == c, :, :, c::n_classes] //= 3
    return JointPruneClassifier(**SHORT | params).fit(X, y), X


def pixels():  # some of those that are given to `module_` are zeroed
    params = {"n_features_to_select": 20, "images": ImageInput(groups="pixel")}
    return images(2, 8, 3, module=ConvNet, standardize=False, **params)


def vgg16():
    params = {
        "n_features_to_select": 25,
        "images": ImageInput(groups="column"),
        "alpha": 1e-3,
    }
    return images(1, 32, 3, module="vgg16", module__width=0.03, **params)


def resnet18():
    params = {"n_features_to_select": 2, "images": ImageInput(groups="channel")}
    return images(3, 16, 3, module="resnet18", module__width=0.05, **params)


CASES = [
    binary_with_names,
    one_target,
    two_targets_of_columns_far_from_zero,
    labels_of_all_inputs_by_cross_validation,
    recurrent,
    attentive,
    pixels,
    vgg16,
    resnet18,
]


@pytest.fixture(scope="module", params=CASES, ids=lambda make: make.__name__)
def case(request, tmp_path_factory):
    """A fitted estimator, rows and its file."""
    torch.manual_seed(0)
    estimator, X = request.param()
    path = tmp_path_factory.mktemp("onnx") / "it.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(estimator, path)
    return estimator, X, path


@pytest.fixture(scope="module")
def small():
    X, y = table(4)
    return JointPruneClassifier(**TABLE, **PLAIN).fit(X, y + 10)


def run(path, X):
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[given.type]
    (output,) = session.run(None, {"X": np.asarray(X, dtype)})
    return output


def metadata(path):
    found = onnx.load(path).metadata_props
    return {entry.key: json.loads(entry.value) for entry in found}


def test_the_file_predicts_as_the_estimator_for_any_number_of_rows(case):
    estimator, X, path = case
    expected = getattr(estimator, "predict_proba", estimator.predict)(X)
    size = np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 0.01 * size  # it says something
    for n in (1, 2, 37):
        got = run(path, X[:n])
        assert got.shape == expected[:n].shape
        np.testing.assert_allclose(got, expected[:n], rtol=0, atol=1e-5 * size)


@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights")
def test_module_goes_through_torch_export_for_any_number_of_rows(case):
    estimator, X, _ = case
    module, support = estimator.module_, estimator.get_support()
    if X.ndim == 2:
        X = np.asarray(X)[:, support]
    else:
        X = np.where(support, X, 0)
        for dim, kept in enumerate(smallest_box(support), start=1):
            X = X.take(kept, axis=dim)
    rows = torch.from_numpy(X).to(next(module.parameters()).dtype)
    shapes = ({0: torch.export.Dim("n_samples")},)
    exported = torch.export.export(module, (rows[:3],), dynamic_shapes=shapes)
    with torch.no_grad():
        for n in (1, 2, 37):
            torch.testing.assert_close(exported.module()(rows[:n]), module(rows[:n]))


def test_what_is_not_retained_does_not_matter(case):
    estimator, X, path = case
    other = np.where(estimator.get_support(), X, np.nan)
    np.testing.assert_array_equal(run(path, X), run(path, other))


def test_the_file_says_what_it_takes_and_gives(case):
    estimator, X, path = case
    told = metadata(path)
    assert told["estimator"] == type(estimator).__name__
    assert told["n_features_in"] == X.shape[1]
    assert told["input_shape"] == list(X.shape[1:])
    assert told["support"] == estimator.get_support(indices=True).tolist()
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list):  # of several labels
        classes = np.array(classes)
    assert told.get("classes") == (None if classes is None else classes.tolist())
    names = list(X.columns) if hasattr(X, "columns") else None
    assert told.get("feature_names_in") == names

    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    made_by = (proto.producer_name, proto.producer_version)
    assert made_by == ("skjointprune", __version__)
    (given,), (output,) = proto.graph.input, proto.graph.output
    assert given.name == "X"
    assert output.name == ("probabilities" if "classes" in told else "predictions")
    n, *shape = given.type.tensor_type.shape.dim
    assert n.dim_param == "n_samples"
    assert [size.dim_value for size in shape] == told["input_shape"]


def test_classes_of_the_file_make_the_predictions_of_the_estimator(case):
    estimator, X, path = case
    if not hasattr(estimator, "classes_") or estimator.predict(X).ndim > 1:
        return
    most_probable = run(path, X).argmax(axis=1)
    predicted = np.array(metadata(path)["classes"])[most_probable]
    np.testing.assert_array_equal(predicted, estimator.predict(X))


def test_the_file_holds_no_notes_on_the_machine(case):
    text = case[2].read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in text
    assert b"stack_trace" not in text
    assert b"pkg.torch" not in text


def test_classes_of_numpy_in_an_array_of_objects_are_numbers():
    classes = np.array([np.int64(3), "three", np.float64(0.5)], dtype=object)
    assert json.loads(_json(classes.tolist())) == [3, "three", 0.5]


def test_there_is_one_file_quietly_and_the_rest_is_as_before(small, tmp_path, capfd):
    before = {k: v.clone() for k, v in small.module_.state_dict().items()}
    state = torch.get_rng_state()
    (tmp_path / "it.onnx").write_bytes(b"an older file")
    export_onnx(small, str(tmp_path / "it.onnx"))
    (file,) = tmp_path.iterdir()
    weights = 4 * sum(p.numel() for p in small.module_.parameters())
    assert file.stat().st_size < weights + 4000
    assert metadata(tmp_path / "it.onnx")["classes"] == [10, 11, 12, 13]
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)
    after = small.module_.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.requires_grad for p in small.module_.parameters())


class Counts(nn.Module):
    """A layer that does otherwise with few rows."""

    def forward(self, X):
        return X * 2 if len(X) > 3 else X


class ByLength(nn.Module):
    """A layer that asks how many rows there are."""

    def forward(self, X):
        return X.reshape(len(X), -1) + torch.zeros(len(X), 1)


def test_code_that_asks_for_the_number_of_rows_takes_any(tmp_path):
    def network(n_features_in, n_outputs):
        head = nn.Linear(6, n_outputs)
        return nn.Sequential(nn.Linear(n_features_in, 6), ByLength(), head)

    X, y = table(3)
    clf = JointPruneClassifier(**SHORT, module=network).fit(X, y)
    export_onnx(clf, tmp_path / "it.onnx")
    for n in (1, 2, 37):
        got, expected = run(tmp_path / "it.onnx", X[:n]), clf.predict_proba(X[:n])
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
def test_a_norm_with_a_tiny_eps_leaves_zeros_in_the_file(kind, tmp_path):
    norm = kind(1, 4, 1e-12, True, False).eval()  # three of four channels are gone
    program = torch.onnx.export(
        norm, (torch.ones(2, 1),), input_names=["X"], dynamo=True, verbose=False
    )
    program.save(tmp_path / "it.onnx")
    assert (run(tmp_path / "it.onnx", np.zeros((2, 1))) == 0).all()


class Eigenvalue(nn.Module):
    """A layer for which ONNX has no operation."""

    def forward(self, X):
        return X + torch.linalg.eigvals(X[:, :4].reshape(-1, 2, 2)).real[:, :1]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Counts, r"torch\.export .* any number of rows \(.*n_samples.*Rewrite"),
        (Eigenvalue, r"cannot say in ONNX \(.*linalg_eig.*Replace"),
    ],
)
def test_what_cannot_be_exported_is_named_and_no_file_is_touched(
    layer, said, tmp_path, monkeypatch
):
    def network(n_features_in, n_outputs):
        head = nn.Linear(6, n_outputs)
        return nn.Sequential(nn.Linear(n_features_in, 6), layer(), head)

    monkeypatch.setitem(LAYER_RULES, layer, lambda layer, name, x, labels: x)
    X, y = table(3)
    clf = JointPruneClassifier(**SHORT, module=network, prune="inputs").fit(X, y)
    (tmp_path / "it.onnx").write_bytes(b"an older file")
    with pytest.raises(ValueError, match=said) as raised:
        export_onnx(clf, tmp_path / "it.onnx")
    assert raised.value.__cause__ is not None
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"an older file"]


def test_a_folder_that_is_not_there_is_found_out_before_the_work(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr("skjointprune._files.onnx._converted", pytest.fail)
    with pytest.raises(FileNotFoundError, match=r"`path` must .* make the folder"):
        export_onnx(small, tmp_path / "missing" / "it.onnx")


def test_what_is_not_an_estimator_with_predictions_is_refused(small, tmp_path):
    clf = small
    for given, said in (
        (InputFeatureSelector(clf), r"Got a InputFeatureSelector; .* predicts nothing"),
        (make_pipeline(StandardScaler(), clf), r"Got a Pipeline; fit .* raw inputs"),
        (StandardScaler(), r"Got a StandardScaler; pass a fitted"),
        (JointPruneClassifier, r"pass a fitted"),
    ):
        with pytest.raises(TypeError, match=said):
            export_onnx(given, tmp_path / "it.onnx")
    search = GridSearchCV(clf, {"alpha": [0.1]})
    search.best_estimator_ = clf
    with pytest.raises(TypeError, match=r"pass its `best_estimator_`"):
        export_onnx(search, tmp_path / "it.onnx")
    with pytest.raises(NotFittedError):
        export_onnx(JointPruneClassifier(), tmp_path / "it.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_with_the_extra(
    small, package, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "skjointprune\[onnx\]"'):
        export_onnx(small, tmp_path / "it.onnx")


def test_categories_are_positions_of_levels_and_gaps_are_nan(tmp_path):
    rng = np.random.default_rng(0)
    age = np.where(rng.random(80) < 0.2, np.nan, rng.normal(size=80))
    X = pd.DataFrame({"city": rng.choice(["Rome", "Oslo"], 80), "age": age})
    clf = JointPruneClassifier((8,), **SHORT).fit(X, X["city"] == "Oslo")
    export_onnx(clf, tmp_path / "model")
    levels = clf.categories_["city"]
    assert metadata(tmp_path / "model")["categories"] == {"0": levels}
    read = np.c_[X["city"].map(levels.index), age].astype(np.float32)
    expected = clf.predict_proba(X)
    np.testing.assert_allclose(run(tmp_path / "model", read), expected, atol=1e-5)


@pytest.mark.parametrize("levels", [[1, 2, 5], [0.1, 0.2, 0.3], [False, True]])
@pytest.mark.parametrize("n_kept", [1, 3])
def test_categories_of_numbers_are_taken_as_they_are(tmp_path, levels, n_kept):
    """Also what is missing, new, or rare."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    X[:, 1] = np.array(levels, dtype=float)[np.arange(90) % len(levels)]
    y = X[:, 1] == levels[0]
    X[:3, 1] = 7, 8, np.nan
    clf = JointPruneClassifier(
        (8,), **SHORT | {"n_features_to_select": n_kept}, categorical_features=[1]
    ).fit(X, y)
    assert clf.get_support()[1]
    export_onnx(clf, tmp_path / "model")
    assert "categories" not in metadata(tmp_path / "model")
    np.testing.assert_allclose(
        run(tmp_path / "model", X.astype(np.float32)), clf.predict_proba(X), atol=1e-5
    )


def test_rare_levels_of_text_are_a_last_null(tmp_path):
    X = pd.DataFrame({"city": ["Oslo", "Rome"] * 30 + ["Bonn"], "age": np.arange(61)})
    clf = JointPruneClassifier((8,), **SHORT, prune="none").fit(X, X["city"] == "Oslo")
    export_onnx(clf, tmp_path / "model")
    levels = metadata(tmp_path / "model")["categories"]["0"]
    assert levels == ["Oslo", "Rome", None]
    codes = X["city"].map({"Oslo": 0, "Rome": 1, "Bonn": 2})
    read = np.c_[codes, X["age"]].astype(np.float32)
    found = run(tmp_path / "model", read)
    np.testing.assert_allclose(found, clf.predict_proba(X), atol=1e-5)


def test_levels_that_float32_does_not_tell_apart_are_refused(tmp_path):
    X = np.array([2**24, 2**24 + 1])[np.arange(60) % 2, None]
    clf = JointPruneClassifier((8,), **SHORT, categorical_features=[0])
    clf.fit(X, np.arange(60) % 2)
    with pytest.raises(ValueError, match=r"same number as torch.float32.*16777216"):
        export_onnx(clf, tmp_path / "model")
