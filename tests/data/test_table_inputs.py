import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import RELEVANT, assert_same_fit
from _kinds import FLOAT, TABLE

from skjointprune.modules import MLP


@pytest.fixture(autouse=True, params=[torch.float32, torch.float64], ids=str)
def default_dtype(request):
    """All of this file holds whatever type of new tensors the user has set."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


def test_frame_and_array_give_the_same(quick, frame, fitted, planted):
    X, y = frame
    clf = quick(n_features_to_select=3).fit(X, y)
    assert_same = np.testing.assert_array_equal
    assert_same(clf.predict_proba(X), fitted.predict_proba(planted[0]))
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    assert clf.get_feature_names_out().tolist() == ["col1", "col5", "col8"]


def test_names_out_without_names_in_are_positions(fitted):
    assert not hasattr(fitted, "feature_names_in_")
    assert fitted.get_feature_names_out().tolist() == ["x1", "x5", "x8"]
    names = [f"n{i}" for i in range(12)]
    assert fitted.get_feature_names_out(names).tolist() == ["n1", "n5", "n8"]
    with pytest.raises(ValueError, match="input_features"):
        fitted.get_feature_names_out(names[:4])


def test_frame_with_other_names_is_refused(quick, frame):
    X, y = frame
    clf = quick(max_epochs=1, retrain_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(X.rename(columns={"col0": "other"}))


@pytest.mark.parametrize(
    "convert",
    [np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], list],
    ids=["fortran", "strided", "list of rows"],
)
def test_layout_of_X_does_not_matter(quick, planted, fitted, convert):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(convert(X), y)
    assert_same_fit(clf, fitted, X)
    np.testing.assert_array_equal(clf.predict(convert(X)), clf.predict(X))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_whole_numbers_are_taken_as_floats(quick, dtype):
    plain = {"module__embedding": None, "module__clip": None}
    plain["validation_fraction"] = None  # or rounding may choose another epoch
    plain["batch_size"] = 32
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2 if dtype == "bool" else 256, size=(300, 8)).astype(dtype)
    y = X[:, 3] > X[:, 6] if dtype != "bool" else X[:, 3] | X[:, 6]
    clf = quick(n_features_to_select=2, **plain).fit(X, y)
    assert clf.get_support(indices=True).tolist() == [3, 6]
    as_floats = quick(n_features_to_select=2, **plain).fit(X.astype(float), y)
    np.testing.assert_array_equal(clf.support_, as_floats.support_)
    np.testing.assert_allclose(
        clf.predict_proba(X), as_floats.predict_proba(X), atol=0.02
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("standardize", [True, False])
def test_fit_and_predict_do_not_change_X(quick, planted, order, dtype, standardize):
    X = np.array(planted[0], dtype=dtype, order=order)
    y = planted[1].copy()
    weight = np.ones(len(y))
    before = X.copy(), y.copy()
    clf = quick(n_features_to_select=3, standardize=standardize, max_epochs=3)
    clf.fit(X, y, weight).predict(X)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert (weight == 1).all()


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_prediction_on_other_columns_is_refused(fitted, planted, method):
    with pytest.raises(ValueError, match=r"3 features.*12 features"):
        getattr(fitted, method)(planted[0][:, :3])
    X = planted[0].copy()
    X[0, fitted.get_support(indices=True)[0]] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        getattr(fitted, method)(X)


def test_frame_of_mixed_number_types_is_taken(quick, planted):
    X, y = planted
    frame = pd.DataFrame({f"c{i}": column for i, column in enumerate(X.T)})
    frame["c1"] = frame["c1"].astype("float32")
    frame["c0"] = (frame["c0"] > 0).astype("int8")
    clf = quick(n_features_to_select=3).fit(frame, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT


def test_a_network_for_images_is_refused_for_a_table(quick, planted):
    with pytest.raises(ValueError, match="'vgg16' is a network for images"):
        quick(module="vgg16").fit(*planted)


def test_columns_have_the_names_of_a_frame():
    names = list("abcde")
    inputs, *_, estimator = TABLE.check(pd.DataFrame(TABLE.X, columns=names))
    assert inputs.names.tolist() == estimator.feature_names_in_.tolist() == names
    kept = np.array([True, False, False, False, True])
    assert inputs.names_of(estimator, kept, None).tolist() == ["a", "e"]


def test_columns_are_selected_alone_or_by_groups():
    alone, *_ = TABLE.check()
    assert alone.count_selectable(3) == (5, "features")
    assert [columns.tolist() for columns in alone.groups] == [[0], [1], [2], [3], [4]]
    grouped, *_ = TABLE.check(feature_groups=[[4, 1], [0, 2]])
    assert grouped.count_selectable(1) == (3, "groups of features")
    assert grouped.group_numbers().tolist() == [1, 0, 1, 2, 0]
    assert grouped.group_support(np.array([0, 1, 0, 1, 1], dtype=bool)).tolist() == [
        True,
        False,
        True,
    ]


def test_costs_of_columns_are_those_of_the_estimator():
    inputs, *_ = TABLE.check(feature_costs=[1, 2, 3, 4, 5])
    assert inputs.costs_of_inputs().tolist() == [1, 2, 3, 4, 5]
    assert inputs.costs_of_inputs().dtype == FLOAT


def test_the_default_network_of_a_table_has_the_sizes_of_the_estimator():
    inputs, *_ = TABLE.check()
    for regression in (True, False):
        kind, params = inputs.module(None, [4, 3], regression=regression)
        assert kind is MLP
        assert params["hidden_layer_sizes"] == (4, 3)


def test_small_numbers_of_a_table_are_read_as_float32():
    _, X, _, _ = TABLE.check(TABLE.X.astype(np.int8))
    assert X.dtype == np.float32


@pytest.mark.parametrize("alpha", [0.02, "auto"])
def test_levels_count_where_it_is_decided_whether_numbers_are_embedded(quick, alpha):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(900, 3)), columns=list("abc"))
    y = X["a"] > 0
    for n_levels, embedded in ((4, True), (60, False)):
        X["d"] = pd.Categorical(np.arange(900) % n_levels)
        clf = quick(alpha=alpha, max_epochs=1, retrain_epochs=1).fit(X, y)
        layers = dict(clf.module_.named_modules())
        assert any(name.endswith("embedding") for name in layers) == embedded


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_gaps_of_a_frame_are_read_though_it_may_not_be_written_to(quick, frame):
    X, y = frame
    X = X.mask(X > 2.5)
    clf = quick(max_epochs=2, retrain_epochs=1, alpha=1e-6).fit(X, y)
    assert clf.predict(X).shape == y.shape


def test_values_by_name_find_columns_that_are_called_by_numbers(planted):
    X, y = planted
    labels = [*range(1, X.shape[1]), 0]
    X = pd.DataFrame(X, columns=labels)
    costs = pd.Series(1.0, index=range(X.shape[1]))
    costs[0] = 5.0  # of the last column
    groups = {label: label // 2 for label in labels}
    inputs, *_ = TABLE.check(X, y, feature_costs=costs, feature_groups=groups)
    assert inputs.costs.tolist() == [1.0] * (X.shape[1] - 1) + [5.0]
    assert [0, X.shape[1] - 1] in [g.tolist() for g in inputs.groups]  # 1 and 0
